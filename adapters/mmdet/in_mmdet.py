"""Importing this puts the assigners into MMDetection 3, for its own: name it in ``custom_imports``."""

from importlib import import_module

from assigncore.adapters.mmdet import register

import_module("mmdet.models.task_modules")
register(import_module("mmdet.registry").TASK_UTILS, force=True)
