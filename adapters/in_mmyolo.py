"""Importing this puts the assigners into MMYOLO, for its own: name it in ``custom_imports``.

What MMYOLO takes from MMDetection's registry, as YOLOX its SimOTA, is replaced there; what a head makes of a
class it has imported by name, as YOLOv7's does, is replaced in the module of the head.
"""

from importlib import import_module

from assigncore.adapters import mmyolo
from assigncore.adapters.switching import Switched, classes_of, replace_name

__all__ = ["switched"]


def _switch() -> Switched:
    import_module("mmyolo.models")
    replaced = {}
    for cls in mmyolo.ASSIGNERS:
        for published in classes_of("mmyolo", cls.__name__):
            replaced.update(replace_name("mmyolo", published, cls))
    mmyolo.register(import_module("mmyolo.registry").TASK_UTILS)
    # MMDetection's own, which MMYOLO's configs name by its scope.
    import_module("assigncore.adapters.mmdet.in_mmdet")
    registered = tuple(f"mmyolo.registry.TASK_UTILS[{cls.__name__!r}]" for cls in mmyolo.ASSIGNERS)
    return Switched((*registered, *replaced), {}, tuple(replaced.values()))


switched = _switch()
"""The names that were replaced."""
