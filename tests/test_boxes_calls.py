"""What every public function of `boxes` makes of wrong, narrow and empty arrays, on every library."""

import numpy as np
import pytest
import torch

from assigncore import boxes as b
from assigncore.conformance import get_target

ORIENTED = ("normalize_angles", "xywhr_to_corners", "xywhr_to_xyxy")
SINGLE = (
    "box_area", "box_centers", "corners_to_xywhr", "cxcywh_to_xyxy", "xywh_to_xyxy", "xyxy_to_cxcywh",
    "xyxy_to_xywhr", *ORIENTED,
)  # fmt: skip
ALIGNED = tuple(name for name in b.__all__ if name.startswith("aligned"))
ARGUMENTS = {
    **{name: ("boxes",) if name in SINGLE else ("a", "b") for name in b.__all__},
    "points_in_boxes": ("points", "boxes"),
    "corners_to_xywhr": ("corners",),
}


def arguments_of(function, rows=(3, 3), dtype=np.float32):
    """Draw whole boxes, so that half precision holds them; of some, areas and sums exceed its range."""
    rng = np.random.default_rng(0)
    drawn = {}
    for name, n in zip(ARGUMENTS[function], rows, strict=False):
        low = rng.integers(0, 20000, (n, 2))
        both = [low, low + rng.integers(1, 40000, (n, 2))]
        drawn[name] = (low if name == "points" else np.concatenate(both, axis=-1)).astype(np.float16)
        if function in ORIENTED:
            drawn[name] = np.concatenate([drawn[name] / 4, rng.uniform(-4, 4, (n, 1))], axis=-1)
        if name == "corners":
            drawn[name] = drawn[name][:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    return {name: x.astype(dtype) for name, x in drawn.items()}


def call(function, target, arguments):
    with target.running(x64=False):
        return getattr(b, function)(**{name: target.from_numpy(x) for name, x in arguments.items()})


def wrong_shapes(function, arguments):
    """Give what to change, and what the error says of it."""
    for name, x in arguments.items():
        wider = np.concatenate([x, x[..., :2]], axis=-1)
        for wrong in (x[..., :-1], wider) if function in SINGLE else (x[:, :-1], wider, x[0]):
            yield {name: wrong}, (name, "expected", str(wrong.shape))
    if function in ALIGNED:
        yield {"b": arguments["b"][:2]}, ("b: expected 3 rows", "got 2")
    if function not in SINGLE:
        leads = {name: np.stack([x] * n) for n, (name, x) in enumerate(arguments.items(), start=2)}
        yield (
            leads,
            ("leading dimensions do not broadcast", *(f"{name} ({len(x)},)" for name, x in leads.items())),
        )


@pytest.mark.parametrize("function", b.__all__)
def test_a_wrong_shape_is_named(function, target):
    arguments = arguments_of(function)
    for change, words in wrong_shapes(function, arguments):
        with pytest.raises(ValueError, match=r"expected|do not broadcast") as caught:
            call(function, target, {**arguments, **change})
        assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("function", b.__all__)
@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_a_wrong_dtype_is_named(function, dtype, target):
    arguments = arguments_of(function)
    for name, x in arguments.items():
        with pytest.raises(TypeError, match=f"{name}: expected real floating numbers, got dtype .*{dtype}"):
            call(function, target, {**arguments, name: x.astype(dtype)})


@pytest.mark.parametrize("function", b.__all__)
def test_a_list_is_named(function, target):
    arguments = arguments_of(function)
    with target.running(x64=False):
        arrays = {name: target.from_numpy(x) for name, x in arguments.items()}
        for name, x in arguments.items():
            with pytest.raises(
                TypeError, match=f"{name}: expected an array of an array API library, got list"
            ):
                getattr(b, function)(**{**arrays, name: x.tolist()})


@pytest.mark.parametrize("function", [name for name in b.__all__ if name not in SINGLE])
def test_two_libraries_are_named(function, target):
    arguments = arguments_of(function)
    first, second = arguments
    other = get_target("numpy" if target.library == "torch" else "torch")
    with target.running(x64=False):
        mixed = (target.from_numpy(arguments[first]), other.from_numpy(arguments[second]))
        with pytest.raises(
            TypeError, match=f"{first} belongs to .* and {second} to .*; expected arrays of one"
        ):
            getattr(b, function)(*mixed)


@pytest.mark.parametrize("function", b.__all__)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_raised_first(function, dtype, target):
    if dtype not in target.dtypes:
        pytest.skip(f"{target.name} has no {dtype}")
    with target.running(x64=False):
        half = {name: target.in_dtype(x, dtype) for name, x in arguments_of(function).items()}
        single = {name: target.backend.xp.astype(x, target.dtype("float32")) for name, x in half.items()}
        got, expected = getattr(b, function)(**half), getattr(b, function)(**single)
        assert got.dtype == target.dtype("bool" if function == "points_in_boxes" else "float32")
        np.testing.assert_array_equal(target.to_numpy(got), target.to_numpy(expected))
        assert np.isfinite(target.to_numpy(got)).all()
        if len(half) == 2:
            # One in float32 beside a half is not rounded to half itself.
            first, second = half
            mixed = getattr(b, function)(half[first], single[second])
            np.testing.assert_array_equal(target.to_numpy(mixed), target.to_numpy(expected))


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        (name, rows)
        for name in b.__all__
        for rows in ([(0, 0)] if name in (*SINGLE, *ALIGNED) else [(0, 0), (0, 3), (3, 0)])
    ],
)
def test_no_boxes_have_no_geometry(function, rows, target):
    got = call(function, target, arguments_of(function, rows))
    if function in (*SINGLE, *ALIGNED):
        whole = call(function, get_target("numpy"), arguments_of(function))
        assert tuple(got.shape) == (0, *whole.shape[1:])
    else:
        assert tuple(got.shape) == (rows[::-1] if function == "points_in_boxes" else rows)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_all_compile(name):
    target = get_target(name)

    def everything(points, boxes, others):
        given = {"points": points, "boxes": boxes, "a": boxes, "b": others}
        of_oriented = {"boxes": b.xyxy_to_xywhr(boxes)}
        given["corners"] = b.xywhr_to_corners(of_oriented["boxes"])
        return [
            getattr(b, function)(
                **{
                    name: (of_oriented if function in ORIENTED else given)[name]
                    for name in ARGUMENTS[function]
                }
            )
            for function in b.__all__
        ]

    arrays = {**arguments_of("points_in_boxes"), "others": arguments_of("box_area")["boxes"][::-1].copy()}
    with target.running(x64=False):
        given = {name: target.from_numpy(x) for name, x in arrays.items()}
        for got, expected in zip(target.compile(everything)(**given), everything(**given), strict=True):
            # An arc tangent, alone of all, is another function once compiled.
            np.testing.assert_allclose(target.to_numpy(got), target.to_numpy(expected), rtol=1e-6)


