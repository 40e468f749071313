"""A data set in memory: images, and their annotations as columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np

from assigncore.checks import check_knob, several
from assigncore.datasets.files import InputFileError
from assigncore.inspect.display import plural
from assigncore.registry import suggestion

# Sums of decimal fractions miss the image's edge by less than this; it is not worth calling a box clipped.
EDGE_TOLERANCE = 0.01

# Boxes at the edge are common; where so many, and more than this share, are clipped, sizes may be wrong.
LEAST_CLIPPED, MANY_CLIPPED = 10, 0.2


@dataclass(frozen=True, slots=True)
class Image:
    """One image of the data set; sizes in pixels."""

    id: int | str
    width: int
    height: int
    file_name: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotated object: box x1 y1 x2 y2 clipped to its image, area in square pixels as COCO counts it.

    Its id is the file's where that is its alone, else the place where it stands: ``index 3``, ``line 3``.
    """

    id: int | str
    image_id: int | str
    category_id: int | str
    bbox: tuple[float, float, float, float]
    area: float
    crowd: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """An annotation, an image or a whole file that cannot be used, and why.

    Attributes
    ----------
    annotation_id : int, str or None
        None: it has none.
    index : int or None
        Where it stands in its list or file. None: a whole file or image.
    reason : str
    file : str or None
        The file, where the data set has several.
    noun : str
        What the index counts: ``index``, ``line`` or ``object``.
    """

    annotation_id: int | str | None
    index: int | None
    reason: str
    file: str | None = None
    noun: str = "index"

    def __str__(self) -> str:
        """Say it in one line."""
        if self.file is not None:
            return f"{self.file}{'' if self.index is None else f' {self.noun} {self.index}'}: {self.reason}"
        name = f"at {self.noun} {self.index}" if self.annotation_id is None else f"{self.annotation_id}"
        return f"annotation {name}: {self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class Annotations(Sequence[Annotation]):
    """Annotations as columns, a sequence of :class:`Annotation` that makes each when it is asked for.

    Attributes
    ----------
    images : tuple of Image
        What ``image_index`` counts.
    category_ids : tuple
        What ``labels`` counts.
    image_index : array (A,) of int64
    bboxes : array (A, 4) of float64
        Boxes x1 y1 x2 y2 in pixels, clipped to their images.
    labels : array (A,) of int64
        Classes counted from 0.
    areas : array (A,) of float64
        In square pixels, as COCO counts them.
    positions : array (A,) of int64
        Where each stands in its list or file.
    ids : array (A,) or None
        Ids of the file's, int64 or objects, None among these where an id is not one annotation's alone.
        None: the format has no ids.
    noun : str
        What ``positions`` count: ``index``, ``line`` or ``object``.
    crowd : bool
        Whether they are crowd regions.
    oriented : array (A, 5) of float64 or None
        Oriented boxes cx, cy, w, h in pixels and the angle in radians, not clipped, in place of which
        ``bboxes`` are those around them. None: the format has none.
    keypoints : array (A, K, 3) of float64 or None
        x, y in pixels and visibility of each keypoint, which is 0 for one that is not labelled. None: there
        are none.
    """

    images: tuple[Image, ...]
    category_ids: tuple[int | str, ...]
    image_index: Any
    bboxes: Any
    labels: Any
    areas: Any
    positions: Any
    ids: Any = None
    noun: str = "index"
    crowd: bool = False
    oriented: Any = None
    keypoints: Any = None

    def __len__(self) -> int:
        """Count the annotations."""
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> Annotation: ...
    @overload
    def __getitem__(self, index: slice) -> Annotations: ...
    def __getitem__(self, index: int | slice) -> Annotation | Annotations:
        """Give one annotation, or the columns of several."""
        if isinstance(index, slice):
            return self.take(index)
        return Annotation(
            self.id_of(index),
            self.images[self.image_index[index]].id,
            self.category_ids[self.labels[index]],
            tuple(self.bboxes[index].tolist()),
            float(self.areas[index]),
            self.crowd,
        )

    def __iter__(self) -> Iterator[Annotation]:
        """Make each annotation in turn."""
        return (self[i] for i in range(len(self)))

    def id_of(self, index: int) -> int | str:
        """Name an annotation: its id, or where it stands."""
        found = plain_id(self.ids, index)
        return f"{self.noun} {int(self.positions[index])}" if found is None else found

    def take(self, rows: Any) -> Annotations:
        """Give some rows: a slice, indices, or a mask."""
        columns = ("image_index", "bboxes", "labels", "areas", "positions")
        some = {name: getattr(self, name)[rows] for name in columns}
        rare = {name: getattr(self, name) for name in ("ids", "oriented", "keypoints")}
        some |= {name: None if column is None else column[rows] for name, column in rare.items()}
        return replace(self, **some)


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedImage:
    """One image's annotations as NumPy arrays, in the form that assigners take.

    Attributes
    ----------
    image : Image
        Its id, size in pixels and file name.
    gt_bboxes : array (G, 4) of float32
        Objects, boxes x1 y1 x2 y2 in pixels.
    gt_labels : array (G,) of int64
        Classes counted from 0: indices into ``Dataset.class_names``.
    ignore_bboxes : array (I, 4) of float32
        Crowd regions, boxes x1 y1 x2 y2 in pixels.
    gt_oriented : array (G, 5) of float32 or None
        Oriented boxes of the objects, cx, cy, w, h in pixels and the angle in radians. None: the format has
        none.
    gt_keypoints : array (G, K, 3) of float32 or None
        x, y in pixels and visibility of the objects' keypoints. None: there are none.
    """

    image: Image
    gt_bboxes: Any
    gt_labels: Any
    ignore_bboxes: Any
    gt_oriented: Any = None
    gt_keypoints: Any = None

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.height, self.image.width

    def __repr__(self) -> str:
        """Say what there is, not every box."""
        counts = f"{plural(len(self.gt_bboxes), 'object')}, {plural(len(self.ignore_bboxes), 'crowd region')}"
        return f"AnnotatedImage({self.image.file_name}, {self.image.width}x{self.image.height}, {counts})"


