"""The audit from Python: the same for any number of workers, and its tables."""

import dataclasses
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas
import pytest

from assigncore import MaxIoUAssigner, audit
from assigncore.audit import AuditError, chunks, execution
from assigncore.datasets import Dataset, read_coco

NAMES = ("rpn", "faster-rcnn-rcnn", "tood")


@pytest.fixture
def many(repeated, write, monkeypatch):
    """Read the document five times over, in chunks of four images."""
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 4)
    return read_coco(write(repeated(5)))


def bytes_of(found):
    """Give every number that was found."""
    arrays = [
        getattr(run.findings.objects, f.name)
        for run in found
        for f in dataclasses.fields(run.findings.objects)
    ]
    return [None if x is None else (x.dtype, x.tobytes()) for x in arrays], json.dumps(
        found.report(), default=str
    )


@pytest.fixture
def whole(document, many, monkeypatch):
    """Audit all images in one chunk, in this process."""
    with monkeypatch.context() as context:
        context.setattr(chunks, "CHUNK_SIZE", 100)
        return audit.run(many, NAMES, image_scale="original")


def test_chunks_change_nothing(many, whole):
    assert chunks.num_chunks(many) == 4
    assert bytes_of(audit.run(many, NAMES, image_scale="original")) == bytes_of(whole)


def test_workers_change_nothing(many, whole):
    assert bytes_of(audit.run(many, NAMES, image_scale="original", jobs=2)) == bytes_of(whole)


def test_an_executor_changes_nothing(many, whole):
    with ThreadPoolExecutor(3) as executor:
        found = audit.run(many, NAMES, image_scale="original", executor=executor)
    assert bytes_of(found) == bytes_of(whole)


def test_an_executor_must_be_one(many):
    with pytest.raises(TypeError, match=r"executor: expected a .*, got str"):
        audit.run(many, executor="tcp://host:8786")


def test_progress_is_told_from_the_first_image_to_the_last(many):
    told = []
    audit.run(many, progress=lambda *numbers: told.append(numbers))
    assert told == [(0, 15), (4, 15), (8, 15), (12, 15), (15, 15)]


def interrupted(after):
    """Make a progress that is interrupted after some chunks."""
    told = []

    def progress(*numbers):
        told.append(numbers)
        if len(told) > after:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_run_keeps_what_it_has(jobs, many):
    found = audit.run(many, "rpn", image_scale="original", progress=interrupted(2), jobs=jobs)
    assert not found.is_complete
    assert 4 <= found.images_done < 15
    assert found.report()["images_done"] == found.images_done
    whole = audit.run(many, "rpn", image_scale="original")["rpn"].findings.objects
    partial = found["rpn"].findings.objects
    done = np.isin(whole.image, partial.image)
    np.testing.assert_array_equal(partial.positives, whole.positives[done])


def test_an_interrupt_before_anything_is_done_is_one(many):
    with pytest.raises(KeyboardInterrupt):
        audit.run(many, progress=interrupted(0))


def test_every_worker_is_started_where_no_interrupt_reaches_it():
    with execution._open(None, 2) as (submit, _):
        assert len(submit.func.__self__._processes) == 2


def hand_over(lifeline, results):
    """Hand a result over that no pipe holds, in a process that ends with its parent."""
    threading.Thread(target=execution._end_with, args=(lifeline,), daemon=True).start()
    execution._at_work(time.sleep, 0.1)
    results.send_bytes(bytes(10_000_000))


def test_a_worker_hands_its_result_over_before_it_ends():
    context = get_context("spawn")
    (lifeline, end), (reader, writer) = (context.Pipe(duplex=False) for _ in range(2))
    worker = context.Process(target=hand_over, args=(lifeline, writer), daemon=True)
    worker.start()
    writer.close()
    assert reader.poll(60)
    end.close()
    # Time to end in the middle, as it must not.
    time.sleep(0.3)
    assert len(reader.recv_bytes()) == 10_000_000
    worker.join()


def compute(lifeline, began):
    """Compute for a minute, in a process that ends with its parent."""
    threading.Thread(target=execution._end_with, args=(lifeline,), daemon=True).start()
    execution._at_work(lambda: (began.set(), time.sleep(60)))


def test_a_worker_that_computes_ends_at_once():
    context = get_context("spawn")
    lifeline, end = context.Pipe(duplex=False)
    began = context.Event()
    worker = context.Process(target=compute, args=(lifeline, began), daemon=True)
    worker.start()
    assert began.wait(60)
    end.close()
    worker.join(30)
    assert worker.exitcode == 1


