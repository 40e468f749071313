"""The finding of the library an array belongs to: its backend, whose primitives an adapter may override."""

from assigncore.backend.base import Array, ArrayBackend, Function
from assigncore.backend.lookup import get_backend, load_backend, preload_backends

__all__ = ["Array", "ArrayBackend", "Function", "get_backend", "load_backend", "preload_backends"]
