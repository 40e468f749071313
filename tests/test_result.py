"""`AssignResult`: read-only, a pytree, copied and pickled whole, indexed by image."""

import copy
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError

import jax
import numpy as np
import pytest
import torch
from torch.utils import _pytree as torch_pytree

from assigncore import AssignResult, MaxIoUAssigner
from assigncore.conformance import get_target


def _result(target, lead=(), *, seed=0, n=9, g=4):
    """Give a result with every kind of code, and one extra."""
    rng = np.random.default_rng(seed)
    gt_inds = rng.integers(-1, g + 1, (*lead, n))
    labels = np.where(gt_inds > 0, gt_inds + 10, -1)
    overlaps = rng.random((*lead, n)).astype(np.float32)
    arrays = [target.from_numpy(x) for x in (gt_inds, overlaps, labels, rng.random((*lead, n)) < 0.5)]
    return AssignResult(*arrays[:3], g, {"flag": arrays[3]})


def _same(a, b):
    a, b = a.to_numpy(), b.to_numpy()
    assert (a.num_gts, set(a.extras)) == (b.num_gts, set(b.extras))
    pairs = [(a.gt_inds, b.gt_inds), (a.max_overlaps, b.max_overlaps), (a.labels, b.labels)]
    for x, y in [*pairs, *((a.extras[name], b.extras[name]) for name in a.extras)]:
        np.testing.assert_array_equal(x, y)
        assert (None if x is None else x.dtype) == (None if y is None else y.dtype)


def test_it_is_read_only(target):
    result = _result(target)
    with pytest.raises(FrozenInstanceError):
        result.num_gts = 3
    with pytest.raises(TypeError):
        result.extras["flag"] = None


def test_extras_are_a_copy_of_what_was_given():
    extras = {"flag": np.ones(1)}
    result = AssignResult(np.zeros(1), None, None, 0, extras)
    extras["other"] = np.ones(1)
    assert set(result.extras) == {"flag"}


def test_masks_and_matches_follow_the_codes(target):
    result = AssignResult(target.from_numpy(np.array([-1, 0, 1, 3, 3])), None, None, num_gts=3)
    assert result.num_priors == 5
    expected = {
        "ignored_mask": [True, False, False, False, False],
        "neg_mask": [False, True, False, False, False],
        "pos_mask": [False, False, True, True, True],
        "matched_gt": [-1, -1, 0, 2, 2],
        "positives_per_gt": [1, 0, 2],
    }
    for name, values in expected.items():
        assert target.to_numpy(getattr(result, name)).tolist() == values


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (0,)], ids=str)
def test_positives_per_gt_are_counts(target, lead):
    result = _result(target, lead)
    codes = target.to_numpy(result.gt_inds).reshape(-1, 9)
    expected = [np.bincount(np.maximum(row, 0), minlength=5)[1:] for row in codes]
    counts = target.to_numpy(result.positives_per_gt)
    assert counts.shape == (*lead, 4)
    np.testing.assert_array_equal(counts, np.array(expected).reshape(*lead, 4))


@pytest.mark.parametrize(("n", "g"), [(0, 4), (9, 0), (0, 0)])
def test_nothing_is_counted_where_there_is_nothing(target, n, g):
    result = AssignResult(target.from_numpy(np.zeros((2, n), dtype=np.int64)), None, None, g)
    assert target.to_numpy(result.positives_per_gt).tolist() == [[0] * g] * 2


def test_an_index_picks_images(target):
    result = _result(target, (2, 3))
    for index, lead in [(1, (3,)), ((1, 2), ()), ((slice(None), 0), (2,)), (slice(0, 1), (1, 3))]:
        picked = result[index]
        assert tuple(picked.gt_inds.shape) == (*lead, 9)
        assert picked.num_gts == 4
        whole = result.to_numpy()
        for got, of in [(picked.gt_inds, whole.gt_inds), (picked.extras["flag"], whole.extras["flag"])]:
            np.testing.assert_array_equal(target.to_numpy(got), of[index])


def test_what_is_absent_stays_absent(target):
    bare = AssignResult(_result(target, (2,)).gt_inds, None, None, 4)
    for result in (bare[0], bare.to_numpy(), bare.with_gts_prepended(), copy.deepcopy(bare)):
        assert result.max_overlaps is None
        assert result.labels is None
        assert dict(result.extras) == {}


def test_one_image_has_no_index(target):
    with pytest.raises(IndexError, match="one image"):
        _result(target)[0]


def test_an_index_does_not_reach_into_the_priors(target):
    with pytest.raises(IndexError):
        _result(target, (2,))[0, 1]


@pytest.mark.parametrize("lead", [(), (2, 3)], ids=str)
def test_copies_and_pickles_are_whole(target, lead):
    result = _result(target, lead)
    _same(copy.deepcopy(result), result)
    _same(copy.copy(result), result)
    if target.library != "array_api_strict":
        _same(pickle.loads(pickle.dumps(result)), result)


def test_to_numpy_gives_numpy_arrays_of_the_same_dtype(target):
    result = _result(target, (2,)).to_numpy()
    arrays = [result.gt_inds, result.max_overlaps, result.labels, result.extras["flag"]]
    assert {type(x) for x in arrays} == {np.ndarray}
    assert [x.dtype.kind for x in arrays] == ["i", "f", "i", "b"]


