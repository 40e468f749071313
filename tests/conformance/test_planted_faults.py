"""Faults that were planted on purpose: the suite must catch each and call it by its name."""

import re
import time
from dataclasses import dataclass, fields, replace
from itertools import count
from unittest import mock

import numpy as np
import pytest

from assigncore import ATSSAssigner, MaxIoUAssigner, PointAssigner, load_backend
from assigncore.assigners import atss
from assigncore.assigners import max_iou as max_iou_module
from assigncore.backend.memory import current_memory_budget
from assigncore.conformance import (
    Agreement,
    Capabilities,
    Mode,
    Part,
    Priors,
    Replay,
    Ties,
    check,
    get_target,
    load_packed,
    run_cell,
)
from assigncore.conformance.goldens import runner
from assigncore.conformance.goldens.calls import answered
from assigncore.conformance.laws import LAWS, promises
from assigncore.conformance.laws.bench import Bench, Broken
from assigncore.conformance.reference.thresholds import max_iou
from assigncore.conformance.scenes.kinds import draw_scene, draw_scenes
from assigncore.conformance.scenes.matrix import Matrix
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.steps.overlaps import name_best

KNOBS = {"pos_iou_thr": 0.5, "neg_iou_thr": 0.4, "ignore_iof_thr": 0.5}
PROMISE = Capabilities(KNOBS, ties=Ties.LATER, ignores=True)


def caught(report):
    """Give the names of laws and promises that fail, and the kinds of scenes."""
    assert not report.agrees
    failures = [(cell.part, result) for cell in report.cells for result in cell.failures]
    assert all(result.message for _, result in failures)
    return {result.case.split("-")[0] for _, result in failures}


def run(assigner, backend="torch", **options):
    return check(assigner, backend, cases=12, dtypes=("float32",), **options)


@dataclass(frozen=True)
class Wrapped(MaxIoUAssigner):
    """An assigner of its own, with the arguments of the one it wraps."""

    def assign(self, priors, gt_bboxes, *, gt_labels=None, gt_valid=None, prior_valid=None,
               ignore_bboxes=None, ignore_valid=None):  # fmt: skip
        return self.altered(priors, gt_bboxes, gt_labels=gt_labels, gt_valid=gt_valid, prior_valid=prior_valid,
                            ignore_bboxes=ignore_bboxes, ignore_valid=ignore_valid)  # fmt: skip

    def altered(self, priors, gt_bboxes, **others):
        return super().assign(priors, gt_bboxes, **others)


def test_what_is_right_is_not_caught():
    report = run(Wrapped(**KNOBS), capabilities=PROMISE)
    assert report.agrees
    assert not any(cell.count(Agreement.NEAR_TIE) for cell in report.cells)


def test_strict_for_non_strict():
    strict = {**KNOBS, "pos_iou_thr": np.nextafter(np.float32(0.5), np.float32(1)).item()}
    report = run(MaxIoUAssigner(**strict), capabilities=PROMISE, reference=MaxIoUAssigner(**KNOBS))
    assert "precision" in caught(report)
    (message,) = [
        result.message
        for cell in report.cells
        if cell.part is Part.LAWS
        for result in cell.failures
        if result.case == "precision"
    ]
    assert "meet a threshold" in message


def test_the_wrong_order_of_ties():
    backend = load_backend("array_api_strict")
    xp = backend.xp

    def last_of_equals(x, k):
        count = x.shape[-1]
        order = count - 1 - xp.argsort(xp.flip(x, axis=-1), axis=-1, stable=True)[..., :k]
        return xp.take_along_axis(x, order, axis=-1), order

    with mock.patch.object(backend, "k_smallest", last_of_equals):
        report = run(PointAssigner(), backend="array_api_strict")
    assert "ties" in caught(report)


