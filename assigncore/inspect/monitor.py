"""What assignments do over a training run, counted where the results are."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.checks import (
    check_knob,
    check_levels,
    check_names,
    common_backend,
    plain,
    raise_precision,
    spread,
)
from assigncore.inspect.display import is_readable
from assigncore.inspect.object_sizes import SIZE_CLASSES, SIZE_LIMITS
from assigncore.result import AssignResult, check_result

__all__ = ["Monitor"]

CARRY = 20
"""Bits of a count that its low part keeps; what is above goes to the high part, so that nothing overflows."""

LARGEST_SHORT = 2**15 - 1

Key = tuple[int, Hashable]
"""An image in one of several matchings (decoder layers, say): the number of the matching, the image's id."""


@dataclass
class _Tally:
    """Sums of vectors of counts on a device, exact beyond the range of 32-bit integers."""

    low: Array
    high: Array

    def add(self, counts: Array) -> None:
        low = self.low + counts
        self.high = self.high + (low >> CARRY)
        self.low = low & (2**CARRY - 1)

    def read(self, backend: ArrayBackend) -> np.ndarray[Any, Any]:
        low, high = (backend.to_numpy(x).astype(np.int64) for x in (self.low, self.high))
        return low + (high << CARRY)


@dataclass
class _Listing:
    """The first objects without positives, as numbers of their images in the epoch and rows in these."""

    image: Array
    row: Array
    count: Array

    def add(self, backend: ArrayBackend, flags: Array, first_image: int, most: int) -> None:
        """Append what `flags` (images, rows) marks, as long as there is room."""
        xp, device = backend.xp, backend.device_of(flags)
        images, rows = (int(n) for n in flags.shape)
        integers = self.image.dtype
        flat = xp.astype(xp.reshape(flags, (1, images * rows)), integers)
        place = self.count + xp.cumulative_sum(flat, axis=-1) - 1
        place = xp.where((flat > 0) & (place < most), place, most)
        number = xp.arange(images, dtype=integers, device=device)[:, None] + first_image
        row = xp.arange(rows, dtype=integers, device=device)[None, :]
        for name, values in (("image", number), ("row", row)):
            spread = xp.reshape(xp.broadcast_to(values, (images, rows)), (1, images * rows))
            written = backend.scatter_max(place, spread, most + 1, fill=-1)
            setattr(self, name, xp.maximum(getattr(self, name), written))
        self.count = self.count + xp.sum(flat)


@dataclass
class _Epoch:
    """What one epoch has gathered so far."""

    backend: ArrayBackend
    levels: int | None
    tally: _Tally
    listing: _Listing
    images: int = 0
    priors: list[int] = field(default_factory=list)
    ids: list[Hashable] = field(default_factory=list)
    matches: list[tuple[tuple[Key, ...], Array]] = field(default_factory=list)


