"""What SimOTA and dynamic soft labels have in common, held against plain readings pair by pair."""

import ml_dtypes
import numpy as np
import pytest
import torch

from assigncore import BboxOverlaps2D
from assigncore.backend.memory import memory_budget
from assigncore.conformance import available_targets
from assigncore.steps import dynamic_k

from .scenes import SIM_OTA, SOFT_LABEL, outputs, same

subjects = pytest.mark.parametrize("subject", [SIM_OTA, SOFT_LABEL], ids=["sim_ota", "soft_label"])
HOSTS = [target for target in available_targets() if target.library != "jax"]
hosts = pytest.mark.parametrize("target", HOSTS, ids=lambda target: target.name)


@subjects
@hosts
@pytest.mark.parametrize("seed", range(8))
def test_it_is_what_the_rule_reads_as(subject, target, seed):
    inputs = subject.draw(seed)
    with target.running(x64=False):
        result = subject.build().assign(**{name: target.from_numpy(x) for name, x in inputs.items()})
        got = {name: target.to_numpy(x) for name, x in outputs(result).items()}
    same(got, subject.reading(inputs, {}))


@subjects
@pytest.mark.parametrize("worthwhile", [0, 2**40], ids=["some priors", "all priors"])
def test_which_priors_are_looked_at_changes_nothing(subject, worthwhile, monkeypatch):
    monkeypatch.setattr(dynamic_k, "WORTHWHILE", worthwhile)
    for seed in range(8):
        inputs = subject.draw(seed)
        same(outputs(subject.build().assign(**inputs)), subject.reading(inputs, {}))


@subjects
def test_pairs_are_compared_once_for_their_costs(subject):
    """Besides once for how many priors an object takes, and once for what the winners' overlaps are."""
    calls = []

    def overlaps(b1, b2, mode="iou"):
        calls.append(b1.shape)
        return BboxOverlaps2D()(b1, b2, mode)

    subject.build(iou_calculator=overlaps).assign(**subject.draw(0))
    assert len(calls) == 3


@subjects
def test_of_equal_costs_the_first_prior_is_taken(subject):
    inputs = subject.draw(0, n_gts=1)
    inputs["gt_bboxes"] = np.array([[0, 0, 16, 16]], dtype=np.float32)
    inputs["pred_bboxes"][:] = inputs["gt_bboxes"]
    inputs["pred_bboxes"][:, 2] = 9.0
    inputs[subject.predictions][:] = 0.5
    inputs["priors"] = inputs["priors"][: 6 * 6]
    inputs["pred_bboxes"] = inputs["pred_bboxes"][: 6 * 6]
    inputs[subject.predictions] = inputs[subject.predictions][: 6 * 6]
    topk = {"candidate_topk": 1} if subject is SIM_OTA else {"topk": 1}
    got = subject.build(**topk).assign(**inputs).gt_inds
    assert np.flatnonzero(got).tolist() == [0]


@subjects
def test_a_contested_prior_goes_to_the_cheapest_of_all_the_first_on_ties(subject):
    inputs = subject.draw(0, n_gts=3)
    inputs["gt_bboxes"][:] = inputs["gt_bboxes"][0]
    inputs["gt_labels"][:] = inputs["gt_labels"][0]
    got = subject.build().assign(**inputs)
    assert set(got.gt_inds.tolist()) == {0, 1}
    assert (got.positives_per_gt[1:] == 0).all()


@subjects
def test_a_padded_batch_gives_what_its_images_give(subject):
    images = [subject.draw(seed) for seed in range(4)]
    batch = {name: np.stack([image[name] for image in images]) for name in images[0] if name != "priors"}
    junk = np.full((4, 3, 4), np.nan, dtype=np.float32)
    junk[:, 0] = [0, 0, 40, 40]
    batch["gt_bboxes"] = np.concatenate([batch["gt_bboxes"], junk], axis=1)
    batch["gt_labels"] = np.concatenate([batch["gt_labels"], np.full((4, 3), 99)], axis=1)
    valid = np.broadcast_to(np.arange(8) < 5, (4, 8)).copy()
    valid[3] = False
    priors = images[0]["priors"]
    for budget in (2**28, 4000):
        with memory_budget(budget):
            got = subject.build().assign(priors=priors, gt_valid=valid, **batch)
        for i in range(3):
            alone = subject.build().assign(**images[i])
            for name, x in outputs(alone).items():
                np.testing.assert_array_equal(outputs(got[i])[name], x)
        assert (got[3].gt_inds == 0).all()
        assert (got[3].max_overlaps == 0).all()


@subjects
@hosts
def test_memory_decides_nothing(subject, target):
    inputs = {name: target.from_numpy(x) for name, x in subject.draw(3, n_gts=12, size=160).items()}
    assigner = subject.build()
    expected = outputs(assigner.assign(**inputs))
    with memory_budget(20_000):
        got = outputs(assigner.assign(**inputs))
    for name, x in expected.items():
        np.testing.assert_array_equal(target.to_numpy(got[name]), target.to_numpy(x))


