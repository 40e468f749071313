"""What is no plain array of numbers is refused by the name of its argument, whatever its type."""

import warnings

import numpy as np
import pytest
import scipy.sparse

from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.registry import ASSIGNERS, OVERLAP_CALCULATORS

NOT_ARRAYS = {
    "list": lambda x: x.tolist(),
    "text": str,
    "number": lambda x: float(x.size if isinstance(x, np.ndarray) else x.numel()),
    "mapping": lambda x: {"a": x},
    "iterator": iter,
}
OF_NUMPY = {
    **NOT_ARRAYS,
    "complex": lambda x: x.astype(complex),
    "objects": lambda x: x.astype(object),
    "masked": np.ma.masked_array,
    "scalar": lambda x: x.reshape(-1)[:1].reshape(()),
    "matrix": lambda x: np.matrix(x.reshape(-1, x.shape[-1])),
    "sparse": lambda x: scipy.sparse.csr_matrix(x.reshape(-1, x.shape[-1])),
    "records": lambda x: np.zeros(x.shape, dtype=[("a", float)]),
    "dates": lambda x: x.astype("int64").astype("datetime64[s]"),
    "strings": lambda x: x.astype(str),
}


def of_torch():
    torch = pytest.importorskip("torch")

    def masked(x):
        return torch.masked.masked_tensor(x, torch.ones_like(x, dtype=torch.bool))

    return torch, {
        **NOT_ARRAYS,
        "complex": lambda x: x.to(torch.complex64),
        "NumPy's": lambda x: x.numpy(),
        "NumPy's masked": lambda x: np.ma.masked_array(x.numpy()),
        "NumPy's matrix": lambda x: np.matrix(x.numpy().reshape(-1, x.shape[-1])),
        "scalar": lambda x: x.reshape(-1)[0],
        "sparse": lambda x: x.to_sparse(),
        "nested": lambda x: torch.nested.nested_tensor([x, x]),
        "jagged": lambda x: torch.nested.nested_tensor([x, x[:1]], layout=torch.jagged),
        "quantised": lambda x: torch.quantize_per_tensor(x.float(), 0.1, 0, torch.quint8),
        "masked": masked,
    }


def refused(name, convert, hostile):
    """Call an assigner with each argument replaced, and return what went wrong."""
    recipe, scene = recipe_of(name), draw_scene("fpn-0-0")
    assign = recipe.call(recipe.statics(scene))
    given = {argument: convert(x) for argument, x in recipe.arrays(scene).items()}
    wrong = []
    for argument, x in given.items():
        for kind, make in hostile.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    assign(**{**given, argument: make(x)})
                except (TypeError, ValueError) as error:
                    if argument not in str(error):
                        wrong.append((argument, kind, str(error)))
                except Exception as error:
                    wrong.append((argument, kind, repr(error)))
                else:
                    wrong.append((argument, kind, "accepted"))
    return wrong


@pytest.mark.parametrize("name", ASSIGNERS.names())
def test_arrays_of_numpy(name):
    assert refused(name, np.asarray, OF_NUMPY) == []


@pytest.mark.parametrize("name", ASSIGNERS.names())
def test_tensors(name):
    torch, hostile = of_torch()
    assert refused(name, torch.from_numpy, hostile) == []


def test_a_masked_ground_truth_is_not_taken_for_one():
    """Its mask was dropped without a word, and what it hides took priors."""
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], dtype=np.float32)
    hidden = np.ma.masked_array(boxes, mask=[[False] * 4, [True] * 4])
    rule = ASSIGNERS.build({"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4})
    with pytest.raises(
        TypeError, match=r"gt_bboxes: expected a plain array, got a masked array: .* gt_valid"
    ):
        rule.assign(boxes, hidden)


@pytest.mark.parametrize("name", OVERLAP_CALCULATORS.names())
def test_calculators(name):
    measure = OVERLAP_CALCULATORS.build({"type": name})
    boxes = np.array([[0, 0, 10, 10]], dtype=np.float32)
    with pytest.raises(TypeError, match="b2: expected a plain array, got a masked array"):
        measure(boxes, np.ma.masked_array(boxes))
