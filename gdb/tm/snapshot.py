"""tracemalloc's objects for native programs: Snapshot and what it gives. The engine filters, groups, compares
and sorts; these classes hold its numbers. Their behaviour - order, equality, texts, errors - is CPython's."""

import collections.abc
import functools
import linecache
import os

from . import engine_snapshot
from .engine_snapshot import format_size


@functools.total_ordering
class Frame:
    """A source position: `filename` and `lineno`; line 0 where it is not known."""

    __slots__ = ("_frame",)

    def __init__(self, frame):
        self._frame = frame  # (filename, lineno)

    filename = property(lambda self: self._frame[0])
    lineno = property(lambda self: self._frame[1])

    def __eq__(self, other):
        return self._frame == other._frame if isinstance(other, Frame) else NotImplemented

    def __lt__(self, other):
        return self._frame < other._frame if isinstance(other, Frame) else NotImplemented

    def __hash__(self):
        return hash(self._frame)

    def __str__(self):
        return f"{self.filename}:{self.lineno}"

    def __repr__(self):
        return f"<Frame filename={self.filename!r} lineno={self.lineno!r}>"


@functools.total_ordering
class Traceback(collections.abc.Sequence):
    """A sequence of Frame, the oldest first. `total_nframe`: how many there were before the limit cut them,
    or None."""

    __slots__ = ("_frames", "_total_nframe")

    def __init__(self, frames, total_nframe=None):
        super().__init__()
        self._frames = tuple(frames)[::-1]  # they come most recent first, as in a raw trace
        self._total_nframe = total_nframe

    total_nframe = property(lambda self: self._total_nframe)

    def __len__(self):
        return len(self._frames)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(map(Frame, self._frames[index]))
        return Frame(self._frames[index])

    def __contains__(self, frame):
        return frame._frame in self._frames

    def __eq__(self, other):
        return self._frames == other._frames if isinstance(other, Traceback) else NotImplemented

    def __lt__(self, other):
        return self._frames < other._frames if isinstance(other, Traceback) else NotImplemented

    def __hash__(self):
        return hash(self._frames)

    def __str__(self):
        return str(self[0])

    def __repr__(self):
        total = "" if self._total_nframe is None else f" total_nframe={self._total_nframe}"
        return f"<Traceback {tuple(self)}{total}>"

    def format(self, limit=None, most_recent_first=False):
        """Lines as in a Python traceback, with the source lines that can be had. A positive `limit` keeps the
        most recent frames; a negative one drops as many of them."""
        if limit is None:
            frames = self._frames
        else:
            frames = self._frames[-limit:] if limit > 0 else self._frames[:limit]
        lines = []
        for filename, lineno in reversed(frames) if most_recent_first else frames:
            lines.append(f'  File "{filename}", line {lineno}')
            source = linecache.getline(filename, lineno).strip()
            if source:
                lines.append("    " + source)
        return lines


class Trace:
    """One live block: `domain`, `size`, `traceback`."""

    __slots__ = ("_trace",)

    def __init__(self, trace):
        self._trace = trace  # (domain, size, frames most recent first, total_nframe)

    domain = property(lambda self: self._trace[0])
    size = property(lambda self: self._trace[1])
    traceback = property(lambda self: Traceback(*self._trace[2:]))

    def __eq__(self, other):
        return self._trace == other._trace if isinstance(other, Trace) else NotImplemented

    def __hash__(self):
        return hash(self._trace)

    def __str__(self):
        return f"{self.traceback}: {format_size(self.size)}"

    def __repr__(self):
        return f"<Trace domain={self.domain} size={format_size(self.size)}, traceback={self.traceback!r}>"


class _Statistics:
    """What Statistic and StatisticDiff have in common: equality and hash over their slots."""

    __slots__ = ()

    def _values(self):
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other):
        return self._values() == other._values() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self):
        return hash(self._values())

    def _average(self):
        return f", average={format_size(self.size / self.count)}" if self.count else ""


