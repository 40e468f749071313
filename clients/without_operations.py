"""Let MMCV be imported without its compiled operations: each is a name that fails when it is called."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any

import mmcv
import torch

# MMYOLO 0.6 refuses versions of MMCV that it works with.
mmcv.__version__ = "2.0.1"


class _Missing(torch.nn.Module):
    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def forward(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("a compiled operation of MMCV, which is not there")


class _Operations(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name[0].isupper():
            return type(name, (_Missing,), {})

        def missing(*_: Any, **__: Any) -> Any:
            raise RuntimeError(f"{name}: a compiled operation of MMCV, which is not there")

        return missing


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name == "mmcv._ext" or name == "mmcv.ops" or name.startswith("mmcv.ops."):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        return _Operations(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = []


sys.meta_path.insert(0, _Finder())