@subjects
@pytest.mark.parametrize(("n_gts", "size"), [(0, 48), (3, 0), (0, 0)])
def test_nothing_to_match(subject, n_gts, size):
    got = subject.build().assign(**subject.draw(0, n_gts=n_gts, size=size))
    assert (got.gt_inds == 0).all()
    assert (got.max_overlaps == 0).all()
    assert (got.labels == -1).all()


@subjects
def test_where_no_prior_counts_all_is_background(subject):
    inputs = subject.draw(0)
    inputs["gt_bboxes"] += 1e4
    got = subject.build().assign(**inputs)
    assert (got.gt_inds == 0).all()
    assert (got.max_overlaps == 0).all()


@subjects
def test_more_candidates_than_priors(subject):
    inputs = subject.draw(1)
    topk = {"candidate_topk": 5000} if subject is SIM_OTA else {"topk": 5000}
    same(outputs(subject.build(**topk).assign(**inputs)), subject.reading(inputs, topk))


@subjects
@pytest.mark.parametrize("name", ["priors", "pred_bboxes", "predictions"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_prior_or_prediction_matches_nothing(subject, name, value):
    inputs = subject.draw(2)
    taken = np.flatnonzero(subject.build().assign(**inputs).gt_inds)
    inputs[subject.predictions if name == "predictions" else name][taken[0], 1] = value
    with np.errstate(all="raise", under="ignore"):
        got = subject.build().assign(**inputs)
    assert got.gt_inds[taken[0]] == 0
    assert (got.gt_inds > 0).any()


@subjects
def test_a_prior_that_takes_no_part_is_as_if_it_were_not_there(subject):
    inputs = subject.draw(4)
    taken = np.flatnonzero(subject.build().assign(**inputs).gt_inds)
    part = np.ones(len(inputs["priors"]), dtype=bool)
    part[taken[::2]] = False
    rest = {name: x if name.startswith("gt_") else x[part] for name, x in inputs.items()}
    inputs["pred_bboxes"][~part] = np.nan
    got = subject.build().assign(**inputs, prior_valid=part)
    np.testing.assert_array_equal(got.gt_inds[part], subject.build().assign(**rest).gt_inds)
    assert (got.gt_inds[~part] == -1).all()


@subjects
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_numbers_are_raised(subject, dtype):
    inputs = subject.draw(5)
    narrow = {name: x.astype(dtype) if x.dtype == np.float32 else x for name, x in inputs.items()}
    wide = {name: x.astype(np.float32) if x.dtype == dtype else x for name, x in narrow.items()}
    got, expected = subject.build().assign(**narrow), subject.build().assign(**wide)
    assert got.max_overlaps.dtype == np.float32
    np.testing.assert_array_equal(got.gt_inds, expected.gt_inds)


@subjects
def test_gradients_are_cut_and_inputs_kept(subject):
    inputs = subject.draw(6)
    tensors = {name: torch.tensor(x) for name, x in inputs.items()}
    for name in ("pred_bboxes", subject.predictions):
        tensors[name].requires_grad_()
    result = subject.build().assign(**tensors)
    assert not result.max_overlaps.requires_grad
    for name, x in inputs.items():
        np.testing.assert_array_equal(tensors[name].detach().numpy(), x)


@subjects
def test_compiled_by_torch_is_eager(subject):
    images = [subject.draw(seed) for seed in range(2)]
    batch = {name: np.stack([image[name] for image in images]) for name in images[0]}
    batch["gt_valid"] = np.arange(5) < np.array([[5], [3]])
    expected = subject.build().assign(**batch)
    assign = torch.compile(subject.build().assign, fullgraph=True)
    got = assign(**{name: torch.tensor(x) for name, x in batch.items()})
    assert (expected.gt_inds > 0).any()
    np.testing.assert_array_equal(got.gt_inds.numpy(), expected.gt_inds)


@subjects
def test_compiled_by_jax_is_eager(subject):
    jax = pytest.importorskip("jax")
    inputs = subject.draw(7)
    expected = subject.build().assign(**inputs)
    got = jax.jit(lambda arrays: subject.build().assign(**arrays))(
        {name: jax.numpy.asarray(x) for name, x in inputs.items()}
    )
    np.testing.assert_array_equal(got.gt_inds, expected.gt_inds)


@subjects
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"pred_bboxes": None}, TypeError, "pred_bboxes"),
        ({"gt_labels": None}, TypeError, "gt_labels"),
        ({"gt_labels": np.zeros(5)}, TypeError, "gt_labels: expected integers"),
        ({"priors": np.zeros((45, 3))}, ValueError, "priors"),
        ({"predictions": np.zeros((45, 0))}, ValueError, "at least one class"),
        ({"predictions": np.zeros((44, 4))}, ValueError, r"expected \(..., 45, C\)|expected shape"),
    ],
)
def test_wrong_calls_are_refused(subject, change, error, words):
    change = {subject.predictions if name == "predictions" else name: x for name, x in change.items()}
    with pytest.raises(error, match=words):
        subject.build().assign(**{**subject.draw(0), **change})