class Statistic(_Statistics):
    """A group of traces: `traceback`, `size`, `count`."""

    __slots__ = ("traceback", "size", "count")

    def __init__(self, traceback, size, count):
        self.traceback = traceback
        self.size = size
        self.count = count

    def __str__(self):
        return f"{self.traceback}: size={format_size(self.size)}, count={self.count:d}{self._average()}"

    def __repr__(self):
        return f"<Statistic traceback={self.traceback!r} size={self.size:d} count={self.count:d}>"


class StatisticDiff(_Statistics):
    """A group of traces now and what has changed: `traceback`, `size`, `size_diff`, `count`, `count_diff`."""

    __slots__ = ("traceback", "size", "size_diff", "count", "count_diff")

    def __init__(self, traceback, size, size_diff, count, count_diff):
        self.traceback = traceback
        self.size = size
        self.size_diff = size_diff
        self.count = count
        self.count_diff = count_diff

    def __str__(self):
        return (f"{self.traceback}: size={format_size(self.size)} ({format_size(self.size_diff, True)}), "
                f"count={self.count:d} ({self.count_diff:+d}){self._average()}")

    def __repr__(self):
        return (f"<StatisticDiff traceback={self.traceback!r} size={self.size:d} ({self.size_diff:+d}) "
                f"count={self.count:d} ({self.count_diff:+d})>")


# ---------------------------------------------------------------------------------------------------- filters

def _normalize_filename(filename):
    filename = os.fspath(filename)
    return filename[:-1] if filename.endswith(".pyc") else filename


class BaseFilter:
    """What a filter has: `inclusive`. A sub-class answers _match(raw trace): whether this filter lets the
    trace pass."""

    def __init__(self, inclusive):
        self.inclusive = inclusive

    def _match(self, trace):
        raise NotImplementedError


class Filter(BaseFilter):
    """Traces whose most recent frame (or any, with `all_frames`) lies in a file that matches
    `filename_pattern`, in line `lineno` unless that is None, in `domain` unless that is None."""

    def __init__(self, inclusive, filename_pattern, lineno=None, all_frames=False, domain=None):
        super().__init__(inclusive)
        self._filename_pattern = _normalize_filename(filename_pattern)
        self.lineno = lineno
        self.all_frames = all_frames
        self.domain = domain

    filename_pattern = property(lambda self: self._filename_pattern)

    def _match_frame_impl(self, filename, lineno):
        if not engine_snapshot.pattern_matches(_normalize_filename(filename), self._filename_pattern):
            return False
        return self.lineno is None or lineno == self.lineno

    def _match_frame(self, filename, lineno):
        return self._match_frame_impl(filename, lineno) ^ (not self.inclusive)

    def _match_traceback(self, traceback):
        candidates = traceback if self.all_frames else (traceback[0],)
        return any(self._match_frame_impl(*frame) for frame in candidates) ^ (not self.inclusive)

    def _match(self, trace):
        domain, _, traceback, _ = trace
        passes = self._match_traceback(traceback)
        if self.domain is None:
            return passes
        return passes and domain == self.domain if self.inclusive else passes or domain != self.domain


class DomainFilter(BaseFilter):
    """Traces of one address space: 0 is the malloc family."""

    def __init__(self, inclusive, domain):
        super().__init__(inclusive)
        self._domain = domain

    domain = property(lambda self: self._domain)

    def _match(self, trace):
        domain, _, _, _ = trace
        return (domain == self._domain) ^ (not self.inclusive)


# -------------------------------------------------------------------------------------------------- snapshots

