import numpy as np
import pytest

from assigncore.conformance import Call
from assigncore.conformance.goldens.batching import batch_calls, image_of_batch


def _call(priors, gts, ignored=None):
    arrays = {
        "priors": np.ones((priors, 4), dtype=np.float32),
        "gt_bboxes": np.ones((gts, 4), dtype=np.float32),
        "gt_labels": np.full(gts, 7),
    }
    if ignored is not None:
        arrays["ignore_bboxes"] = np.ones((ignored, 4), dtype=np.float32)
    return Call(dict, arrays)


def test_masks_mark_the_padding_and_padding_is_nan():
    batch = batch_calls([_call(2, 3), _call(4, 0, ignored=2)]).arrays
    assert batch["prior_valid"].tolist() == [[True, True, False, False], [True] * 4]
    assert batch["gt_valid"].tolist() == [[True] * 3, [False] * 3]
    assert batch["ignore_valid"].tolist() == [[False, False], [True, True]]
    for name, mask in (
        ("priors", "prior_valid"),
        ("gt_bboxes", "gt_valid"),
        ("ignore_bboxes", "ignore_valid"),
    ):
        np.testing.assert_array_equal(np.isnan(batch[name]).all(axis=-1), ~batch[mask])
        assert batch[name].dtype == np.float32
    assert batch["gt_labels"].shape == (2, 3)


def test_without_ignore_regions_there_is_no_mask_for_them():
    assert set(batch_calls([_call(1, 1), _call(2, 1)]).arrays) == {
        "priors", "gt_bboxes", "gt_labels", "prior_valid", "gt_valid"
    }  # fmt: skip


def test_what_cannot_be_padded_is_refused():
    with pytest.raises(ValueError, match="no calls"):
        batch_calls([])
    with pytest.raises(ValueError, match="bboxes1"):
        batch_calls([Call(dict, {"bboxes1": np.zeros((2, 4))})])


def test_one_image_is_cut_out_of_the_outputs():
    outputs = {"gt_inds": np.array([[1, 0, -1], [0, 2, 0]]), "labels": None}
    image = image_of_batch(outputs, 1, 2)
    assert image["gt_inds"].tolist() == [0, 2]
    assert image["labels"] is None
