"""Annotation files as data sets: COCO, LVIS, YOLO, Pascal VOC, CrowdHuman, DOTA, and a small sample.

What a format's reader finds goes through one check of boxes, and comes out as columns, so that a million
annotations fit easily. The formats' own modules know files alone.
"""

from assigncore.datasets.dataset import (
    AnnotatedImage,
    Annotation,
    Annotations,
    Dataset,
    Image,
    Skipped,
)
from assigncore.datasets.files import InputFileError
from assigncore.datasets.reading import read_coco, read_dataset, sample_dataset

__all__ = [
    "AnnotatedImage",
    "Annotation",
    "Annotations",
    "Dataset",
    "Image",
    "InputFileError",
    "Skipped",
    "read_coco",
    "read_dataset",
    "sample_dataset",
]