class _Traces(collections.abc.Sequence):
    """The traces of a snapshot: a sequence of raw traces, which may be the engine's (a Handle)."""

    def __init__(self, traces):
        super().__init__()
        self._handle = traces if isinstance(traces, engine_snapshot.Handle) else None
        self._given = traces if self._handle is None else None

    @property
    def _traces(self):
        """All raw traces: (domain, size, ((filename, lineno), ... most recent first), total_nframe)."""
        if self._given is None:
            self._given = list(self._handle)
        return self._given

    @property
    def handle(self):
        """The engine's snapshot of these traces."""
        if self._handle is None:
            self._handle = engine_snapshot.Handle.from_traces(self._given)
        return self._handle

    def _source(self):
        return self._handle if self._given is None else self._given

    def __len__(self):
        return len(self._source())

    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(map(Trace, self._source()[index]))
        return Trace(self._source()[index])

    def __contains__(self, trace):
        return trace._trace in self._traces

    def __eq__(self, other):
        return self._traces == other._traces if isinstance(other, _Traces) else NotImplemented

    def __repr__(self):
        return f"<Traces len={len(self)}>"


_KEYS = ("lineno", "filename", "traceback")  # enum ca_key


def _is_plain(item):
    """Whether the engine can do what this filter does: it is no sub-class, and compares with numbers."""
    if type(item) is DomainFilter:
        return isinstance(item.domain, int)
    numbers = (item.lineno, item.domain) if type(item) is Filter else ("",)
    return all(isinstance(number, (int, type(None))) for number in numbers)


class Snapshot:
    """What a process holds at one moment: `traces`, and `traceback_limit`, the number of frames kept of
    each."""

    def __init__(self, traces, traceback_limit):
        self.traces = _Traces(traces)
        self.traceback_limit = traceback_limit

    def __getstate__(self):
        return {**self.__dict__, "traces": self.traces._traces}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.traces = _Traces(state["traces"])

    def dump(self, filename):
        """Writes a snapshot file, which tm, coreanalyze and every reader of pprof profiles can read."""
        traces = self.traces._traces
        data = engine_snapshot.Handle.from_traces(traces, self.traceback_limit).encode()
        with open(filename, "wb") as file:
            file.write(data)

    @staticmethod
    def load(filename):
        """The snapshot in a file that dump, tm-save or coreanalyze save has written, or in another tool's
        heap profile."""
        with open(filename, "rb"):
            pass  # Python's own errors where it cannot be read
        handle = engine_snapshot.Handle.load(filename)
        return Snapshot(handle, handle.limit)

    def filter_traces(self, filters):
        """A new snapshot of the traces that at least one inclusive filter (if there is any) and no exclusive
        filter hits."""
        if not isinstance(filters, collections.abc.Iterable):
            raise TypeError(f"filters must be a list of filters, not {type(filters).__name__}")
        filters = list(filters)
        if all(map(_is_plain, filters)):
            return Snapshot(self.traces.handle.filter(filters), self.traceback_limit)
        inclusive = [item for item in filters if item.inclusive]
        exclusive = [item for item in filters if not item.inclusive]
        kept = [trace for trace in self.traces._traces
                if (not inclusive or any(item._match(trace) for item in inclusive))
                and all(item._match(trace) for item in exclusive)]
        return Snapshot(kept, self.traceback_limit)

    @staticmethod
    def _key(key_type, cumulative):
        if key_type not in _KEYS:
            raise ValueError(f"unknown key_type: {key_type!r}")
        if cumulative and key_type == "traceback":
            raise ValueError(f"cumulative mode cannot by used with key type {key_type!r}")
        return _KEYS.index(key_type)

    def statistics(self, key_type, cumulative=False):
        """Groups the traces by "lineno", "filename" or "traceback": a list of Statistic, the largest first.
        `cumulative` counts a trace for every frame of its traceback, as often as it occurs there."""
        key = self._key(key_type, cumulative)
        return [Statistic(Traceback(frames), size, count)
                for frames, size, count, _, _ in self.traces.handle.statistics(key, bool(cumulative))]

    def compare_to(self, old_snapshot, key_type, cumulative=False):
        """As statistics, with the differences to an older snapshot: a list of StatisticDiff, the largest
        change first."""
        key = self._key(key_type, cumulative)
        groups = self.traces.handle.compare(old_snapshot.traces.handle, key, bool(cumulative))
        return [StatisticDiff(Traceback(frames), size, size_diff, count, count_diff)
                for frames, size, count, size_diff, count_diff in groups]
