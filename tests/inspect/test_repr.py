"""What a result shows of itself, and that showing it waits for nothing and fails on nothing."""

import jax
import numpy as np
import pytest
import torch

from assigncore import AssignResult, MaxIoUAssigner
from assigncore.conformance import get_target


def result_of(convert, codes=((0, 2, -1, 2), (1, 0, 0, 0))):
    codes = convert(np.asarray(codes))
    return AssignResult(codes, None, codes, 2, {"scores": codes})


def test_a_batch_on_the_host_is_counted():
    assert repr(result_of(np.asarray)).splitlines() == [
        "AssignResult: batch of 2, 4 priors, 2 ground truths",
        "  3 positives, 4 background, 1 ignored",
        "  gt_inds           (2, 4) int64",
        "  max_overlaps      none",
        "  labels            (2, 4) int64",
        "  extras['scores']  (2, 4) int64",
    ]


@pytest.mark.parametrize("library", ["torch", "jax", "array_api_strict"])
def test_so_it_is_in_every_library(library):
    first, second, *_ = repr(result_of(get_target(library).from_numpy)).splitlines()
    assert first.startswith("AssignResult: batch of 2, 4 priors, 2 ground truths (")
    assert second == "  3 positives, 4 background, 1 ignored"


def test_tensors_without_values_are_described():
    lines = repr(result_of(lambda x: torch.from_numpy(x).to("meta"))).splitlines()
    assert lines[0].endswith("(torch, meta)")
    assert not any("positive" in line for line in lines)


def test_what_compilers_trace_is_described():
    seen = []

    @jax.jit
    def traced(boxes):
        result = MaxIoUAssigner(0.5, 0.4).assign(boxes, boxes)
        seen.append((repr(result), result._repr_html_()))
        return result

    traced(np.ones((3, 4), dtype=np.float32))
    assert seen[0][0].startswith("AssignResult: 3 priors, 3 ground truths (jax")
    assert "positive" not in "".join(seen[0])


def test_what_transformations_hide_is_described():
    seen = []

    def watched(codes):
        seen.append(repr(AssignResult(codes, None, None, 2)))
        return codes

    torch.func.vmap(watched)(torch.tensor([[0, 1], [2, 0]]))
    with torch._subclasses.FakeTensorMode():
        seen.append(repr(AssignResult(torch.zeros(3, dtype=torch.int64), None, None, 2)))
    assert len(seen) == 2
    assert not any("positive" in text for text in seen)


def test_whatever_stands_for_the_arrays_is_described():
    result = result_of(np.asarray)
    shapes = jax.eval_shape(lambda: jax.tree.map(jax.numpy.asarray, result))
    assert "(2, 4) int32" in repr(shapes)
    assert repr(jax.tree.map(lambda _: None, result))
    assert repr(jax.tree.map(lambda _: "text", result)).startswith("AssignResult")
    jax.tree.map(lambda _: object(), result)._repr_html_()


def test_a_device_is_never_asked_for_values(monkeypatch):
    """A device that the host cannot read: whatever asked for values would fail."""
    result = result_of(torch.from_numpy)
    backend = get_target("torch").backend
    monkeypatch.setattr(type(backend), "reads_host", lambda *_: False)
    monkeypatch.setattr(type(backend), "to_numpy", lambda *_: pytest.fail("waited"))
    assert "positive" not in repr(result)


def test_a_notebook_gets_an_escaped_table_in_the_colours_of_the_page():
    codes = np.array([0, 1])
    html = AssignResult(codes, None, None, 1, {"<b>": codes})._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert "1 positive, 1 background, 0 ignored" in html
    assert "color: inherit" in html


@pytest.mark.parametrize(("shape", "gts"), [((0,), 0), ((2, 0), 3), ((0, 4), 0)])
def test_nothing_is_shown_as_nothing(shape, gts):
    result = AssignResult(np.zeros(shape, dtype=np.int64), None, None, gts)
    assert "0 positives, " in repr(result)
    assert "0 positives" in result._repr_html_()