@dataclass(frozen=True)
class Dataset(Sequence[AnnotatedImage]):
    """The images of a data set, a sequence of :class:`AnnotatedImage`.

    Attributes
    ----------
    source : str
        Path, or the name of the bundled sample.
    format : str
        ``coco``, ``lvis``, ``yolo``, ``voc``, ``crowdhuman`` or ``dota``.
    images : tuple of Image
        In the file's order.
    categories : mapping of category id to name
        In the file's order, which is also the order of the class labels; then any that only annotations use.
    all_objects : Annotations
        What wants positives, image by image, each image's in the file's order.
    all_crowds : Annotations
        Regions to leave out of training, likewise.
    skipped : tuple of Skipped
        Broken annotations and files.
    num_clipped : int
        Boxes that reached over their image's edge and were cut there.
    dropped : mapping of reason to int
        Objects that data loaders leave out of training, and so does this.
    notices : tuple of str
        What a reader should know of how the files were read, a sentence each.
    image_folder : Path or None
        Where the image files are, if the annotations tell.
    """

    source: str
    format: str
    images: tuple[Image, ...]
    categories: Mapping[int | str, str]
    all_objects: Annotations
    all_crowds: Annotations
    skipped: tuple[Skipped, ...] = ()
    num_clipped: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    image_folder: Path | None = None

    @cached_property
    def labels(self) -> dict[int | str, int]:
        """Class label of each category, counted from 0 as detectors do."""
        return {category: label for label, category in enumerate(self.categories)}

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class label."""
        return tuple(self.categories.values())

    @cached_property
    def index_of(self) -> dict[int | str, int]:
        """Index of each image by its id."""
        return {image.id: i for i, image in enumerate(self.images)}

    @cached_property
    def object_starts(self) -> Any:
        """Image i has the rows from entry i to entry i + 1 of ``all_objects``; shape (I + 1,), int64."""
        return np.searchsorted(self.all_objects.image_index, np.arange(len(self.images) + 1))

    @cached_property
    def crowd_starts(self) -> Any:
        """Image i has the rows from entry i to entry i + 1 of ``all_crowds``; shape (I + 1,), int64."""
        return np.searchsorted(self.all_crowds.image_index, np.arange(len(self.images) + 1))

    def objects(self, image: Image) -> Annotations:
        """Annotations of an image that want positives: all but the crowd regions."""
        i = self.index_of[image.id]
        return self.all_objects[self.object_starts[i] : self.object_starts[i + 1]]

    def crowds(self, image: Image) -> Annotations:
        """Crowd regions of an image."""
        i = self.index_of[image.id]
        return self.all_crowds[self.crowd_starts[i] : self.crowd_starts[i + 1]]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: Any) -> Any:
        """Give one image's annotations as arrays, or several images' as a tuple."""
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        image = self.images[index]
        objects, crowds = self.objects(image), self.crowds(image)
        boxes, crowded = (found.bboxes.astype(np.float32) for found in (objects, crowds))
        rare = (objects.oriented, objects.keypoints)
        oriented, keypoints = (None if x is None else x.astype(np.float32) for x in rare)
        return AnnotatedImage(image, boxes, objects.labels, crowded, oriented, keypoints)

    def __repr__(self) -> str:
        """Say what there is, not every annotation."""
        return (
            f"Dataset({self.source}: {plural(len(self.images), 'image')}, "
            f"{plural(len(self.all_objects), 'object')}, {plural(len(self.categories), 'class', 'classes')})"
        )

    def part(self, start: int, end: int) -> Dataset:
        """Give the data set of the images from `start` to before `end`, without what is said of the files."""
        return replace(
            self.take(range(*slice(start, end).indices(len(self.images)))),
            skipped=(),
            num_clipped=0,
            dropped={},
            notices=(),
        )

    def take(self, indices: Sequence[int]) -> Dataset:
        """Give the data set of some of its images, in this order.

        Parameters
        ----------
        indices : sequence of int
            Indices of ``images``, each once.
        """
        images = tuple(self.images[i] for i in indices)

        def rows(annotations: Annotations, starts: Any) -> Annotations:
            parts = [np.arange(starts[i], starts[i + 1]) for i in indices]
            chosen = annotations.take(np.concatenate([np.empty(0, dtype=np.int64), *parts]))
            image_index = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
            return replace(chosen, images=images, image_index=image_index)

        return replace(
            self,
            images=images,
            all_objects=rows(self.all_objects, self.object_starts),
            all_crowds=rows(self.all_crowds, self.crowd_starts),
        )

    def filter(
        self,
        *,
        image_ids: int | str | Collection[int | str] = (),
        categories: int | str | Collection[int | str] = (),
        limit: int | None = None,
        seed: int | None = None,
    ) -> Dataset:
        """Give a part of the data set.

        Parameters
        ----------
        image_ids : id or name, or collection of them
            Only these images, called by id, by file name or by its stem. None given: all.
        categories : id or name, or collection of them
            Only the objects and crowd regions of these classes, called by name or id, and only images that
            have such objects: what a detector of these classes alone would be trained on. None given: all.
        limit : int, optional
            At most so many images.
        seed : int, optional
            Draw them at random, instead of taking the first. They keep their order.

        Raises
        ------
        ValueError
            If a name is of no image or no category, a number is out of range, or nothing is left.
        TypeError
            If an argument is of another type.
        """
        image_ids = several("image_ids", image_ids, int, str, np.integer, expected="ids or file names")
        categories = several("categories", categories, int, str, np.integer, expected="ids or names")
        if limit is not None:
            check_knob("limit", limit, at_least=1, integer=True)
        if seed is not None:
            check_knob("seed", seed, at_least=0, integer=True)
        chosen = self if not categories else self._of_categories(categories)
        said = [f"only the objects of: {', '.join(chosen.class_names)}"] if categories else []
        indices = np.arange(len(chosen.images)) if not image_ids else chosen._find_images(image_ids)
        if categories:
            indices = indices[np.diff(chosen.object_starts)[indices] > 0]
        if limit is not None and limit < len(indices):
            if seed is not None:
                indices = np.sort(np.random.default_rng(seed).permutation(len(indices))[:limit])
            indices = indices[:limit]
        if len(indices) < len(self.images):
            chosen = chosen.take(indices.tolist())
            drawn = "" if seed is None else f", drawn by the seed {seed}"
            said.append(f"{len(indices):,} of {plural(len(self.images), 'image')}{drawn}")
        if not len(chosen.all_objects):
            raise ValueError("nothing is left: no image chosen has an object")
        return replace(chosen, notices=(*self.notices, *said))

    def _find_images(self, names: Collection[int | str]) -> Any:
        """Find the images that are called so, in the data set's order."""
        known: dict[str, int] = {}
        for i, image in reversed(list(enumerate(self.images))):
            base = image.file_name.rpartition("/")[2]
            known |= {base.rpartition(".")[0]: i, base: i, image.file_name: i}
        known |= {str(image.id): i for i, image in enumerate(self.images)}
        for name in names:
            if str(name) not in known:
                shown = ", ".join(repr(image.id) for image in self.images[:3])
                raise ValueError(f"there is no image {name!r}; the first ids are {shown}")
        return np.unique([known[str(name)] for name in names])

    def _of_categories(self, names: Collection[int | str]) -> Dataset:
        """Keep the annotations of some categories, and these categories alone."""
        ids = [
            [id for id, name in self.categories.items() if str(wanted) in (name, str(id))] for wanted in names
        ]
        for wanted, found in zip(names, ids, strict=True):
            if not found:
                raise ValueError(
                    f"there is no category {wanted!r}; {suggestion(str(wanted), self.class_names)}"
                )
        kept = {id for found in ids for id in found}
        categories = {id: name for id, name in self.categories.items() if id in kept}
        relabel = np.full(len(self.categories), -1)
        relabel[[self.labels[id] for id in categories]] = np.arange(len(categories))

        def rows(annotations: Annotations) -> Annotations:
            labels = relabel[annotations.labels]
            chosen = annotations.take(labels >= 0)
            return replace(chosen, labels=labels[labels >= 0], category_ids=tuple(categories))

        return replace(
            self, categories=categories, all_objects=rows(self.all_objects), all_crowds=rows(self.all_crowds)
        )


