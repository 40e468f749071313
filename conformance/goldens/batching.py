"""Several golden cases as one padded batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.goldens.calls import Call, Outputs

__all__ = ["batch_calls", "image_of_batch", "twins"]

AnyArray = NDArray[Any]

_ROWS = {
    "priors": "prior_valid",
    "approxs": "prior_valid",
    "responsible_flags": "prior_valid",
    "gt_bboxes": "gt_valid",
    "gt_labels": "gt_valid",
    "ignore_bboxes": "ignore_valid",
}
"""The mask that marks the rows of each argument."""

_LEADERS = {"prior_valid": "priors", "gt_valid": "gt_bboxes", "ignore_valid": "ignore_bboxes"}
"""The argument that counts the rows of each mask."""


def _filler(dtype: np.dtype[Any]) -> Any:
    """Give the value for padding rows: the most harmful one, because no value may matter there."""
    if dtype.kind == "f":
        return np.nan
    return True if dtype.kind == "b" else 1


def batch_calls(calls: Sequence[Call]) -> Call:
    """Join calls for single images into one for a padded batch.

    Parameters
    ----------
    calls : sequence of Call
        Calls of the same assigner with the same knobs, each for one image, at least one. A call may lack
        ``ignore_bboxes`` that another has; it then has none of them.

    Returns
    -------
    Call
        The first call's function, and its arguments with a leading batch dimension. Padding rows hold NaN,
        and ``prior_valid``, ``gt_valid`` and, where there are ignore regions, ``ignore_valid`` mark them.

    Raises
    ------
    ValueError
        There are no calls, or one has an argument whose rows are not known here.

    Examples
    --------
    >>> import numpy as np
    >>> calls = [
    ...     Call(dict, {"priors": np.zeros((count, 4)), "gt_bboxes": np.zeros((1, 4))}) for count in (2, 3)
    ... ]
    >>> batch_calls(calls).arrays["prior_valid"].tolist()
    [[True, True, False], [True, True, True]]
    """
    if not calls:
        raise ValueError("no calls to join; expected at least one")
    samples: dict[str, AnyArray] = {}
    for call in calls:
        samples = {**call.arrays, **samples}
    unknown = sorted(set(samples) - set(_ROWS))
    if unknown:
        raise ValueError(
            f"arguments {', '.join(unknown)} cannot be padded; expected some of {', '.join(_ROWS)}"
        )
    arrays: dict[str, AnyArray] = {}
    for name, sample in samples.items():
        parts = [call.arrays.get(name, sample[:0]) for call in calls]
        rows = max(len(part) for part in parts)
        joined = np.full((len(calls), rows, *sample.shape[1:]), _filler(sample.dtype), dtype=sample.dtype)
        for image, part in zip(joined, parts, strict=True):
            image[: len(part)] = part
        arrays[name] = joined
        mask = _ROWS[name]
        if _LEADERS[mask] == name:
            lengths = np.array([len(part) for part in parts])
            arrays[mask] = np.arange(rows) < lengths[:, None]
    return Call(calls[0].function, arrays)


def twins(call: Call) -> Call:
    """Give the call for a batch of an image and its like.

    Parameters
    ----------
    call : Call
        For one image.

    Returns
    -------
    Call
        The same function, and each argument twice along a leading dimension.

    Examples
    --------
    >>> import numpy as np
    >>> twins(Call(dict, {"priors": np.zeros((3, 4))})).arrays["priors"].shape
    (2, 3, 4)
    """
    return Call(call.function, {name: np.stack([x, x]) for name, x in call.arrays.items()})


def image_of_batch(outputs: Mapping[str, AnyArray | None], image: int, priors: int) -> Outputs:
    """Cut the outputs of one image out of those of a batch.

    Parameters
    ----------
    outputs : mapping of str to numpy.ndarray or None
        Each ``(B, N, ...)``.
    image : int
        Index of the image.
    priors : int
        Its number of priors, padding not counted.

    Returns
    -------
    dict of str to numpy.ndarray or None

    Examples
    --------
    >>> import numpy as np
    >>> image_of_batch({"gt_inds": np.array([[1, 0, -1], [0, 0, 2]])}, 0, 2)["gt_inds"].tolist()
    [1, 0]
    """
    return {name: None if array is None else array[image, :priors] for name, array in outputs.items()}
