"""Labels that are masks: boxes of several classes, in the assigners that read scores of classes."""

import numpy as np
import pytest

from assigncore import SimOTAAssigner, TaskAlignedAssigner
from assigncore.backend.lookup import load_backend
from assigncore.conformance.capabilities import CAPABILITIES
from assigncore.conformance.reference.dynamic_k import sim_ota
from assigncore.conformance.reference.task_aligned import task_aligned
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.conformance.scenes.scene import round_to

from .dynamic_k import scenes as dynamic_k
from .task_aligned import scenes

NAMES = ("TaskAlignedAssigner", "SimOTAAssigner")


def masks_of(seed, n_gts, n_classes):
    """Draw one class for some, two or more for others."""
    rng = np.random.default_rng(seed)
    masks = rng.random((n_gts, n_classes)) < 0.5
    masks[np.arange(n_gts), rng.integers(0, n_classes, n_gts)] = True
    return masks


def arguments(name, kind):
    recipe = recipe_of(name)
    scene = draw_scene(f"{kind}-1-1")
    return recipe.assigner, {name: round_to(x, "float32") for name, x in recipe.arrays(scene).items()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["fpn", "ties", "real", "all_padded", "half"])
def test_a_mask_of_one_class_is_its_label(name, kind):
    assigner, given = arguments(name, kind)
    one = given["gt_labels"][:, None] == np.arange(given["pred_scores"].shape[-1])
    expected = assigner.assign(**given)
    result = assigner.assign(**{**given, "gt_labels": one})
    np.testing.assert_array_equal(result.gt_inds, expected.gt_inds)
    np.testing.assert_array_equal(result.max_overlaps, expected.max_overlaps)
    assert result.labels is None
    found = np.where(result.gt_inds > 0, result.extras["classes"].argmax(axis=-1), -1)
    np.testing.assert_array_equal(found, expected.labels)
    assert (result.extras["classes"].sum(axis=-1) == (result.gt_inds > 0)).all()


@pytest.mark.parametrize("seed", range(4))
def test_task_aligned_takes_the_mean_score_of_the_classes(seed):
    inputs = scenes.draw(seed, n_classes=4)
    masks = masks_of(seed, len(inputs["gt_bboxes"]), 4)
    knobs, overlap_of = scenes.RULES["tood of many"]
    # To the reference each ground truth has a class of its own, whose score is the mean of its classes'.
    means = np.stack([inputs["pred_scores"][:, mask].mean(axis=-1) for mask in masks], axis=-1)
    centers = (inputs["priors"][:, :2] + inputs["priors"][:, 2:]) / 2
    expected = task_aligned(
        centers, inputs["gt_bboxes"], inputs["pred_bboxes"], means, np.arange(len(masks)), knobs, overlap_of
    )
    result = TaskAlignedAssigner(**knobs).assign(**{**inputs, "gt_labels": masks})
    metrics = result.extras["assign_metrics"]
    scenes.check(
        {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "assign_metrics": metrics}, expected
    )
    positive = result.gt_inds > 0
    np.testing.assert_array_equal(result.extras["classes"][positive], masks[result.gt_inds[positive] - 1])
    assert not result.extras["classes"][~positive].any()


@pytest.mark.parametrize("seed", range(4))
def test_sim_ota_counts_the_cross_entropy_of_every_class(seed):
    inputs = dynamic_k.SIM_OTA.draw(seed)
    n_gts, n_classes = len(inputs["gt_bboxes"]), inputs["pred_scores"].shape[-1]
    masks = masks_of(seed, n_gts, n_classes)

    class OneOf:
        """A label that equals each of its classes."""

        def __init__(self, mask):
            self.mask = mask

        def __eq__(self, other):
            return bool(self.mask[other])

        __hash__ = None

    labels = np.array([OneOf(mask) for mask in masks], dtype=object)
    plain = sim_ota({**inputs, "gt_labels": Labels(labels)}, {})
    result = SimOTAAssigner().assign(**{**inputs, "gt_labels": masks})
    np.testing.assert_array_equal(result.gt_inds, plain["gt_inds"])
    np.testing.assert_allclose(result.max_overlaps, plain["max_overlaps"], rtol=1e-5)


class Labels:
    """Labels of the reference that may be several; what it looks up for the result is without meaning."""

    def __init__(self, each):
        self.each = each

    def __getitem__(self, index):
        return self.each[index] if np.ndim(index) == 0 else np.zeros(len(index), dtype=np.int64)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
def test_a_batch_on_any_library_gives_what_its_images_give(name, library):
    assigner, first = arguments(name, "fpn")
    _, second = arguments(name, "crowd")
    n_classes = first["pred_scores"].shape[-1]
    images = []
    for seed, given in enumerate((first, second)):
        images.append({**given, "gt_labels": masks_of(seed, len(given["gt_bboxes"]), n_classes)})
    if len({tuple(image["gt_bboxes"].shape) for image in images}) > 1:
        images[1] = images[0] | {"pred_scores": images[0]["pred_scores"][::-1].copy()}
    backend = load_backend(library)
    batch = {name: backend.from_numpy(np.stack([image[name] for image in images])) for name in images[0]}
    result = assigner.assign(**batch)
    for place, image in enumerate(images):
        alone = assigner.assign(**image)
        np.testing.assert_array_equal(backend.to_numpy(result.gt_inds)[place], alone.gt_inds)
        np.testing.assert_array_equal(
            backend.to_numpy(result.extras["classes"])[place], alone.extras["classes"]
        )


def test_masks_of_one_image_are_no_batch_of_labels():
    # So many predictions that a batch would be shared among threads.
    inputs = scenes.draw(1, n_priors=40_000, n_gts=5, n_classes=4)
    masks = inputs["gt_labels"][:, None] == np.arange(4)
    assigner = TaskAlignedAssigner(topk=3)
    expected = assigner.assign(**inputs).gt_inds
    np.testing.assert_array_equal(assigner.assign(**{**inputs, "gt_labels": masks}).gt_inds, expected)


@pytest.mark.parametrize("name", NAMES)
def test_masks_are_checked(name):
    assigner, given = arguments(name, "fpn")
    n_gts, n_classes = len(given["gt_bboxes"]), given["pred_scores"].shape[-1]
    given["gt_valid"] = np.ones(n_gts, dtype=bool)
    none = np.ones((n_gts, n_classes), dtype=bool)
    none[1] = False
    with pytest.raises(ValueError, match=r"gt_labels: expected at least one class of each .* ground truth 1"):
        assigner.assign(**{**given, "gt_labels": none})
    padded = np.arange(n_gts) != 1
    assert (assigner.assign(**{**given, "gt_labels": none, "gt_valid": padded}).gt_inds != 2).all()
    for wrong in (none[:, :-1], none[:-1], none[:, 0]):
        with pytest.raises(ValueError, match=r"(gt_labels|pred_scores): expected shape"):
            assigner.assign(**{**given, "gt_labels": wrong})


def test_other_assigners_take_labels_alone():
    others = [name for name in CAPABILITIES if name not in NAMES]
    recipes = [recipe_of(name) for name in others]
    for recipe in recipes:
        given = {name: round_to(x, "float32") for name, x in recipe.arrays(draw_scene("fpn-1-1")).items()}
        if "gt_labels" not in given:
            continue
        masks = np.ones((len(given["gt_labels"]), 3), dtype=bool)
        with pytest.raises((TypeError, ValueError), match="gt_labels"):
            recipe.assigner.assign(**{**given, "gt_labels": masks}, **recipe.statics(draw_scene("fpn-1-1")))
