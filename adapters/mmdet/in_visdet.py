"""Importing this puts the assigners into visdet, for its own: name it in ``custom_imports``."""

from importlib import import_module

from assigncore.adapters.mmdet import register

import_module("visdet.models.task_modules")
register(import_module("visdet.registry").TASK_UTILS, force=True)