@dataclass
class Rows:
    """Annotations as a format's reader found them, before their boxes are judged: columns of equal length.

    Attributes
    ----------
    image_index : list of int
    boxes : list of (x1, y1, x2, y2)
        In pixels, as they stand.
    labels : list of int
    positions : list of int
        As in `Annotations`.
    crowd, ignore : list of bool
        Crowd regions; objects that loaders leave out.
    areas : list of float or None
        None: the boxes' own.
    ids : list or None
        As in `Annotations`.
    oriented : array (A, 5) or None
        As in `Annotations`.
    keypoints : array (A, K, 3) or None
        As in `Annotations`.
    """

    image_index: Any = field(default_factory=list)
    boxes: Any = field(default_factory=list)
    labels: Any = field(default_factory=list)
    positions: Any = field(default_factory=list)
    crowd: Any = field(default_factory=list)
    ignore: Any = field(default_factory=list)
    areas: Any = None
    ids: Any = None
    oriented: Any = None
    keypoints: Any = None

    def add(
        self,
        image: int,
        box: Sequence[float],
        label: int,
        position: int,
        *,
        crowd: bool = False,
        ignore: bool = False,
    ) -> None:
        """Append an annotation."""
        self.image_index.append(image)
        self.boxes.append(box)
        self.labels.append(label)
        self.positions.append(position)
        self.crowd.append(crowd)
        self.ignore.append(ignore)


