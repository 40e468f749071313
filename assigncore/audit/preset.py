"""What a published training setting consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """A detector's label assignment as it is published.

    Attributes
    ----------
    name : str
        What the command line calls it.
    source : str
        Where the settings stand.
    priors : mapping
        ``{"type": ..., knobs}``: an `AnchorGenerator`, an `SSDAnchorGenerator`, a
        `YOLOAnchorGenerator`, a `PointGenerator`, `Proposals`, or, for methods without priors, `Queries`.
    assigner : mapping
        ``{"type": ..., knobs}`` as `assigncore.build_assigner` takes it. What the assigner's ``assign`` is
        given follows from the names in its signature.
    allowed_border : float
        Pixels that an anchor may reach over the image's edge and still take part. Below 0: all take part.
    approxs : mapping or None
        ``{"type": ..., knobs}`` of the anchors that stand for each prior, for assigners that ask for them.
    image_scale : str or None
        The size of images that the priors are made for, as `--image-scale` takes it. None: any.
    note : str or None
        What a reader of the counts must know of the method.
    changes : tuple of str
        What `--set` has changed of it, each ``KEY=VALUE``.
    """

    name: str
    source: str
    priors: Mapping[str, Any]
    assigner: Mapping[str, Any]
    allowed_border: float = -1
    approxs: Mapping[str, Any] | None = None
    image_scale: str | None = None
    note: str | None = None
    changes: tuple[str, ...] = ()
