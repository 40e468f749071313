"""Most priors are too far from all centres to be chosen, and are not priced: it must not show."""

import numpy as np
import pytest

from assigncore.conformance import available_targets
from assigncore.steps import dynamic_k

from .scenes import SIM_OTA, SOFT_LABEL, outputs, same

subjects = pytest.mark.parametrize("subject", [SIM_OTA, SOFT_LABEL], ids=["sim_ota", "soft_label"])
HOSTS = [target for target in available_targets() if target.library in ("numpy", "torch")]


@pytest.fixture
def priced(monkeypatch):
    """Tell of which shares of the priors that count the costs were asked, offer by offer."""
    shares = []
    offer, offer_all = dynamic_k.offer_rows, dynamic_k.offer_with_demand

    def seen(listed):
        def call(scene, rows, *rest):
            shares.append((listed, int(np.asarray(rows.inside).sum())))
            return (offer if listed else offer_all)(scene, rows, *rest)

        return call

    monkeypatch.setattr(dynamic_k, "offer_rows", seen(listed=True))
    monkeypatch.setattr(dynamic_k, "offer_with_demand", seen(listed=False))
    return shares


def large_scene(subject, seed, n_gts=5, n_classes=4):
    """Draw boxes of up to 160 pixels on 2,000 priors, with predictions of the right size for them."""
    inputs = subject.draw(seed, n_gts=n_gts, n_classes=n_classes, size=320)
    rng = np.random.default_rng(seed)
    near = inputs["gt_bboxes"][rng.integers(0, n_gts, len(inputs["priors"]))]
    moved = near + rng.normal(0, 3, near.shape)
    some = rng.random((len(near), 1)) < 0.5
    inputs["pred_bboxes"] = np.where(some, moved, inputs["pred_bboxes"]).astype(np.float32)
    return inputs


@subjects
@pytest.mark.parametrize("target", HOSTS, ids=lambda target: target.name)
@pytest.mark.parametrize("seed", range(12))
def test_few_are_priced_and_the_rule_holds(subject, target, seed, priced):
    inputs = large_scene(subject, seed)
    with target.running(x64=False):
        result = subject.build().assign(**{name: target.from_numpy(x) for name, x in inputs.items()})
        got = {name: target.to_numpy(x) for name, x in outputs(result).items()}
    same(got, subject.reading(inputs, {}))
    assert priced[0][0]
    assert priced[0][1] < len(inputs["priors"])


def starve(subject, inputs):
    """Leave the first ground truth without a prior near its centre, though others count."""
    x, y, stride = inputs["priors"][:, :3].T
    if subject is SIM_OTA:
        inputs["gt_bboxes"][0] = [160.5, 160.5, 163.5, 163.5]  # between all centres of cells
        return inputs
    inputs["gt_bboxes"][0] = [2, 2, 318, 318]
    part = np.maximum(abs(x - 160), abs(y - 160)) > 6 * stride
    return {name: v if name.startswith("gt_") else v[part] for name, v in inputs.items()}


@subjects
@pytest.mark.parametrize("seed", range(6))
def test_where_the_list_is_too_short_all_are_priced(subject, seed, priced):
    inputs = starve(subject, large_scene(subject, seed))
    same(outputs(subject.build().assign(**inputs)), subject.reading(inputs, {}))
    assert not priced[-1][0]
    assert outputs(subject.build().assign(**inputs))["gt_inds"].max() > 0


@subjects
def test_one_image_of_a_batch_may_need_all(subject, priced):
    images = [large_scene(subject, seed) for seed in range(3)]
    if subject is SIM_OTA:
        images[1] = starve(subject, images[1])
    else:
        # Only its far corners are inside of a ground truth.
        images[1]["gt_bboxes"][:] = [1000, 1000, 1010, 1010]
        images[1]["gt_bboxes"][0] = [0, 0, 640, 640]
    names = [name for name in images[0] if name != "priors"]
    batch = {name: np.stack([image[name] for image in images]) for name in names}
    got = subject.build().assign(priors=images[0]["priors"], **batch)
    assert [listed for listed, _ in priced] == [True, True]
    assert priced[1][1] > priced[0][1]
    for i, image in enumerate(images):
        same(outputs(got[i]), subject.reading(image, {}))


@subjects
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("share", [0.01, 0.3])
def test_broken_predictions_want_nothing_on_the_list_or_off_it(subject, value, share):
    for seed in range(4):
        inputs = large_scene(subject, seed)
        broken = np.random.default_rng(seed).random(len(inputs["priors"])) < share
        sound = {name: x if name.startswith("gt_") else x[~broken] for name, x in inputs.items()}
        inputs[subject.predictions][broken, 1] = value
        got = outputs(subject.build().assign(**inputs))
        same({name: x[~broken] for name, x in got.items()}, subject.reading(sound, {}))
        assert (got["gt_inds"][broken] == 0).all()


@pytest.mark.parametrize("knobs", [{"iou_weight": -3.0}, {"cls_weight": -1.0}, {"cls_weight": 1e30}])
def test_weights_that_bound_nothing_take_no_list(knobs, priced):
    inputs = large_scene(SIM_OTA, 0)
    same(outputs(SIM_OTA.build(**knobs).assign(**inputs)), SIM_OTA.reading(inputs, knobs))
    assert [listed for listed, _ in priced] == [False]


@pytest.mark.parametrize("negative", [False, True])
def test_of_many_classes_the_least_score_bounds_the_cost(negative, priced):
    inputs = large_scene(SIM_OTA, 0, n_classes=1300)
    if negative:
        inputs["pred_scores"][7, 0] = -1e-9
    same(outputs(SIM_OTA.build().assign(**inputs)), SIM_OTA.reading(inputs, {}))
    assert priced[0][0] is not negative


@pytest.mark.parametrize("score", [-1e30, -5.0, 7.0])
def test_scores_that_are_no_probabilities(score):
    inputs = large_scene(SIM_OTA, 1)
    inputs["pred_scores"][::3, 2] = score
    same(outputs(SIM_OTA.build().assign(**inputs)), SIM_OTA.reading(inputs, {}))


@pytest.mark.parametrize("knobs", [{"soft_center_radius": 0.5}, {"soft_center_radius": -4.0},
                                   {"select_outside": True}, {"own_class_only": True}])  # fmt: skip
@pytest.mark.parametrize("seed", range(4))
def test_other_settings_of_soft_labels(knobs, seed):
    inputs = large_scene(SOFT_LABEL, seed)
    same(outputs(SOFT_LABEL.build(**knobs).assign(**inputs)), SOFT_LABEL.reading(inputs, knobs))