WRONG = {
    "a loaded document": ({"annotations": {}}, "annotations: expected a path, got dict"),
    "a frame": ({"annotations": pandas.DataFrame()}, "annotations: expected a path, got DataFrame"),
    "an assigner itself": (
        {"assigners": MaxIoUAssigner(0.5, 0.4)},
        "assigners: expected names of presets or paths",
    ),
    "no image": ({"limit": -1}, "limit: expected at least 1, got -1"),
    "half an image": ({"limit": 1.5}, "limit: expected an integer, got 1.5"),
    "no job": ({"jobs": 0}, "jobs: expected at least 1, got 0"),
    "no batch": ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
    "a divisor of 0": ({"size_divisor": 0}, "size_divisor: expected at least 1, got 0"),
    "a seed below 0": ({"seed": -1}, "seed: expected at least 0, got -1"),
    "a drawing below 0": ({"sample": -1, "limit": 1}, "sample: expected at least 0, got -1"),
    "an override that is none": ({"overrides": [5]}, "overrides: expected texts KEY=VALUE, got 5"),
    "no id": ({"image_ids": [None]}, "image_ids: expected ids or file names, got None"),
    "no folder": ({"images": "nowhere"}, "images nowhere: no such folder"),
    "predictions in memory": (
        {"predictions": [], "assigners": "tood"},
        "predictions: expected a path, got list",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_named(case, document, write):
    arguments, reason = WRONG[case]
    with pytest.raises((TypeError, AuditError), match=reason):
        audit.run(**{"annotations": write(document), **arguments})


def test_how_a_file_is_read_says_nothing_about_a_data_set(many):
    for argument in ({"format": "coco"}, {"split": "val"}, {"images": "."}):
        with pytest.raises(AuditError, match="says how annotations are read, but none are given"):
            audit.run(many, **argument)


def test_one_of_several_may_stand_alone(document, write):
    found = audit.run(write(document), overrides="min_pos_iou=0.2", image_ids=7, categories="ape")
    assert found[0].name == "rpn min_pos_iou=0.2"
    assert [image.id for image in found.dataset.images] == [7]
    assert len(found.vary("min_pos_iou=0.1,0.3")[0].variations.what_ifs) == 2


@pytest.mark.parametrize("argument", [{"images": 0}, {"jobs": 0}])
def test_changes_are_tried_on_an_image_at_least(argument, many):
    found = audit.run(many)
    for method, arguments in ((found.suggest, ()), (found.vary, ("min_pos_iou=0.2",))):
        with pytest.raises(AuditError, match="expected at least 1, got 0"):
            method(*arguments, **argument)


def test_what_a_row_does_not_have_is_no_number(document, write):
    table = audit.run(write(document), categories="ape")[0].sizes_table()
    assert table["mean_positives"].dtype == np.float64
    assert np.isnan(table["mean_positives"][table["objects"] == 0]).all()


def test_an_overlap_that_nobody_compares_is_not_drawn(many):
    with pytest.raises(ValueError, match="fcos: compares no boxes"):
        audit.run(many, "fcos")[0].overlaps_figure()


@pytest.mark.parametrize("name", ["tood", "detr", "faster-rcnn-rcnn"])
def test_an_image_may_be_called_by_half_a_surrogate_pair(name, document, write):
    document["images"][0]["id"] = document["annotations"][0]["image_id"] = "\ud83c"
    assert not audit.run(write(document), name).dataset.images[0].id.isprintable()


def test_runs_are_found_by_index_and_name(many):
    found = audit.run(many, ["rpn", "atss"])
    assert [run.name for run in found] == ["rpn", "atss"]
    assert found["atss"] is found[1]
    with pytest.raises(KeyError, match="'fcos': expected one of 'rpn', 'atss'"):
        found["fcos"]


def test_tables_become_frames(document, write):
    found = audit.run(write(document), "rpn", image_scale="original")["rpn"]
    frame = pandas.DataFrame(found.objects_table())
    assert frame.equals(found.objects_table().to_pandas())
    assert frame.annotation_id.tolist() == [12, 13, 11, 15]
    assert frame.category.tolist() == ["ape", "zebra", "zebra", "ape"]
    assert frame.size_class.tolist() == ["medium", "small", "large", "medium"]
    assert frame.positives[1] == 0
    assert frame.level[1] == ""
    np.testing.assert_allclose(frame.best_overlap[1], 42 / 1024)
    np.testing.assert_array_equal(frame.training_width, frame.width)
    sizes = found.sizes_table().to_pandas().set_index("name")
    assert sizes.objects["all"] == 4
    assert found.levels_table().to_pandas().positives.sum() == found.priors_table()["positive"][0]


def test_tables_and_reports_have_oriented_boxes_where_the_data_set_has(document, write):
    upright = read_coco(write(document))
    objects = upright.all_objects
    turned = np.stack([[20.0, 30.0, 9.0 + i, 4.5, 0.25 * i] for i in range(len(objects))])
    tilted = dataclasses.replace(upright, all_objects=dataclasses.replace(objects, oriented=turned))
    found = audit.run(tilted, "rpn", image_scale="original")
    table = found["rpn"].objects_table()
    columns = ["cx", "cy", "w", "h", "angle"]
    np.testing.assert_array_equal(np.stack([table[name] for name in columns], axis=-1), turned)
    unmatched = found.report()["runs"][0]["unmatched"]
    assert unmatched
    of_id = dict(zip(table["annotation_id"].tolist(), turned.tolist(), strict=True))
    assert all(row["oriented"] == of_id[row["annotation_id"]] for row in unmatched)
    plain = audit.run(upright, "rpn", image_scale="original")
    assert not set(columns) & set(plain["rpn"].objects_table())
    assert {row["oriented"] for row in plain.report()["runs"][0]["unmatched"]} == {None}


def test_the_training_size_of_objects_is_that_of_their_image(document, write):
    table = audit.run(write(document), "ssd")["ssd"].objects_table()
    assert table["width"][0] == 40
    assert table["training_width"][0] == 40 * 300 / 320
    assert table["training_height"][0] == 50 * 300 / 240


def test_a_data_set_of_ones_own_can_be_given(many):
    assert isinstance(many, Dataset)
    assert len(audit.run(many)["rpn"].findings.objects) == 20