@pytest.mark.parametrize("lead", [(), (2,)], ids=str)
def test_ground_truths_go_before_the_priors(target, lead):
    result = _result(target, lead)
    labels = target.from_numpy(np.array([5, 6, 7, 8]))
    valid = target.from_numpy(np.array([True, False, True, True]))
    longer = result.with_gts_prepended(labels, gt_valid=valid).to_numpy()
    old = result.to_numpy()
    head = (*lead, 4)
    np.testing.assert_array_equal(longer.gt_inds[..., :4], np.broadcast_to([1, -1, 3, 4], head))
    np.testing.assert_array_equal(longer.labels[..., :4], np.broadcast_to([5, -1, 7, 8], head))
    np.testing.assert_array_equal(longer.max_overlaps[..., :4], np.broadcast_to([1, 0, 1, 1], head))
    for name in ("gt_inds", "labels", "max_overlaps"):
        np.testing.assert_array_equal(getattr(longer, name)[..., 4:], getattr(old, name))
        assert getattr(longer, name).dtype == getattr(old, name).dtype
    assert (longer.num_gts, longer.num_priors, dict(longer.extras)) == (4, 13, {})


def test_all_ground_truths_are_valid_unless_told_otherwise(target):
    result = _result(target, (2,)).with_gts_prepended(target.from_numpy(np.array([5, 6, 7, 8])))
    assert target.to_numpy(result.gt_inds)[:, :4].tolist() == [[1, 2, 3, 4]] * 2


def test_no_ground_truth_prepends_nothing(target):
    result = AssignResult(target.from_numpy(np.array([0, -1])), None, None, 0)
    assert target.to_numpy(result.with_gts_prepended().gt_inds).tolist() == [0, -1]


def test_labels_need_the_labels_of_what_goes_before(target):
    with pytest.raises(ValueError, match=r"labels.*got None"):
        _result(target).with_gts_prepended()


def test_it_is_a_pytree_of_jax():
    arrays = _result_of(jax.numpy.asarray)
    leaves, structure = jax.tree.flatten(arrays)
    assert len(leaves) == 4
    _same(jax.tree.unflatten(structure, leaves), arrays)
    doubled = jax.jit(lambda r: jax.tree.map(lambda x: x + x, r))(arrays)
    assert doubled.num_gts == 2
    assert doubled.gt_inds.tolist() == [2, 4]
    bare = AssignResult(jax.numpy.zeros(2), None, None, 2)
    assert jax.jit(lambda r: r)(bare).labels is None


def test_it_is_a_pytree_of_pytorch():
    arrays = _result_of(torch.asarray)
    leaves, spec = torch_pytree.tree_flatten(arrays)
    assert len(leaves) == 4
    _same(torch_pytree.tree_unflatten(leaves, spec), arrays)
    doubled = torch_pytree.tree_map(lambda x: x + x, arrays)
    assert doubled.num_gts == 2
    assert doubled.gt_inds.tolist() == [2, 4]


def _result_of(asarray):
    flag = asarray(np.array([1, 2]))
    return AssignResult(
        asarray(np.array([1, 2])), asarray(np.ones(2)), asarray(np.array([7, 8])), 2, {"a": flag}
    )


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_a_batch_has_a_length_and_is_iterated_image_by_image(library):
    target = get_target(library)
    boxes = target.from_numpy(np.array([[0, 0, 8, 8], [4, 4, 12, 12]], dtype=np.float32))
    assigner = MaxIoUAssigner(0.5, 0.4)
    result = assigner.assign(boxes, target.backend.xp.stack([boxes[:1], boxes[1:], boxes[:1]]))
    assert len(result) == 3
    images = list(result)
    assert [target.to_numpy(image.gt_inds).tolist() for image in images] == [[1, 0], [0, 1], [1, 0]]
    one = images[0]
    assert one
    for ask in (len, iter, list):
        with pytest.raises(TypeError, match="this result is of one image"):
            ask(one)


def test_two_batch_dimensions_are_iterated_by_the_first():
    boxes = np.array([[0, 0, 8, 8], [4, 4, 12, 12]], dtype=np.float32)
    result = MaxIoUAssigner(0.5, 0.4).assign(boxes, np.broadcast_to(boxes[:1], (2, 3, 1, 4)))
    assert [len(each) for each in result] == [3, 3]


def test_a_result_is_loaded_as_weights_are(tmp_path):
    boxes = torch.tensor([[0.0, 0, 8, 8], [4, 4, 12, 12]])
    result = MaxIoUAssigner(0.5, 0.4).assign(boxes, boxes[:1], gt_labels=torch.tensor([3]))
    torch.save(result, tmp_path / "result.pt")
    code = (
        "import sys, torch, assigncore\n"
        "assigncore.load_backend('torch')\n"
        "result = torch.load(sys.argv[1], weights_only=True)\n"
        "print(type(result).__name__, result.gt_inds.tolist(), result.labels.tolist(), dict(result.extras))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "result.pt"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "AssignResult [1, 0] [3, -1] {}\n", done.stderr