def test_the_wrong_order_of_ties_without_a_reference():
    """On every backend the same wrong order agrees with itself, and yet the law is broken."""

    class LastGroundTruth(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            turned = {k: x[..., ::-1] if k in ("gt_labels", "gt_valid") else x for k, x in others.items()}
            result = super().altered(priors, gt_bboxes[..., ::-1, :], **turned)
            count = gt_bboxes.shape[-2]
            codes = np.where(result.gt_inds > 0, count + 1 - result.gt_inds, result.gt_inds)
            return type(result)(codes, result.max_overlaps, result.labels, count, {})

    promise = Capabilities(KNOBS, ties=Ties.FIRST, ignores=True)
    knobs = {**KNOBS, "match_low_quality": False}
    assert "ties" in caught(run(LastGroundTruth(**knobs), "numpy", capabilities=promise))
    assert run(MaxIoUAssigner(**knobs), "numpy", capabilities=promise).agrees


@pytest.mark.parametrize("mask", ["gt_valid", "prior_valid"])
def test_a_dropped_padding_mask(mask):
    class Dropping(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            return super().altered(priors, gt_bboxes, **{**others, mask: None})

    names = caught(run(Dropping(**KNOBS), capabilities=PROMISE, reference=MaxIoUAssigner(**KNOBS)))
    assert "padding" in names
    # Alone it agrees with itself, and yet the law is broken.
    assert "padding" in caught(run(Dropping(**KNOBS), "numpy", capabilities=PROMISE))


def test_a_biased_standard_deviation():
    right = atss.adaptive_threshold

    def biased(xp, overlaps, found):
        if "torch" not in xp.__name__:
            return right(xp, overlaps, found)
        count = xp.sum(xp.astype(found, overlaps.dtype), axis=-1)
        mean = xp.sum(xp.where(found, overlaps, 0.0), axis=-1) / count
        deviation = xp.where(found, overlaps - mean[..., None], 0.0)
        return mean + xp.sqrt(xp.sum(deviation * deviation, axis=-1) / count)

    with mock.patch.object(atss, "adaptive_threshold", biased):
        report = run(ATSSAssigner(topk=4, ignore_iof_thr=0.5))
    assert "biased_standard_deviation" in caught(report)
    stated = [r for cell in report.cells if cell.dtype == "float32 as stated" for r in cell.failures]
    assert [(r.case, r.message) for r in stated] == [
        ("biased_standard_deviation", "prior 0 got 1, expected 0")
    ]
    different = [
        r for cell in report.cells if cell.part is Part.GENERATED for r in cell.failures if r not in stated
    ]
    assert different
    assert all(
        result.agreement is Agreement.DIFFERENT and "gt_inds" in result.message for result in different
    )


def test_a_biased_standard_deviation_on_every_backend():
    """NumPy shares the fault, so that all backends agree: what is stated tells all the same."""

    def biased(xp, overlaps, found):
        return xp.mean(overlaps, axis=-1) + xp.std(overlaps, axis=-1)

    with mock.patch.object(atss, "adaptive_threshold", biased):
        report = run(ATSSAssigner(topk=4, ignore_iof_thr=0.5), "numpy")
    assert "biased_standard_deviation" in caught(report)


def test_a_transfer_to_the_host():
    class Reading(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            if gt_bboxes.sum().item() == -1:
                raise AssertionError
            return super().altered(priors, gt_bboxes, **others)

    assert caught(run(Reading(**KNOBS), capabilities=PROMISE)) >= {"static"}


def test_a_transfer_by_the_core_is_counted():
    class Fetching(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            load_backend("torch").to_numpy(gt_bboxes)
            return super().altered(priors, gt_bboxes, **others)

    assert "host" in caught(run(Fetching(**KNOBS), capabilities=PROMISE))


def test_a_write_to_an_input():
    class Writing(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            gt_bboxes[..., 0] += 0.25
            return super().altered(priors, gt_bboxes, **others)

    assert "purity" in caught(run(Writing(**KNOBS), capabilities=PROMISE))


def test_what_never_comes_back_is_a_hang():
    class Hanging(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            time.sleep(3)
            raise AssertionError

    reference = MaxIoUAssigner(**KNOBS)
    matrix = Matrix(recipe_of(Hanging(**KNOBS), PROMISE), recipe_of(reference), limit=0.05)
    cell = matrix.run_cell(get_target("numpy"), Mode.EAGER, "float32", list(draw_scenes(5)))
    assert [result.agreement for result in cell.results] == [Agreement.HANG]
    assert "0.05 s" in cell.results[0].message


def test_goldens_and_promises_have_a_time_limit_too(monkeypatch):
    case = load_packed("GridAssigner")[0]

    def wait(_):
        time.sleep(1)
        raise AssertionError

    monkeypatch.setattr(runner, "REPLAYS", {"GridAssigner": Replay(wait, answered)})
    monkeypatch.setattr(promises, "PROMISES", {"declared": wait})
    recipe = recipe_of("GridAssigner")
    for cell in (
        run_cell("GridAssigner", (case, case), get_target("numpy"), limit=0.05),
        promises.run_promises(recipe, get_target("numpy"), limit=0.05),
    ):
        assert [(r.agreement, r.message) for r in cell.results] == [
            (Agreement.HANG, "no answer within 0.05 s")
        ]


def test_more_and_less_than_what_is_declared():
    modest = Capabilities(KNOBS, ties=Ties.LATER, ignores=False, dtypes=("float32",), modes=(Mode.EAGER,))
    names = caught(run(MaxIoUAssigner(**KNOBS), "numpy", capabilities=modest, modes=(Mode.EAGER,)))
    assert {"ignore", "dtypes", "modes"} <= names

    class Refusing(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            if priors.dtype == np.float16:
                raise TypeError("no float16")
            return super().altered(priors, gt_bboxes, **others)

    report = run(Refusing(**KNOBS), "numpy", capabilities=PROMISE)
    messages = [
        result.message for cell in report.cells for result in cell.failures if result.case == "dtypes"
    ]
    assert messages == ["float16 is declared and not shown"]


def test_the_host_declared_and_not_shown():
    promise = Capabilities({}, Priors.POINTS, host=True)
    report = run(PointAssigner(), capabilities=promise)
    (message,) = [r.message for cell in report.cells for r in cell.failures if r.case == "host"]
    assert message == "the host is declared to take part and does not"


def test_an_assigner_carries_its_own_declaration():
    @dataclass(frozen=True)
    class Own(PointAssigner):
        capabilities = Capabilities({}, Priors.POINTS)

    assert [knob.name for knob in fields(Own)] == ["scale", "pos_num", "min_positives"]
    assert check(Own(), "numpy", cases=12).agrees


def test_a_product_that_mixed_precision_makes_half():
    class Multiplying(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            xp = load_backend("torch").xp
            one = xp.eye(4, dtype=gt_bboxes.dtype)
            return super().altered(priors, xp.astype(gt_bboxes @ one, gt_bboxes.dtype), **others)

    bench = Bench(
        recipe_of(Multiplying(**KNOBS), PROMISE), recipe_of(MaxIoUAssigner(**KNOBS)), get_target("torch")
    )
    with pytest.raises(Broken, match="where float16 is the mixed precision"):
        LAWS["precision"](bench)


def read_item(x):
    return x.sum().item()


def index_by_mask(x):
    return x[x > 0]


def list_nonzero(x):
    return x.nonzero()


def convert_to_bool(x):
    return bool((x > 0).all())


@pytest.mark.parametrize(
    ("read", "named"),
    [
        (read_item, r"`return x.sum\(\).item\(\)`: RuntimeError: Tensor.item"),
        (index_by_mask, r"`return x\[x > 0\]`: NotImplementedError: "),
        (list_nonzero, r"`return x.nonzero\(\)`: NotImplementedError: "),
        (convert_to_bool, r"`return bool\(\(x > 0\).all\(\)\)`: "),
    ],
)
def test_a_value_that_is_read_on_a_device_without_values(read, named):
    class Reading(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            read(gt_bboxes)
            return super().altered(priors, gt_bboxes, **others)

    report = run(Reading(**KNOBS), "torch:meta", capabilities=PROMISE)
    assert caught(report) == {"static"}
    [message] = [result.message for cell in report.cells for result in cell.failures]
    assert re.match(rf"one image: reads values on the host at test_planted_faults.py:\d+, {named}", message)


def test_a_value_that_is_read_only_in_a_batch_or_only_without_labels():
    class Reading(Wrapped):
        def altered(self, priors, gt_bboxes, *, gt_labels, **others):
            if gt_labels is None or gt_bboxes.ndim == 3:
                gt_bboxes.max().item()
            return super().altered(priors, gt_bboxes, gt_labels=gt_labels, **others)

    law = LAWS["static"]
    for promise in (PROMISE, replace(PROMISE, ignores=True)):
        recipe = recipe_of(Reading(**KNOBS), promise)
        with pytest.raises(Broken, match="one image without labels: reads values"):
            law(Bench(recipe, recipe, get_target("torch:meta")))


def test_shapes_and_dtypes_that_depend_on_values():
    class Narrowing(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            result = super().altered(priors, gt_bboxes, **others)
            there = getattr(gt_bboxes, "is_meta", False)
            return replace(result, max_overlaps=result.max_overlaps.double()) if there else result

    recipe = recipe_of(Narrowing(**KNOBS), PROMISE)
    with pytest.raises(
        Broken, match="the dtype of max_overlaps is float64, and float32 where values can be read"
    ):
        LAWS["static"](Bench(recipe, recipe, get_target("torch:meta")))


def wrong_count(assign, priors, gt_bboxes, **others):
    result = assign(priors, gt_bboxes, **others)
    return replace(result, num_gts=result.num_gts + 1)


def narrow_labels(assign, priors, gt_bboxes, *, gt_labels=None, **others):
    few = None if gt_labels is None else gt_labels % 2 if gt_labels.dtype == np.int8 else gt_labels
    return assign(priors, gt_bboxes, gt_labels=few, **others)


def labels_for_none(assign, priors, gt_bboxes, **others):
    result = assign(priors, gt_bboxes, **others)
    return result if result.labels is not None else replace(result, labels=result.gt_inds * 0 - 1)


def first_prior_favoured(assign, priors, gt_bboxes, **others):
    result = assign(priors, gt_bboxes, **others)
    found = result.gt_inds.copy()
    found[..., 0] = 0
    return replace(result, gt_inds=found)


def rounds_what_is_wide(assign, priors, gt_bboxes, **others):
    return assign(priors, gt_bboxes.astype(priors.dtype), **others)


def last_image_decides_emptiness(assign, priors, gt_bboxes, *, gt_valid=None, **others):
    if gt_valid is not None and gt_valid.ndim == 2:
        gt_valid = gt_valid & gt_valid.any(axis=-1).all()
    return assign(priors, gt_bboxes, gt_valid=gt_valid, **others)


def masks_matter(assign, priors, gt_bboxes, *, prior_valid=None, **others):
    if prior_valid is None:
        prior_valid = np.arange(priors.shape[-2]) > 20
    return assign(priors, gt_bboxes, prior_valid=prior_valid, **others)


def shared_rows_are_the_first_images(assign, priors, gt_bboxes, **others):
    return assign(priors, gt_bboxes[:1] if priors.ndim == 2 and gt_bboxes.ndim == 4 else gt_bboxes, **others)


def remembers_the_call(assign, priors, gt_bboxes, **others):
    result = assign(priors, gt_bboxes, **others)
    return replace(result, max_overlaps=result.max_overlaps + np.float32(next(CALLS) % 2))


CALLS = count()


def reads_memory_as_it_lies(assign, priors, gt_bboxes, **others):
    lies = priors if priors.flags.c_contiguous else priors[..., ::-1]
    return assign(lies, gt_bboxes, **others)


def mends_what_is_broken(assign, priors, gt_bboxes, **others):
    return assign(priors, np.nan_to_num(gt_bboxes, posinf=64.0, neginf=0.0), **others)


def drops_the_mask_of_regions(assign, priors, gt_bboxes, *, ignore_valid=None, **others):
    return assign(priors, gt_bboxes, **others)


def takes_lists(assign, priors, gt_bboxes, **others):
    taken = np.asarray(priors, dtype=np.float32) if isinstance(priors, list) else priors
    return assign(taken, gt_bboxes, **others)


def invents_what_is_missing(assign, priors, gt_bboxes=None, **others):
    return assign(priors, priors if gt_bboxes is None else gt_bboxes, **others)


def keeps_the_common_images(assign, priors, gt_bboxes, **others):
    if getattr(priors, "ndim", 0) == getattr(gt_bboxes, "ndim", 0) == 3:
        gt_bboxes = gt_bboxes[: len(priors)]
    return assign(priors, gt_bboxes, **others)


def looks_at_the_budget(assign, priors, gt_bboxes, **others):
    result = assign(priors, gt_bboxes, **others)
    return replace(result, gt_inds=result.gt_inds * (current_memory_budget() > 2000))


def few_when_batched_and_cut(assign, priors, gt_bboxes, **others):
    result = assign(priors, gt_bboxes, **others)
    cut = gt_bboxes.ndim == 3 and current_memory_budget() < 2**15
    return replace(result, gt_inds=result.gt_inds * (0 if cut else 1))


@pytest.mark.parametrize(
    ("law", "fault", "message"),
    [
        ("codes", wrong_count, "num_gts is 9, expected 8"),
        ("codes", narrow_labels, "labels differ where gt_labels are int8"),
        ("codes", labels_for_none, "without gt_labels: got labels"),
        ("ties", first_prior_favoured, "against the reference|with its priors in another order"),
        ("precision", rounds_what_is_wide, "but gt_bboxes in float"),
        ("empty", last_image_decides_emptiness, "in a batch with empty images"),
        ("empty", mends_what_is_broken, "only non-finite ground truths: not background"),
        ("padding", masks_matter, "without masks, of which all are true"),
        ("batch", shared_rows_are_the_first_images, "in a batch that shares rows"),
        ("purity", remembers_the_call, "the second time: max_overlaps"),
        ("purity", reads_memory_as_it_lies, "with arrays that lie"),
        ("broken_numbers", mends_what_is_broken, "broken ground truths and ignore regions, against padding"),
        ("ignore", drops_the_mask_of_regions, "ignore regions that are padding count"),
        ("wrong_calls", takes_lists, "priors that is a list"),
        ("wrong_calls", invents_what_is_missing, "gt_bboxes that is None"),
        ("wrong_calls", keeps_the_common_images, "priors of 2 images and gt_bboxes of 3"),
        ("memory", looks_at_the_budget, "under a budget of 1 bytes"),
        ("memory", few_when_batched_and_cut, "in a batch that is cut into tiles"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_fault_that_one_law_names(law, fault, message):
    class Faulty(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            return fault(super().altered, priors, gt_bboxes, **others)

    class Sound(Wrapped):
        pass

    for kind in (Sound, Faulty):
        recipe = recipe_of(kind(**KNOBS), PROMISE)
        bench = Bench(recipe, recipe, get_target("numpy"))
        if kind is Sound:
            LAWS[law](bench)
            continue
        with pytest.raises(Broken, match=message):
            LAWS[law](bench)


def test_an_order_that_decides():
    """Nothing ties, and yet the prior that comes first is not assigned, on whatever library."""

    class Faulty(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            return first_prior_favoured(super().altered, priors, gt_bboxes, **others)

    recipe = recipe_of(Faulty(**KNOBS), PROMISE)
    with pytest.raises(Broken, match="with its priors in another order"):
        LAWS["ties"].check(Bench(recipe, recipe, get_target("numpy")), [draw_scene("apart-0-0")])


def test_an_answer_that_is_not_the_rules():
    """On every backend the same wrong answer agrees with itself: the reference implementation tells."""

    def rule(image, **knobs):
        return max_iou(image, **{**knobs, "pos_iou_thr": 0.6})

    recipe = recipe_of(MaxIoUAssigner(**KNOBS), replace(PROMISE, rule=rule))
    with pytest.raises(Broken, match="against the reference"):
        LAWS["ties"](Bench(recipe, recipe, get_target("numpy")))


def test_a_result_that_lives_elsewhere():
    class Homing(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            result = super().altered(priors, gt_bboxes, **others)
            overlaps = result.max_overlaps
            return replace(result, max_overlaps=np.zeros(overlaps.shape) if overlaps.is_meta else overlaps)

    recipe = recipe_of(Homing(**KNOBS), PROMISE)
    with pytest.raises(Broken, match="max_overlaps is a ndarray, expected Tensor"):
        LAWS["namespace"](Bench(recipe, recipe, get_target("torch")))


@pytest.mark.parametrize("target", ["torch", "jax"])
def test_a_gradient_through_the_result(target):
    class Attached(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            result = super().altered(priors, gt_bboxes, **others)
            return replace(
                result, max_overlaps=result.max_overlaps + 0 * priors[..., 0] + priors[..., 0] * 1e-9
            )

    recipe = recipe_of(Attached(**KNOBS), PROMISE)
    with pytest.raises(Broken, match="a gradient flows"):
        LAWS["purity"].check(Bench(recipe, recipe, get_target(target)), [draw_scene("fpn-5-0")])


def test_a_graph_for_each_scene():
    class Specialised(Wrapped):
        def altered(self, priors, gt_bboxes, **others):
            if float(gt_bboxes[0, 0]) > 1e9:
                raise AssertionError
            return super().altered(priors, gt_bboxes, **others)

    for target in ("torch", "jax"):
        recipe = recipe_of(Specialised(**KNOBS), PROMISE)
        with pytest.raises(Broken, match=r"reads values|one graph cannot serve all"):
            LAWS["static"](Bench(recipe, recipe, get_target(target)))


def test_a_knob_that_is_not_checked():
    @dataclass(frozen=True)
    class Lax(Wrapped):
        margin: float = 0.5

    promise = replace(PROMISE, knobs={**KNOBS, "margin": 0.5})
    recipe = recipe_of(Lax(**KNOBS), promise)
    with pytest.raises(Broken, match="the knob margin='much' is accepted"):
        LAWS["wrong_calls"](Bench(recipe, recipe, get_target("numpy")))


def test_reasons_that_imply_another_result():
    def mistaken(best, enough, positive, limit):
        name_best(best, enough, positive | (best.of_prior > 0.3), limit)

    with mock.patch.object(max_iou_module, "name_best", mistaken):
        report = run(MaxIoUAssigner(**KNOBS), "numpy", capabilities=PROMISE)
    assert caught(report) == {"explained"}
