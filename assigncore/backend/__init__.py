"""The finding of the library an array belongs to: its backend, whose primitives an adapter may override."""

from assigncore.backend.lookup import get_backend, load_backend, preload_backends
from assigncore.backend.portable import Array, ArrayBackend, Function

__all__ = ["Array", "ArrayBackend", "Function", "get_backend", "load_backend", "preload_backends"]
