"""tracemalloc's functions. They speak of the current target: what open() has opened last, else, in GDB, the
selected inferior."""

import contextlib
import operator

from . import engine
from . import engine_snapshot
from .snapshot import Traceback

_FRAMES_MAX = 65535

_opened = []  # targets made current by open(), the last one counts

_moment = None  # in one_moment(): [the target that was looked at]

# In GDB: returns the target of the selected inferior, or raises engine.EngineError. Else there is none.
find_default = None
# In GDB: start_tracer(target, nframe) starts tracing in the target's live process, whatever it takes. Else the
# request word has to do.
start_tracer = None
# In GDB: returns the target that tm-snapshot or tm-load has kept under a name, or None.
find_kept = None


class _Opened:
    """What open() returns: close() or the end of a `with` makes the target before it current again."""

    def __init__(self, target):
        self._target = target
        _opened.append(target)

    def close(self):
        if self._target in _opened:
            _opened.remove(self._target)
            self._target.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def open(path_or_pid):
    """Makes a core file (a path) or a process (a number) the target of this module's functions; each of them looks
    at the process as it is then. Returns a context manager that restores the target before."""
    if isinstance(path_or_pid, int):
        if not 0 < path_or_pid < 1 << 31:
            raise ValueError("a process id expected, found %d" % path_or_pid)
        return _Opened(engine.Target.open_process(path_or_pid))
    return _Opened(engine.Target.open_core(path_or_pid))


@contextlib.contextmanager
def one_moment():
    """In it, all functions speak of a process as it was at the first."""
    global _moment
    outer, _moment = _moment, _moment or [None]
    try:
        yield
    finally:
        _moment = outer


def _target():
    if _opened:
        target = _opened[-1]
        if _moment is None or _moment[0] is not target:
            target.refresh()
        if _moment is not None:
            _moment[0] = target
        return target
    if find_default is None:
        raise engine.NoTarget("no target: give tm.open() a core file or a process first")
    if _moment is None:
        return find_default()
    if _moment[0] is None:
        _moment[0] = find_default()
    return _moment[0]


def _look():
    """(target, the tracer's state) of one moment; None for both where there is no tracer (or nothing at all)."""
    try:
        target = _target()
        return target, target.state()
    except engine.EngineError:
        return None, None


def _state():
    """The tracer's state, or None."""
    return _look()[1]


def is_tracing():
    """Whether the target's tracer records allocations."""
    state = _state()
    return state is not None and state.tracing


def _get_traces():
    """All raw traces: (domain, size, ((filename, lineno), ... most recent first), total_nframe)."""
    target, state = _look()
    return engine_snapshot.Handle.of_target(target) if state is not None and state.tracing else []


def _get_kept(name):
    """All raw traces of the snapshot that is kept under this name."""
    target = find_kept(name) if find_kept is not None else None
    if target is None:
        raise KeyError(name)
    return engine_snapshot.Handle.of_target(target)


def get_traced_memory():
    """(current, peak): bytes in live blocks, now and at most; (0, 0) when not tracing."""
    state = _state()
    return (state.current, state.peak) if state is not None and state.tracing else (0, 0)


def get_traceback_limit():
    """How many frames are kept of a traceback; 1 where nothing was ever started."""
    state = _state()
    return 1 if state is None else state.traceback_limit


def get_tracemalloc_memory():
    """Bytes that the tracer itself needs in the target."""
    state = _state()
    return 0 if state is None else state.tracer_bytes


def get_object_traceback(obj):
    """The Traceback of the block that begins at the address `obj` (a number, or a gdb.Value), or None."""
    target, state = _look()
    if state is None or not state.tracing:
        return None
    traces = engine_snapshot.Handle.of_block(target, int(obj))
    return Traceback(traces[0][2]) if len(traces) else None


def start(nframe=1, /, **unknown):
    """Starts tracing with `nframe` frames per traceback. Nothing happens while the target is traced
    already."""
    if unknown:
        raise TypeError("start() takes no keyword arguments")
    nframe = operator.index(nframe)
    if not -1 << 31 <= nframe < 1 << 31:
        raise OverflowError("Python int too large to convert to C int")
    if not 1 <= nframe <= _FRAMES_MAX:
        raise ValueError("the number of frames must be in range [1; 65535]")
    target = _target()
    target.require_writable()
    if start_tracer is not None and not _opened:
        start_tracer(target, nframe)
    elif not target.state().tracing:
        target.request(engine.START, nframe)


def stop():
    """Stops tracing and forgets all traces."""
    _request(engine.STOP)


def clear_traces():
    """Forgets all traces; tracing goes on."""
    _request(engine.CLEAR)


def reset_peak():
    """Lets the peak begin anew from what is allocated now."""
    _request(engine.RESET_PEAK)


def _request(code):
    try:
        target = _target()
    except engine.NoTarget:
        return  # what does not exist is not tracing
    if target.state().tracing:
        target.request(code)
