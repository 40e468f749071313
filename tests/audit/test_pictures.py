"""The pictures: which there are, and that they show what was found."""

from itertools import pairwise

import numpy as np
import PIL.Image
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.image import imread, imsave
from matplotlib.text import Text

from assigncore import plot
from assigncore.audit import assigning, gallery, pictures
from assigncore.audit.assigning import assign_images
from assigncore.audit.presets import PRESETS
from assigncore.audit.style import slug
from assigncore.datasets import read_coco
from assigncore.plot import UNMATCHED

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def dataset(document, write):
    return read_coco(write(document))


@pytest.fixture
def frames(dataset, scale):
    return [scale.frame(image) for image in dataset.images]


@pytest.fixture
def run(audit):
    return lambda *words: audit(" ".join(words))[0]


def test_every_run_has_its_pictures_and_all_their_comparison(run, dataset, settings, tmp_path):
    runs = [run("rpn"), run("retinanet")]
    drawn = pictures.draw_all(runs, dataset, settings, tmp_path, None, 2)
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png"))
    each = ["best_overlap.png", "gallery/01_a.png", "gallery/02_b.png", "levels.png", "positives.png"]
    assert found == ["comparison.png", *(f"{n}/{p}" for n in ("retinanet", "rpn") for p in each)]
    assert [len(own) for own in drawn] == [5, 5, 1]
    assert sorted(path for own in drawn for path in own) == [tmp_path / name for name in found]
    for path in found:
        assert (tmp_path / path).read_bytes().startswith(PNG)


def test_the_gallery_starts_with_the_images_that_go_without(run, dataset):
    assert [image.id for image in gallery.choose([run("rpn")], dataset, 8)] == [7, 3]
    assert [image.id for image in gallery.choose([run("rpn")], dataset, 1)] == [7]


def test_the_gallery_draws_every_run_at_its_own_size(run, dataset, settings, tmp_path):
    runs = [run("rpn"), run("ssd")]
    folders = [tmp_path / name for name in ("rpn", "ssd")]
    drawn = gallery.draw_gallery(runs, dataset, settings, folders, None, 1)
    assert drawn == [[folder / "gallery" / "01_a.png"] for folder in folders]
    shapes = [imread(tmp_path / name / "gallery" / "01_a.png").shape for name in ("rpn", "ssd")]
    assert shapes[1][0] > shapes[0][0]


def test_the_gallery_looks_for_no_reasons(run, dataset, settings, tmp_path, monkeypatch):
    found = run("rpn")
    assert found.statistics.reasons
    monkeypatch.setattr(assigning, "find_reasons", lambda *_: pytest.fail("looked for reasons"))
    gallery.draw_gallery([found], dataset, settings, [tmp_path], None, 1)


def heights(ax):
    return [patch.get_height() for patch in ax.patches]


def test_the_histograms_hold_every_object_and_none_is_loud(run):
    rpn = run("rpn")
    figure = pictures.positives_figure(rpn)
    for ax, row in zip(figure.axes, rpn.statistics.sizes, strict=False):
        assert sum(heights(ax)) == row.objects
        assert heights(ax)[0] == row.without
        assert to_hex(ax.patches[0].get_facecolor()) == UNMATCHED
        assert UNMATCHED not in {to_hex(p.get_facecolor()) for p in ax.patches[1:]}


def test_the_levels_hold_every_positive(run):
    rpn = run("rpn")
    assert sum(heights(pictures.levels_figure(rpn).axes[0])) == rpn.statistics.priors.positive > 0


def test_the_overlaps_hold_every_object_and_the_thresholds(run):
    ax = pictures.overlaps_figure(run("rpn")).axes[0]
    assert sum(heights(ax)) == 4
    assert {line.get_label() for line in ax.lines} == {"pos_iou_thr = 0.7", "neg_iou_thr = min_pos_iou = 0.3"}
    assert ax.get_ylim()[1] > 1


def test_the_comparison_shows_every_run(run):
    runs = [run("rpn"), run("retinanet"), run("fcos")]
    axes = pictures.comparison_figure(runs).axes
    shown = [i for i, row in enumerate(runs[0].statistics.sizes) if row.objects]
    assert len(axes) == 2 * len(shown)
    for i, above, below in zip(shown, axes, axes[len(shown) :], strict=False):
        rows = [run.statistics.sizes[i] for run in runs]
        assert [p.get_width() for p in above.patches] == [100 * row.share_without for row in rows]
        assert [p.get_width() for p in below.patches] == [row.mean_positives for row in rows]
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["rpn", "retinanet", "fcos"]
    assert axes[0].get_ylim()[0] > axes[0].get_ylim()[1]


def test_many_assigners_can_be_read_in_the_comparison(run):
    runs = [run(name) for name in PRESETS]
    figure = pictures.comparison_figure(runs)
    figure.draw_without_rendering()
    names = [t.get_window_extent() for t in figure.axes[0].get_yticklabels()]
    assert len(names) == len(PRESETS)
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(names))
    for ax in figure.axes:
        frame = ax.get_window_extent()
        assert all(t.get_window_extent().x1 <= frame.x1 for t in ax.texts)


def collections_of(run, dataset, frames, settings, images=None):
    one = next(o for o in assign_images(run.plan, dataset, frames, settings) if o.frame.image.id == 7)
    crowds = one.frame.boxes(dataset.crowds(one.frame.image))
    figure = gallery.image_figure(run, one, crowds, images)
    return one, figure


