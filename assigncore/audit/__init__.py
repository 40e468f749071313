"""The audit: what a detector's label assigner makes of real annotations, before anything is trained.

COCO annotations in; for every object its positives by feature level and its best overlap with any prior,
the objects that get no positive at all, the positive : negative : ignored split, and pictures. From Python it
is :func:`assigncore.audit.run`; the command line is `assigncore audit`, which needs the extra
``assigncore[audit]``.
"""

from assigncore.audit.advice import Advice
from assigncore.audit.audit import Audit, run
from assigncore.audit.errors import AuditError
from assigncore.audit.runs import Run, Table
from assigncore.audit.what_if import Outcome, Variations, WhatIf

__all__ = ["Advice", "Audit", "AuditError", "Outcome", "Run", "Table", "Variations", "WhatIf", "run"]