def make_dataset(
    source: str,
    format: str,
    images: Sequence[Image],
    categories: Mapping[int | str, str],
    rows: Rows,
    *,
    noun: str,
    skipped: Sequence[Skipped] = (),
    notices: Sequence[str] = (),
    files: Sequence[str] | None = None,
    dropped: Mapping[str, int] | None = None,
    image_folder: Path | None = None,
    as_written: str = "x1 y1 x2 y2",
) -> Dataset:
    """Judge the boxes: leave out what is broken, clip, and drop what loaders do.

    Parameters
    ----------
    source, format, images, categories, skipped, notices, dropped, image_folder
        As in `Dataset`; ``skipped`` and ``dropped`` are those that the reader has found.
    rows : Rows
    noun : str
        What the positions count.
    files : sequence of str, optional
        The file of each image, where the data set has several.
    as_written : str
        The order of a box's numbers in errors: ``x y width height`` or ``x1 y1 x2 y2``.

    Raises
    ------
    InputFileError
        If no object is left.
    """
    images = tuple(images)
    image_index = np.asarray(rows.image_index, dtype=np.int64)
    boxes = np.asarray(rows.boxes, dtype=np.float64).reshape(-1, 4)
    positions = np.asarray(rows.positions, dtype=np.int64)
    extents = np.asarray([(i.width, i.height) for i in images], dtype=np.float64).reshape(-1, 2)[image_index]
    sides = boxes[:, 2:] - boxes[:, :2]
    empty = ~np.all(sides > 0, axis=1)
    clipped = np.concatenate([np.maximum(boxes[:, :2], 0), np.minimum(boxes[:, 2:], extents)], axis=1)
    outside = ~empty & ~np.all(clipped[:, :2] < clipped[:, 2:], axis=1)
    found = list(skipped)
    in_corners = as_written == "x1 y1 x2 y2"
    for i in np.nonzero(empty | outside)[0].tolist():
        box = [*boxes[i, :2], *(boxes[i, 2:] if in_corners else sides[i])]
        written = f"[{', '.join(f'{v:.10g}' for v in box)}]"
        wanted = "x2 above x1 and y2 above y1" if in_corners else "width and height above 0"
        image = images[image_index[i]]
        reason = (
            f"expected {wanted}, got {written}"
            if empty[i]
            else f"{written} lies outside its image of {image.width} x {image.height} pixels"
        )
        own = plain_id(rows.ids, i)
        file = None if files is None else files[image_index[i]]
        found.append(Skipped(own, int(positions[i]), f"bbox: {reason}", file, noun))
    found.sort(key=lambda s: (-1 if s.index is None else 0, 0 if s.file is not None else s.index or 0))
    usable = ~(empty | outside)
    moved = usable & (np.max(np.abs(clipped - boxes), axis=1, initial=0) > EDGE_TOLERANCE)
    areas = sides[:, 0] * sides[:, 1] if rows.areas is None else np.asarray(rows.areas, dtype=np.float64)
    areas = np.where(np.isnan(areas), sides[:, 0] * sides[:, 1], areas)
    crowd = np.asarray(rows.crowd, dtype=bool)
    dropped = dict(dropped or {})
    for reason, mask in (
        ("ignore is set", np.asarray(rows.ignore, dtype=bool)),
        ("the area is 0", areas <= 0),
        ("a side is below 1 pixel", np.any(sides < 1, axis=1)),
    ):
        if count := int(np.sum(usable & mask)):
            dropped[reason] = count
        usable &= ~mask
    hints = _hints(boxes, extents, moved)
    if not np.any(usable & ~crowd):
        raise InputFileError(_nothing_left(source, len(boxes), usable, found, dropped, hints))

    def columns(mask: Any, crowd: bool) -> Annotations:
        chosen = np.nonzero(mask)[0]
        chosen = chosen[np.argsort(image_index[chosen], kind="stable")]
        return Annotations(
            images,
            tuple(categories),
            image_index[chosen],
            clipped[chosen],
            np.asarray(rows.labels, dtype=np.int64)[chosen],
            areas[chosen],
            positions[chosen],
            None if rows.ids is None else rows.ids[chosen],
            noun,
            crowd,
            None if rows.oriented is None else rows.oriented[chosen],
            None if rows.keypoints is None else rows.keypoints[chosen],
        )

    return Dataset(
        source,
        format,
        images,
        dict(categories),
        columns(usable & ~crowd, False),
        columns(usable & crowd, True),
        tuple(found),
        int(np.sum(moved)),
        dropped,
        (*notices, *hints),
        image_folder,
    )


