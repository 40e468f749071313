"""How MMDetection reads a threshold by its type, which the core does not."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["NO_BACKGROUND", "background_threshold"]

NO_BACKGROUND = -1.0
"""No overlap is from 0 to below this."""


def background_threshold(neg_iou_thr: Any, *, pairs: tuple[type, ...] = (tuple,)) -> Any:
    """Return the core's ``neg_iou_thr`` of a published one: of other types than it asks for, none.

    Parameters
    ----------
    neg_iou_thr : object
        As a config has it.
    pairs : tuple of types
        What a pair may be. Of a pair or a number of another type, an ``int`` say, the published code makes
        no background.

    Returns
    -------
    object
        `neg_iou_thr` itself, right or wrong, or :data:`NO_BACKGROUND`.

    Examples
    --------
    >>> background_threshold(0.4), background_threshold(1), background_threshold([0.1, 0.4])
    (0.4, -1.0, -1.0)
    """
    if isinstance(neg_iou_thr, bool):
        return neg_iou_thr
    if isinstance(neg_iou_thr, int | np.integer):
        return NO_BACKGROUND
    if isinstance(neg_iou_thr, list) and list not in pairs:
        return NO_BACKGROUND
    return neg_iou_thr