def test_the_gallery_draws_priors_objects_and_the_unmatched(run, dataset, frames, settings):
    one, figure = collections_of(run("rpn"), dataset, frames, settings)
    left, right = figure.axes
    loud = [
        c for c in left.collections if len(c.get_edgecolor()) and to_hex(c.get_edgecolor()[0]) == UNMATCHED
    ]
    assert [len(c.get_paths()) for c in loud] == [1]
    box = loud[0].get_paths()[0].get_extents()
    np.testing.assert_allclose([box.x0, box.y0, box.x1, box.y1], [5, 8, 11, 15])
    lines = sum(len(c.get_segments()) for c in left.collections if hasattr(c, "get_segments"))
    assert lines == np.sum(one.gt_inds > 0) + len(one.objects)
    texts = [text.get_text() for text in right.get_legend().get_texts()]
    assert "none: 1 object" in texts
    assert "crowd regions: 1" in texts


@pytest.mark.parametrize("name", ["a.png", "deep/a.png"])
def test_an_image_file_is_shown_where_there_is_one(name, run, dataset, frames, settings, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    imsave(path, np.zeros((240, 320, 3)))
    _, figure = collections_of(run("rpn"), dataset, frames, settings, path.parent)
    assert [len(ax.images) for ax in figure.axes] == [1, 1]
    assert figure.axes[0].images[0].get_extent() == [0, 320, 240, 0]


def test_a_missing_or_broken_image_file_leaves_a_blank_canvas(run, dataset, frames, settings, tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    _, figure = collections_of(run("rpn"), dataset, frames, settings, tmp_path)
    assert [len(ax.images) for ax in figure.axes] == [0, 0]


def test_unmatched_objects_can_be_seen_in_the_file(run, dataset, settings, tmp_path):
    pictures.draw_all([run("rpn")], dataset, settings, tmp_path, None, 1)
    pixels = imread(tmp_path / "rpn" / "gallery" / "01_a.png")[..., :3]
    loud = np.asarray([0xE6, 0x00, 0x7E]) / 255
    assert np.sum(np.all(np.abs(pixels - loud) < 0.02, axis=-1)) > 20


@pytest.mark.parametrize("name", ["reppoints", "fsaf"])
def test_priors_whose_shapes_say_nothing_are_drawn_as_dots(name, run, dataset, frames, settings):
    one, figure = collections_of(run(name), dataset, frames, settings)
    dots = [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]
    drawn = np.concatenate([c.get_offsets() for c in dots])
    priors = one.priors[one.gt_inds > 0]
    at = priors[:, :2] if name == "reppoints" else (priors[:, :2] + priors[:, 2:]) / 2
    np.testing.assert_allclose(drawn, at)
    assert len(drawn) > 0


@pytest.mark.parametrize("name", ["a", "a long name, " * 8])
@pytest.mark.parametrize("size", [(320, 240), (60, 4000), (4000, 60), (1, 5000)])
def test_everything_stands_on_the_page_whatever_the_shape_of_the_image(
    size, name, document, write, scale, settings, audit
):
    document["images"][0] |= {"width": size[0], "height": size[1], "file_name": f"{name}.png"}
    dataset = read_coco(write(document))
    one, figure = collections_of(audit("rpn")[0], dataset, list(map(scale.frame, dataset.images)), settings)
    figure.draw_without_rendering()
    title = figure.get_suptitle()
    texts = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    assert title in [t.get_text() for t in texts]
    page = figure.bbox
    for text in texts:
        at = text.get_window_extent()
        assert page.x0 <= at.x0 < at.x1 <= page.x1, text.get_text()
        assert page.y0 <= at.y0 < at.y1 <= page.y1, text.get_text()
    below = [ax.title.get_window_extent().y1 for ax in figure.axes]
    assert next(t for t in texts if t.get_text() == title).get_window_extent().y0 > max(below)
    left, right = (ax.get_window_extent() for ax in figure.axes)
    assert left.x1 < right.x0
    if 0.1 < size[0] / size[1] < 10:
        assert left.width / left.height == pytest.approx(one.frame.shape[1] / one.frame.shape[0], rel=1e-3)


@pytest.mark.parametrize("name", ["positives_figure", "levels_figure", "overlaps_figure"])
def test_everything_stands_on_a_chart_also_where_numbers_are_large(name, run):
    figure = getattr(pictures, name)(run("rpn"))
    for ax in figure.axes:
        ax.set_ylim(0, 900_000)
    figure.draw_without_rendering()
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible():
            at = text.get_window_extent()
            assert 0 <= at.x0 < at.x1 <= figure.bbox.x1, text.get_text()
            assert 0 <= at.y0 < at.y1 <= figure.bbox.y1, text.get_text()


def test_file_names_are_plain():
    assert slug("a/../b c") == "a_.._b_c"
    assert slug("../..") == "unnamed"
    assert slug("ü") == "unnamed"


def test_an_image_is_turned_as_exif_says(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.new("RGB", (40, 24)).save(tmp_path / "a.jpg", exif=exif)
    assert plot.read_image(tmp_path / "a.jpg").shape == (40, 24, 3)
    assert gallery._read_picture(tmp_path, "deep/a.jpg").shape == (40, 24, 3)
    assert gallery._read_picture(tmp_path, "b.jpg") is None


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "CMYK", "I;16"])
def test_images_of_any_kind_are_drawn(mode, tmp_path):
    PIL.Image.new(mode, (8, 6)).save(tmp_path / "a.tiff")
    ax = plot.objects(np.asarray([[1, 1, 4, 4]]), np.asarray([1]), image=tmp_path / "a.tiff")
    assert len(ax.images) == 1


def test_names_are_drawn_as_they_stand():
    assert plot.drawable("a$b$") == r"a\$b\$"
    assert plot.drawable("木\x1b") == r"□\x1b"
    assert len(plot.drawable("x" * 5000)) == 80
