"""The union of several layers' matchings, against counting them pair by pair."""

from collections import Counter

import numpy as np
import pytest

from assigncore import AssignResult
from assigncore.matching import union_of_matchings

LABELS = np.array([[4, 0, 7], [1, 1, 2]])


def matchings(seed, layers=4, images=2, n=9, g=3):
    rng = np.random.default_rng(seed)
    codes = np.zeros((layers, images, n), dtype=np.int64)
    for place in np.ndindex(layers, images):
        # Mostly the same few predictions, so that layers agree and ties are frequent.
        codes[place][rng.permutation(5)[:g]] = rng.permutation(g) + 1
    return codes


def counted(codes):
    """Pool the pairs, sort by how many layers have them, and let each prediction keep the first."""
    pairs = Counter((n, int(code)) for layer in codes for n, code in enumerate(layer) if code > 0)
    kept = {}
    for n, code in sorted(pairs, key=lambda pair: (-pairs[pair], pair)):
        kept.setdefault(n, (code, pairs[n, code]))
    return [kept.get(n, (0, 0)) for n in range(codes.shape[-1])]


@pytest.mark.parametrize("seed", range(5))
def test_each_prediction_keeps_what_most_layers_give_it(seed, target):
    codes = matchings(seed)
    labels = np.where(codes > 0, LABELS[np.arange(2)[None, :, None], codes - 1], -1)
    with target.running(x64=False):
        layers = AssignResult(target.from_numpy(codes), None, target.from_numpy(labels), 3)
        united = union_of_matchings(layers)
        got, votes, of_label = (
            target.to_numpy(x) for x in (united.gt_inds, united.extras["votes"], united.labels)
        )
    for image in range(2):
        expected = counted(codes[:, image])
        assert list(zip(got[image].tolist(), votes[image].tolist(), strict=True)) == expected
        own = [int(LABELS[image, code - 1]) if code else -1 for code, _ in expected]
        assert of_label[image].tolist() == own


def test_one_layer_is_its_own_union_and_excluded_predictions_stay_so():
    codes = np.array([[-1, 2, 0, 1]])
    united = union_of_matchings(AssignResult(codes, None, None, 2))
    assert united.gt_inds.tolist() == [-1, 2, 0, 1]
    assert united.extras["votes"].tolist() == [0, 1, 0, 1]
    assert union_of_matchings(AssignResult(codes[:, :0], None, None, 0)).gt_inds.shape == (0,)


def test_wrong_calls_are_named():
    with pytest.raises(TypeError, match="layers: expected an AssignResult, got ndarray"):
        union_of_matchings(np.zeros((2, 3)))
    for shape in ((3,), (0, 3)):
        with pytest.raises(ValueError, match="layers: expected gt_inds"):
            union_of_matchings(AssignResult(np.zeros(shape, dtype=int), None, None, 2))
