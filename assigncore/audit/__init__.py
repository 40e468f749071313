"""The audit: what a detector's label assigner makes of real annotations, before anything is trained.

COCO annotations in; for every object its positives by feature level and its best overlap with any prior,
the objects that get no positive at all, the positive : negative : ignored split, and pictures. The command
line is `assigncore audit`; it needs the extra ``assigncore[audit]``.
"""
