"""tm: tracemalloc for native programs.

In GDB's Python the functions speak of the selected inferior, live or a core file; anywhere else of the core
file or process that tm.open() has opened. Names, arguments, results, errors and texts are those of Python's module tracemalloc.
"""

import linecache  # tests of tracemalloc's users replace tracemalloc.linecache.getline

from .engine import EngineError
from .engine_snapshot import format_size as _format_size
from .session import (_get_kept, _get_traces, clear_traces, get_object_traceback, get_traceback_limit,
                      get_traced_memory, get_tracemalloc_memory, is_tracing, one_moment as _one_moment, open,
                      reset_peak, start, stop)
from .snapshot import (BaseFilter, DomainFilter, Filter, Frame, Snapshot, Statistic, StatisticDiff, Trace,
                       Traceback)

__all__ = [
    "BaseFilter", "DomainFilter", "EngineError", "Filter", "Frame", "Snapshot", "Statistic",
    "StatisticDiff", "Trace", "Traceback", "clear_traces", "get_object_traceback", "get_snapshot",
    "get_traceback_limit", "get_traced_memory", "get_tracemalloc_memory", "is_tracing", "linecache", "open",
    "reset_peak", "start", "stop", "take_snapshot",
]


def take_snapshot():
    """A Snapshot of every live block of the target."""
    with _one_moment():
        if not is_tracing():
            raise RuntimeError("the tracemalloc module must be tracing memory allocations to take a snapshot")
        return Snapshot(_get_traces(), get_traceback_limit())


def get_snapshot(name):
    """The Snapshot that the GDB commands tm-snapshot or tm-load have kept under a name. Raises KeyError."""
    handle = _get_kept(name)
    return Snapshot(handle, handle.limit)
