"""tm: tracemalloc for native programs."""

from .engine import EngineError