class Monitor:
    """Tell, epoch by epoch, what a training run's assignments gave its objects, without slowing the run.

    :meth:`update` takes every step's result where it is: it adds counts up by array operations on the
    results' device and reads no value, so nothing waits. :meth:`end_epoch` transfers the sums and returns
    them as a dict of plain numbers.

    Parameters
    ----------
    num_level_priors : sequence of int, optional
        Priors of each feature level, for shares by level. Where images change their size from step to step,
        give it to :meth:`update`.
    num_classes : int, optional
        Number of classes, for counts by class; labels outside them are passed over. Not given: the number
        of `class_names`, or no counts by class.
    class_names : sequence of str, optional
        What to call the classes in the report. Default: their labels.
    max_listed : int, default 100
        How many objects without positives are listed for each epoch; all are counted.
    max_tracked_bytes : int, default 64 MiB
        Memory of the device for one epoch's matches, and of the host for those of the epoch before, by which
        instability is told. See Notes.

    Attributes
    ----------
    history : list of dict
        The reports of all epochs that have ended.
    without_positives : tuple of (image id, row)
        Objects without any positive in the epoch that ended last, the first `max_listed` in the order of the
        updates.

    Notes
    -----
    **What is kept.** On the device: a vector of counts, the list of objects without positives, and the
    ``gt_inds`` of the tracked images in 16-bit integers (32-bit from 32,768 ground truths on): 600 bytes an
    image for the 300 queries of a DETR, so that the default tracks 111,848 images, or 160 images of 210,000
    anchors. On the host: an id for each image, and the matches of the epoch before. An image that was tracked
    once stays tracked; those beyond the limit are counted in everything but instability.

    **Instability** compares the matches of an image, told by its id, with those of the epoch before. As
    DN-DETR measures it, it is the number of an image's predictions whose match is another, on average over
    the images; ``changed_objects`` is the share of objects that gained or lost a prediction. Both mean
    something only where an image has the same ground truths in the same rows in each epoch: a random crop
    that drops objects changes them.

    **Sizes** are COCO's: small below 32² square pixels, large from 96² on, of `gt_areas` where they are
    given, else of the boxes as the assigner saw them, so at training size.

    References
    ----------
    Li et al., "DN-DETR: Accelerate DETR Training by Introducing Query DeNoising" (2022), section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from assigncore import MaxIoUAssigner
    >>> from assigncore.priors import retinanet_anchors
    >>> anchors = retinanet_anchors((256, 256))
    >>> assigner = MaxIoUAssigner(0.5, 0.4, min_pos_iou=0.2)
    >>> monitor = Monitor(num_level_priors=anchors.num_level_priors)
    >>> gt_bboxes = np.array([[10, 10, 60, 70], [30, 90, 32, 95]], dtype=np.float32)
    >>> for epoch in range(2):
    ...     result = assigner.assign(anchors.priors, gt_bboxes)
    ...     monitor.update(result, gt_bboxes=gt_bboxes, image_ids=["a.jpg"])
    ...     report = monitor.end_epoch()
    >>> report["objects"], report["without_positives"], report["without_positives/small"]
    (2, 1, 1)
    >>> report["positives_per_object/medium"], report["instability"]
    (34.0, 0.0)
    >>> monitor.without_positives
    (('a.jpg', 1),)
    """

    def __init__(
        self,
        *,
        num_level_priors: Sequence[int] | None = None,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        max_listed: int = 100,
        max_tracked_bytes: int = 64 * 2**20,
    ) -> None:
        if num_classes is not None:
            check_knob("num_classes", num_classes, at_least=1, integer=True)
        check_knob("max_listed", max_listed, at_least=0, integer=True)
        check_knob("max_tracked_bytes", max_tracked_bytes, at_least=0, integer=True)
        if class_names is None:
            class_names = [str(label) for label in range(num_classes or 0)]
        self.class_names = check_names("class_names", class_names, num_classes)
        self.num_level_priors = plain(num_level_priors)
        self.max_listed, self.max_tracked_bytes = max_listed, max_tracked_bytes
        self.history: list[dict[str, float]] = []
        self.without_positives: tuple[tuple[Hashable, int], ...] = ()
        self._epoch: _Epoch | None = None
        self._tracked: dict[Key, int] = {}
        self._tracked_bytes = 0
        self._before: dict[Key, np.ndarray[Any, Any]] = {}

    def __repr__(self) -> str:
        """Say how far it is."""
        images = 0 if self._epoch is None else self._epoch.images
        return f"Monitor({len(self.history)} epochs, {images:,} images since)"

    def update(
        self,
        result: AssignResult,
        *,
        gt_bboxes: Array,
        gt_labels: Array | None = None,
        gt_valid: Array | None = None,
        gt_areas: Array | None = None,
        image_ids: Sequence[Hashable] | Array | None = None,
        num_level_priors: Sequence[int] | None = None,
    ) -> None:
        """Count one step's result, without waiting for its device.

        Parameters
        ----------
        result : AssignResult
            Of one image or a batch, outside of compiled code. Of several leading dimensions the last is the
            images', and the others, decoder layers say, count like images of their own.
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels, as the assigner was given.
        gt_labels : array (..., G) of integers, optional
            Classes, needed for counts by class.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        gt_areas : array (..., G), optional
            Areas in square pixels that tell the objects' sizes. Not given: the boxes'.
        image_ids : sequence of int or str, optional
            An id for each image, known to the host. Needed for instability; not given, the images of an epoch
            are numbered.
        num_level_priors : sequence of int, optional
            Priors of each level in this step, in place of the monitor's.

        Raises
        ------
        TypeError
            If the call is being compiled, an argument is of a wrong type or dtype, or an array of another
            library, or `image_ids` would have to be waited for.
        ValueError
            If a shape, the number of ids or of levels does not fit.
        """
        check_result("result", result)
        optional = {"gt_labels": gt_labels, "gt_valid": gt_valid, "gt_areas": gt_areas}
        given = {
            "result.gt_inds": result.gt_inds,
            "gt_bboxes": gt_bboxes,
            **{name: x for name, x in optional.items() if x is not None},
        }
        backend = common_backend(given)
        if backend.is_traced(result.gt_inds):
            raise TypeError("result: expected one that has been computed; return it from compiled code first")
        xp = backend.xp
        num_gts, lead = result.num_gts, tuple(int(n) for n in result.gt_inds.shape[:-1])
        images = prod(lead)
        ids = self._ids(image_ids, lead)

        def rows(name: str, *kinds: str, columns: tuple[int, ...] = ()) -> Array:
            """Give each image its row, whatever leading dimensions are broadcast."""
            of_all = spread(name, given[name], backend, lead, (num_gts, *columns), *kinds)
            return xp.reshape(of_all, (images, num_gts, *columns))

        (boxes,) = raise_precision(backend, rows("gt_bboxes", "real floating", columns=(4,)))
        if gt_areas is None:
            areas = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
        else:
            areas = rows("gt_areas", "real floating", "integral")
        device = backend.device_of(result.gt_inds)
        valid = xp.ones((images, num_gts), dtype=xp.bool, device=device)
        valid = valid if gt_valid is None else rows("gt_valid", "bool")
        if self.class_names and gt_labels is None:
            raise ValueError("gt_labels: expected the ground truths' classes, to be counted by; got None")
        codes = xp.reshape(result.gt_inds, (images, result.num_priors))
        integers = codes.dtype
        counts = xp.reshape(result.positives_per_gt, (images, num_gts))
        alone = valid & (counts == 0)
        numbers = self.num_level_priors if num_level_priors is None else num_level_priors
        levels = check_levels((result.num_priors,) if numbers is None else numbers, result.num_priors)

        small, large = (areas < SIZE_LIMITS[0]), (areas >= SIZE_LIMITS[1])
        groups = xp.stack([small, ~(small | large), large], axis=-1)
        if self.class_names:
            known = xp.arange(len(self.class_names), device=device)
            groups = xp.concat([groups, rows("gt_labels", "integral")[..., None] == known], axis=-1)
        groups = groups & valid[..., None]
        of_groups = (groups, xp.where(groups, counts[..., None], 0), groups & (counts == 0)[..., None])
        sums = [xp.sum(xp.astype(x, integers), axis=(0, 1), dtype=integers) for x in of_groups]
        kinds = xp.stack([xp.astype(mask, xp.int8) for mask in (codes > 0, codes < 0)])
        sums += [xp.sum(kinds[:, :, level], axis=(1, 2), dtype=integers) for level in levels]
        vector = xp.concat(sums)

        epoch = self._current(backend, vector, None if numbers is None else len(levels))
        epoch.tally.add(vector)
        epoch.listing.add(backend, alone, len(epoch.ids), self.max_listed)
        if image_ids is not None:
            self._track(epoch, codes, num_gts, ids, lead)
        epoch.ids += ids
        epoch.images += lead[-1] if lead else 1
        lengths = [level.stop - level.start for level in levels]
        before = epoch.priors or [0] * len(lengths)
        epoch.priors = [so_far + images * length for so_far, length in zip(before, lengths, strict=True)]

    def end_epoch(self) -> dict[str, float]:
        """Report what the updates since the last call have counted, and begin anew; this waits for it.

        Returns
        -------
        dict of str to int or float
            Also appended to ``history``. ``epoch`` (from 0), ``images``, ``ignored_share`` (of the priors),
            and of the objects ``objects``, ``positives``, ``positives_per_object``, ``without_positives`` and
            ``without_positives_share``; these five also by size, as ``objects/small``, and by class, as
            ``objects/cat``. By level ``positives_share/level_0``, a share of all positives, and
            ``ignored_share/level_0``, a share of the level's priors. From the second epoch on, where images
            have ids, ``instability``, ``changed_objects`` and ``compared_images``: see the class. A mean or
            share of nothing is left out.

        Raises
        ------
        RuntimeError
            If there was no update.
        """
        epoch = self._epoch
        if epoch is None:
            raise RuntimeError("end_epoch: expected an update before it, there was none in this epoch")
        sums = epoch.tally.read(epoch.backend)
        names = (*SIZE_CLASSES, *self.class_names)
        groups = sums[: 3 * len(names)].reshape(3, -1).T
        per_level = sums[3 * len(names) :].reshape(-1, 2)
        priors = sum(epoch.priors)
        report: dict[str, float] = {"epoch": len(self.history), "images": epoch.images}
        report |= _of_group("", groups[: len(SIZE_CLASSES)].sum(axis=0))
        report |= _share("ignored_share", int(per_level[:, 1].sum()), priors)
        for name, group in zip(names, groups, strict=True):
            report |= _of_group(f"/{name}", group)
        if epoch.levels is not None:
            positives = int(per_level[:, 0].sum())
            for level, ((positive, ignored), count) in enumerate(zip(per_level, epoch.priors, strict=True)):
                report |= _share(f"positives_share/level_{level}", int(positive), positives)
                report |= _share(f"ignored_share/level_{level}", int(ignored), count)
        report |= self._instability(epoch)
        self.without_positives = self._listed(epoch)
        self.history.append(report)
        self._epoch = None
        return dict(report)

    def _current(self, backend: ArrayBackend, vector: Array, levels: int | None) -> _Epoch:
        """Return the running epoch, begun with the first update."""
        if self._epoch is None:
            xp, device = backend.xp, backend.device_of(vector)
            zeros = xp.zeros_like(vector)
            empty = xp.full((1, self.max_listed + 1), -1, dtype=vector.dtype, device=device)
            count = xp.zeros((), dtype=vector.dtype, device=device)
            listing = _Listing(empty, empty, count)
            self._epoch = _Epoch(backend, levels, _Tally(zeros, zeros), listing)
        epoch = self._epoch
        if epoch.backend is not backend:
            raise TypeError(
                f"result: expected arrays of {epoch.backend.xp.__name__} as in the epoch's other updates, "
                f"got some of {backend.xp.__name__}"
            )
        if epoch.levels != levels:
            raise ValueError(
                f"num_level_priors: expected as many levels as in the epoch's other updates, "
                f"{epoch.levels}, got {levels}"
            )
        return epoch

    def _ids(self, image_ids: Any, lead: tuple[int, ...]) -> Sequence[Hashable]:
        """Return an id for each image of every leading dimension, the last of which counts images."""
        images, repeats = (lead[-1], prod(lead[:-1])) if lead else (1, 1)
        if image_ids is None:
            first = 0 if self._epoch is None else self._epoch.images
            return list(range(first, first + images)) * repeats
        if hasattr(image_ids, "__dlpack__"):
            backend = get_backend(image_ids, "image_ids")
            if not is_readable(backend, image_ids):
                raise TypeError(
                    "image_ids: expected ids that the host knows (ints, strings, or an array in its memory), "
                    "got an array that would have to be waited for"
                )
            image_ids = np.reshape(backend.to_numpy(image_ids), (-1,)).tolist()
        if isinstance(image_ids, str) or not isinstance(image_ids, Iterable):
            raise TypeError(f"image_ids: expected a sequence of ids, one for each image, got {image_ids!r}")
        ids = list(image_ids)
        if not all(isinstance(each, Hashable) for each in ids):
            raise TypeError(f"image_ids: expected ints or strings, got {image_ids!r}")
        if len(ids) != images:
            raise ValueError(f"image_ids: expected {images}, one for each image of the batch, got {len(ids)}")
        return ids * repeats

    def _track(
        self,
        epoch: _Epoch,
        codes: Array,
        num_gts: int,
        ids: Sequence[Hashable],
        lead: tuple[int, ...],
    ) -> None:
        """Keep the matches of the images that are tracked, as copies in few bytes."""
        xp, images = epoch.backend.xp, lead[-1] if lead else 1
        dtype = xp.int16 if num_gts <= LARGEST_SHORT else xp.int32
        size = int(codes.shape[-1]) * (2 if dtype == xp.int16 else 4)
        keys = [(place // images, each) for place, each in enumerate(ids)]
        kept = [place for place, key in enumerate(keys) if self._is_tracked(key, size)]
        if len(kept) == len(keys):
            epoch.matches.append((tuple(keys), xp.astype(codes, dtype)))
            return
        # Row by row, since an array of indices would first have to go to the device.
        for place in kept:
            epoch.matches.append(((keys[place],), xp.astype(codes[place : place + 1, :], dtype)))

    def _is_tracked(self, key: Key, size: int) -> bool:
        """Tell whether an image is tracked, or can be from now on."""
        if key not in self._tracked:
            if self._tracked_bytes + size > self.max_tracked_bytes:
                return False
            self._tracked[key] = size
            self._tracked_bytes += size
        return self._tracked[key] >= size

    def _instability(self, epoch: _Epoch) -> dict[str, float]:
        """Compare the matches of images with those of the epoch before, which they replace."""
        found: dict[Key, np.ndarray[Any, Any]] = {}
        for keys, codes in epoch.matches:
            found.update(zip(keys, epoch.backend.to_numpy(codes), strict=True))
        both = [key for key, old in self._before.items() if key in found and found[key].shape == old.shape]
        pairs = [(self._before[key], found[key]) for key in both]
        self._before = found
        if not pairs:
            return {}
        changed = [old != new for old, new in pairs]
        objects = [np.union1d(old[old > 0], new[new > 0]) for old, new in pairs]
        moved = [
            np.setdiff1d(np.union1d(old[mask], new[mask]), (-1, 0))
            for (old, new), mask in zip(pairs, changed, strict=True)
        ]
        report: dict[str, float] = {
            "compared_images": len({image for _, image in both}),
            "instability": float(np.mean([mask.sum() for mask in changed])),
        }
        return report | _share("changed_objects", sum(map(len, moved)), sum(map(len, objects)))

    def _listed(self, epoch: _Epoch) -> tuple[tuple[Hashable, int], ...]:
        listing = epoch.listing
        image, row = (epoch.backend.to_numpy(x)[0, : self.max_listed] for x in (listing.image, listing.row))
        pairs = zip(image.tolist(), row.tolist(), strict=True)
        # Each once: an object of several decoder layers may be without positives in several.
        return tuple(dict.fromkeys((epoch.ids[number], at) for number, at in pairs if number >= 0))


def _of_group(suffix: str, group: np.ndarray[Any, Any]) -> dict[str, float]:
    """Report the objects of a group: how many, their positives, and those that have none."""
    objects, positives, without = (int(x) for x in group)
    report: dict[str, float] = {
        f"objects{suffix}": objects,
        f"positives{suffix}": positives,
        f"without_positives{suffix}": without,
    }
    report |= _share(f"positives_per_object{suffix}", positives, objects)
    return report | _share(f"without_positives_share{suffix}", without, objects)


def _share(name: str, part: int, whole: int) -> dict[str, float]:
    """Report a quotient; nothing of nothing."""
    return {name: part / whole} if whole else {}