def _hints(boxes: Any, extents: Any, moved: Any) -> list[str]:
    """Say what the numbers may mean instead, where they hardly mean boxes in pixels."""
    count = len(boxes)
    if count and np.all(boxes[:, 2:] - boxes[:, :2] <= 1) and np.all(boxes[:, :2] <= 1):
        return ["no box is wider or higher than 1: are they fractions of the image? Pixels are expected"]
    said = f"{int(np.sum(moved)):,} of {plural(count, 'box', 'boxes')} reach over the edge of the image"
    # As corners, the written width and height are the far corner: within the image, beyond the near one.
    far, near = boxes[:, 2:] - boxes[:, :2], boxes[:, :2]
    as_corners = np.all((far > near) & (far <= extents + EDGE_TOLERANCE), axis=1)
    if np.any(moved) and np.mean(as_corners) > 1 - EDGE_TOLERANCE:
        return [f"{said}: are they corners x1 y1 x2 y2? x y width height is expected"]
    if np.sum(moved) >= LEAST_CLIPPED and np.mean(moved) > MANY_CLIPPED:
        return [f"{said}: are image sizes and boxes of the same scale?"]
    return []


def _nothing_left(
    source: str,
    count: int,
    usable: Any,
    skipped: Sequence[Skipped],
    dropped: Mapping[str, int],
    hints: Sequence[str],
) -> str:
    """Say why there is no object."""
    first = f"the first is {skipped[0]}" if skipped else ""
    crowds = int(np.sum(usable))
    if crowds:
        why = f"expected objects, got nothing but {plural(crowds, 'crowd region')}"
        return f"{source}: {why}" + (f"; {len(skipped)} more cannot be used, {first}" if skipped else "")
    if dropped:
        reasons = ", ".join(f"{reason} ({n:,})" for reason, n in dropped.items())
        why = f"no object is left, since data loaders leave objects out where {reasons}"
        return "; ".join([f"{source}: {why}", *hints])
    if skipped:
        return f"{source}: none of {plural(max(count, len(skipped)), 'annotation')} can be used, {first}"
    return f"{source}: there is no annotation, nothing to read"


def plain_id(ids: Any, index: int) -> int | str | None:
    """Give an entry of a column of ids as Python's own, None where there is none."""
    found = None if ids is None else ids[index]
    return found if found is None or isinstance(found, str) else int(found)


def own_ids(ids: Sequence[Any]) -> tuple[Any, int]:
    """Keep the ids that are one annotation's alone.

    Parameters
    ----------
    ids : sequence of int, str or None

    Returns
    -------
    array (A,)
        int64 where every id is such a number and there once, else objects, None where there is no own id.
    int
        How many annotations share theirs.
    """
    column: Any
    if (
        set(map(type, ids)) == {int}
        and len(set(ids)) == len(ids)
        and -(2**63) <= min(ids) <= max(ids) < 2**63
    ):
        return np.asarray(ids, dtype=np.int64), 0
    counts = Counter(ids)
    column = np.empty(len(ids), dtype=object)
    column[:] = [i if i is None or counts[i] == 1 else None for i in ids]
    return column, sum(n for i, n in counts.items() if n > 1 and i is not None)
