"""Pictures: that they hold what they are given, and stay readable with thousands of positives."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imsave

from assigncore import AssignResult, MaxIoUAssigner, Monitor, RotatedIoU, plot
from assigncore.boxes import xywhr_to_corners
from assigncore.conformance import get_target
from assigncore.priors import fcos_points, retinanet_anchors

BOXES = np.array([[20, 20, 120, 120], [150, 30, 240, 200], [4, 4, 6, 6]], dtype=np.float32)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return Figure(figsize=(6, 6)).subplots()


@pytest.fixture(scope="module")
def dense():
    anchors = retinanet_anchors((256, 256))
    return anchors, MaxIoUAssigner(0.3, 0.2, min_pos_iou=0.2).assign(anchors.priors, BOXES)


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_few_positives_are_outlines_and_many_are_dots(ax, dense):
    anchors, result = dense
    few = AssignResult(np.where(np.arange(len(result.gt_inds)) < 3, 1, 0), None, None, 3)
    drawn = plot.assignment(few, anchors.priors, BOXES, ax=ax)
    assert drawn is ax
    assert sum(len(c.get_segments()) for c in ax.collections if isinstance(c, LineCollection)) == 3 + 3
    assert int(np.sum(result.gt_inds > 0)) > 150
    levels = anchors.num_level_priors
    many = plot.assignment(result, anchors.priors, BOXES, num_level_priors=levels, ax=Figure().subplots())
    dots = [c for c in many.collections if isinstance(c, PathCollection)]
    assert len(dots) == sum("level" in text for text in texts(many))
    centers = (anchors.priors[:, :2] + anchors.priors[:, 2:])[result.gt_inds > 0] / 2
    places = np.concatenate([c.get_offsets() for c in dots])
    assert len(places) < len(centers)
    np.testing.assert_array_equal(np.unique(places, axis=0), np.unique(centers, axis=0))


def test_one_positive_is_told_in_the_singular(ax):
    result = AssignResult(np.array([0, 1, 0, 0]), None, None, 3)
    priors = np.zeros((4, 4), dtype=np.float32)
    assert plot.assignment(result, priors, BOXES, ax=ax).get_title(loc="left") == "1 positive"
    (beside,) = plot.side_by_side({"A": result}, priors, BOXES, axes=[ax])
    assert beside.get_title(loc="left") == "A: 1 positive, 2 objects without"


def test_levels_are_told_by_colour_and_counted(ax, dense):
    anchors, result = dense
    plot.assignment(result, anchors.priors, BOXES, num_level_priors=anchors.num_level_priors, ax=ax)
    level = anchors.level_index()[result.gt_inds > 0]
    expected = [f"level {i}: {np.sum(level == i):,}" for i in np.unique(level)]
    assert [text for text in texts(ax) if text.startswith("level")] == expected
    colors = [to_hex(c.get_facecolor()[0]) for c in ax.collections if isinstance(c, PathCollection)]
    assert len(set(colors)) == len(colors)
    assert plot.UNMATCHED not in colors


def test_legends_leave_small_axes_their_room():
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 5.0), layout="constrained")
    for ax in axes:
        plot.objects(BOXES, np.array([0, 3, 20]), ax=ax)
    figure.canvas.draw()
    for ax in axes:
        assert ax.bbox.width > 0.25 * figure.bbox.width
        assert ax.get_legend().get_window_extent().width <= figure.bbox.width / 3


def test_a_dot_with_more_positives_is_larger(ax):
    points = np.array([[8.0, 8.0], [8.0, 8.0], [16.0, 8.0], [40.0, 40.0]])
    result = AssignResult(np.array([1, 1, 1, 0]), None, None, 1)
    plot.assignment(result, points, BOXES[:1], ax=ax)
    (dots,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert dots.get_offsets().tolist() == [[8, 8], [16, 8]]
    assert dots.get_sizes()[0] > dots.get_sizes()[1]


def test_objects_without_positives_are_magenta_and_padding_is_not_drawn(ax):
    result = AssignResult(np.array([1, 0]), None, None, 3)
    plot.assignment(result, BOXES[:2], BOXES, gt_valid=np.array([True, True, False]), ax=ax)
    loud = [c for c in ax.collections if to_hex(c.get_edgecolor()[0]) == plot.UNMATCHED]
    assert [len(c.get_paths()) for c in loud] == [1]
    assert "object without positives" in texts(ax)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_arrays_of_any_library_are_drawn(library, ax):
    target = get_target(library)
    points = fcos_points((64, 64)).priors
    result = AssignResult(target.from_numpy(np.ones(len(points), dtype=np.int64)), None, None, 1)
    plot.assignment(result, target.from_numpy(points), target.from_numpy(BOXES[:1]), ax=ax)
    assert f"positives: {len(points)}" in texts(ax)


@pytest.mark.parametrize("shape", [(8, 10), (8, 10, 3), (3, 8, 10), (8, 10, 4)])
def test_an_image_lies_beneath(shape, ax):
    result = AssignResult(np.array([1]), None, None, 1)
    plot.assignment(result, BOXES[:1], BOXES[:1], image=np.zeros(shape), ax=ax)
    assert ax.images[0].get_extent() == [0, 10, 8, 0]
    assert ax.get_ylim() == (8, 0)


def test_a_file_lies_beneath_stretched_to_the_training_size(ax, tmp_path):
    imsave(tmp_path / "a.png", np.zeros((8, 10, 3)))
    plot.objects(BOXES[:1], np.array([2]), image=tmp_path / "a.png", image_shape=(80, 100), ax=ax)
    assert ax.images[0].get_extent() == [0, 100, 80, 0]


def test_what_cannot_be_drawn_is_named(ax):
    batch = AssignResult(np.array([[1]]), None, None, 1)
    with pytest.raises(ValueError, match=r"result\[0\], got gt_inds of shape \(1, 1\)"):
        plot.assignment(batch, BOXES[:1], BOXES[:1], ax=ax)
    with pytest.raises(ValueError, match="expected the 1 and 1 of the result, got 2 and 1"):
        plot.assignment(batch[0], BOXES[:2], BOXES[:1], ax=ax)
    with pytest.raises(ValueError, match="image: expected shape"):
        plot.objects(BOXES, np.ones(3), image=np.zeros((2, 2, 2)), ax=ax)
    with pytest.raises(ValueError, match="positives: expected one for each of 3 boxes, got 2"):
        plot.objects(BOXES, np.ones(2), ax=ax)


def test_nothing_at_all_is_drawn():
    nothing = AssignResult(np.zeros(0, dtype=np.int64), None, None, 0)
    plot.assignment(nothing, np.zeros((0, 4)), np.zeros((0, 4))).figure.canvas.draw()
    plot.objects(np.zeros((0, 4)), nothing).figure.canvas.draw()
    plot.positives_histogram(nothing).figure.canvas.draw()
    plot.heat_map(np.full(4, -np.inf), [(2, 2), (0, 0)])[0].figure.canvas.draw()


def test_a_heat_map_shows_the_best_of_each_cell():
    values = np.array([0.1, 0.5, np.nan, np.inf, 0.2, 0.3, 0.0, 0.4, 0.9, 0.7])
    first, second = plot.heat_map(values, [(2, 2), (1, 1)], strides=(8, (16, 16)), gt_bbox=BOXES[0])
    np.testing.assert_array_equal(np.asarray(first.images[0].get_array().filled(-1)), [[0.5, -1], [0.3, 0.4]])
    assert second.images[0].get_array().tolist() == [[0.9]]
    assert first.images[0].get_extent() == [0, 16, 16, 0]
    assert {ax.images[0].get_clim() for ax in (first, second)} == {(0.0, 0.9)}
    assert second.get_title() == "stride 16: up to 0.90"
    with pytest.raises(ValueError, match="values: expected shape"):
        plot.heat_map(values[:9], [(2, 2), (1, 1)])
    with pytest.raises(ValueError, match="strides: expected 2"):
        plot.heat_map(values, [(2, 2), (1, 1)], strides=(8,))


def test_a_histogram_leaves_padding_out(ax):
    result = AssignResult(np.array([[1, 1, 1], [0, 0, 2]]), None, None, 2)
    valid = np.array([[True, False], [True, True]])
    plot.positives_histogram(result, gt_valid=valid, ax=ax)
    assert [int(bar.get_height()) for bar in ax.patches][:4] == [1, 1, 0, 1]
    assert to_hex(ax.patches[0].get_facecolor()) == plot.UNMATCHED
    assert ax.get_title(loc="right") == "33.3% without any"


def test_assigners_with_priors_of_their_own_stand_side_by_side(dense):
    anchors, result = dense
    points = fcos_points((256, 256))
    other = AssignResult(np.zeros(len(points.priors), dtype=np.int64), None, None, 3)
    axes = plot.side_by_side(
        {"a": result, "b": other},
        {"a": anchors.priors, "b": points.priors},
        BOXES,
        num_level_priors={"a": anchors.num_level_priors, "b": points.num_level_priors},
        gt_valid=np.array([True, True, False]),
    )
    assert axes[1].get_title(loc="left") == "b: 0 positives, 2 objects without"
    assert axes[0].figure is axes[1].figure
    with pytest.raises(ValueError, match="axes: expected 2, one a result, got 1"):
        plot.side_by_side({"a": result, "b": other}, anchors.priors, BOXES, axes=axes[:1])


def test_a_training_run_is_drawn(dense):
    anchors, result = dense
    monitor = Monitor(num_level_priors=anchors.num_level_priors)
    for _ in range(3):
        monitor.update(result, gt_bboxes=BOXES, image_ids=[1])
        monitor.end_epoch()
    axes = plot.history(monitor.history)
    assert [line.get_label() for line in axes[1].lines] == ["small", "large"]
    assert len(axes[2].lines) == 5
    np.testing.assert_array_equal(axes[3].lines[0].get_ydata(), [np.nan, 0, 0])
    with pytest.raises(ValueError, match="at least one epoch"):
        plot.history([])


def test_colours_stay_apart_in_any_colour_vision():
    """Their lightness, by the sRGB standard, or their blue against yellow tells neighbours apart."""

    def seen(color):
        r, g, b = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return np.array([0.2126 * r + 0.7152 * g + 0.0722 * b, b - (r + g) / 2])

    for colors in (plot.SIZE_COLORS, plot.LEVEL_COLORS[:5]):
        for i, a in enumerate(colors):
            assert all(np.abs(seen(a) - seen(b)).max() > 0.1 for b in colors[i + 1 :])


def test_without_matplotlib_the_extra_is_named():
    code = (
        "import sys; sys.modules['matplotlib'] = None; import assigncore\n"
        "try: assigncore.plot\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "assigncore[plot]"' in done.stdout


def test_best_overlaps_stack_groups_and_join_equal_thresholds(ax):
    counts = {"small": [2, 0, 1, 0], "medium": [0, 0, 0, 0], "large": [1, 1, 0, 5]}
    drawn = plot.best_overlaps(
        counts,
        edges=[0.0, 0.25, 0.5, 0.75, 1.0],
        thresholds={"pos_iou_thr": 0.5, "neg_iou_thr": 0.5, "min_pos_iou": 0.3},
        ax=ax,
    )
    assert drawn is ax
    assert [bar.get_height() for bar in ax.patches] == [2, 0, 1, 0, 1, 1, 0, 5]
    assert [bar.get_y() for bar in ax.patches][4:] == [2, 0, 1, 0]
    assert [line.get_xdata()[0] for line in ax.lines] == [0.5, 0.3]
    names = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert names == ["pos_iou_thr = neg_iou_thr = 0.5", "min_pos_iou = 0.3", "small", "large"]


def test_a_comparison_has_a_bar_for_each_assigner_and_group():
    shares, means = [[0.5, 0.1], [0.0, 0.0], [1.0, 0.2]], [[0.5, 3], [9, 120], [0, 2]]
    axes = plot.comparison(
        ["rpn", "atss", "fcos"], groups=["small", "large"], without_positives=shares, mean_positives=means
    )
    assert axes.shape == (2, 2)
    for column in range(2):
        assert [bar.get_width() for bar in axes[0, column].patches] == [100 * row[column] for row in shares]
        assert [bar.get_width() for bar in axes[1, column].patches] == [row[column] for row in means]
    assert [text.get_text() for text in axes[0, 0].get_yticklabels()] == ["rpn", "atss", "fcos"]
    assert axes[0, 0].get_xlim()[1] == 125
    with pytest.raises(
        ValueError, match=r"mean_positives: expected a number for each .* \(1, 2\), got \(1, 1\)"
    ):
        plot.comparison(["rpn"], groups=["a", "b"], without_positives=[[0, 0]], mean_positives=[[1]])


def test_oriented_boxes_are_drawn_by_their_corners():
    boxes = np.array([[30.0, 30.0, 20.0, 8.0, 0.6], [60.0, 40.0, 10.0, 20.0, -0.3]])
    result = MaxIoUAssigner(0.5, 0.4, iou_calculator=RotatedIoU()).assign(boxes + 0.5, boxes)
    ax = plot.assignment(result, boxes + 0.5, boxes)
    drawn = [path.vertices for lines in ax.collections for path in lines.get_paths()]
    for corners in xywhr_to_corners(boxes):
        assert any(len(path) == 5 and np.allclose(path[:4], corners) for path in drawn)
    assert ax.get_xlim()[1] >= xywhr_to_corners(boxes)[..., 0].max()
    ax = plot.objects(boxes, result, image_shape=(80, 100))
    assert len(ax.get_legend().get_texts()) >= 1
    with pytest.raises(ValueError, match=r"expected shape \(n, 4\) or \(n, 5\)"):
        plot.objects(boxes[:, :3], result)


def test_labelled_keypoints_are_dots_in_the_colour_of_their_object(ax):
    poses = np.zeros((3, 2, 3))
    poses[0] = [[30, 40, 2], [50, 60, 0]]
    poses[1] = [[160, 50, 1], [200, 90, 2]]
    plot.objects(BOXES, np.array([0, 3, 20]), gt_keypoints=poses, ax=ax)
    dots = [found for found in ax.collections if type(found) is PathCollection and len(found.get_offsets())]
    places = {to_hex(found.get_facecolor()[0]): found.get_offsets().tolist() for found in dots}
    assert places == {plot.UNMATCHED: [[30, 40]], plot.COUNT_COLORS[1]: [[160, 50], [200, 90]]}
    with pytest.raises(ValueError, match=r"gt_keypoints: expected shape \(3, K, 3\), got \(2, 2, 3\)"):
        plot.objects(BOXES, np.ones(3), gt_keypoints=poses[:2], ax=ax)