@pytest.mark.parametrize("function", SINGLE)
def test_a_single_box_is_a_row(function, target):
    ((name, boxes),) = arguments_of(function).items()
    alone = target.to_numpy(call(function, target, {name: boxes[0]}))
    np.testing.assert_array_equal(alone, target.to_numpy(call(function, target, {name: boxes}))[0])


@pytest.mark.parametrize("function", [name for name in b.__all__ if name != "points_in_boxes"])
def test_all_carry_gradients(function):
    arrays = {name: torch.tensor(x, requires_grad=True) for name, x in arguments_of(function).items()}
    assert getattr(b, function)(**arrays).requires_grad


@pytest.mark.parametrize("columns", [(2, 3), (0, 0)])
def test_columns_that_have_no_distance(columns):
    with pytest.raises(ValueError, match="a, b: expected equally many columns, at least one, got"):
        b.pairwise_l1(*(np.zeros((2, n)) for n in columns))


@pytest.mark.parametrize("margin", [np.nan, "1", True, None])
def test_a_margin_is_a_finite_number(margin):
    with pytest.raises((TypeError, ValueError), match="margin: expected a"):
        b.points_in_boxes(np.zeros((1, 2)), np.zeros((1, 4)), margin=margin)


def test_nothing_is_inside_a_broken_box_and_no_broken_point_inside_any(target):
    boxes = np.array(
        [[0, 0, 4, 4], [-np.inf, 0, 4, 4], [0, 0, np.inf, 4], [np.nan, 0, 4, 4]], dtype=np.float32
    )
    points = np.array([[1, 1], [np.nan, 1], [np.inf, 1], [-np.inf, 1]], dtype=np.float32)
    with target.running(x64=False):
        for margin in (0.0, -1.0):
            got = b.points_in_boxes(target.from_numpy(points), target.from_numpy(boxes), margin=margin)
            expected = np.zeros((4, 4), dtype=bool)
            expected[0, 0] = True
            np.testing.assert_array_equal(target.to_numpy(got), expected)
