"""The engine's snapshots, through ctypes: the part of coreanalyze.h that is called tracemalloc's API."""

import ctypes
import os
import struct

from . import engine

_UNKNOWN = 0xffffffff  # CA_TOTAL_UNKNOWN
_NO_LINE = 0xffffffffffffffff  # a line number or domain that no trace has

_FRAME = struct.Struct("<4I")    # struct ca_frame
_TRACE = struct.Struct("<4Q3I4x")  # struct ca_trace
_STRING = struct.Struct("<Q2I")  # struct ca_string_span
_TRACEBACK = struct.Struct("<Q4I")  # struct ca_traceback_span
_GROUP = struct.Struct("<9Q2I")  # struct ca_group


class _Arrays(ctypes.Structure):
    """struct ca_arrays"""
    _fields_ = [("string_bytes", ctypes.c_void_p),
                ("strings", ctypes.c_void_p), ("string_count", ctypes.c_size_t),
                ("frames", ctypes.c_void_p), ("frame_count", ctypes.c_size_t),
                ("traceback_frames", ctypes.c_void_p), ("traceback_frame_count", ctypes.c_size_t),
                ("tracebacks", ctypes.c_void_p), ("traceback_count", ctypes.c_size_t),
                ("traces", ctypes.c_void_p), ("trace_count", ctypes.c_size_t),
                ("limit", ctypes.c_uint32)]


class _Filter(ctypes.Structure):
    """struct ca_filter"""
    _fields_ = [("inclusive", ctypes.c_bool), ("domain_only", ctypes.c_bool), ("all_frames", ctypes.c_bool),
                ("has_lineno", ctypes.c_bool), ("has_domain", ctypes.c_bool),
                ("pattern", ctypes.c_char_p), ("pattern_size", ctypes.c_size_t),
                ("lineno", ctypes.c_uint64), ("domain", ctypes.c_uint64)]


class _Groups(ctypes.Structure):
    """struct ca_groups"""
    _fields_ = [("items", ctypes.c_void_p), ("count", ctypes.c_size_t),
                ("frames", ctypes.c_void_p), ("frame_count", ctypes.c_size_t)]


class _Lines(ctypes.Structure):
    """struct ca_lines"""
    _fields_ = [("bytes", ctypes.c_void_p), ("size", ctypes.c_size_t),
                ("ends", ctypes.c_void_p), ("count", ctypes.c_size_t)]


_POINTER, _ERROR = ctypes.c_void_p, engine.ERROR_OUT
engine.add_functions({
    "ca_snapshot_create_from": (_POINTER, [ctypes.POINTER(_Arrays), _ERROR]),
    "ca_target_take_snapshot": (_POINTER, [_POINTER, _ERROR]),
    "ca_target_find_trace": (_POINTER, [_POINTER, ctypes.c_uint64, _ERROR]),
    "ca_snapshot_destroy": (None, [_POINTER]),
    "ca_snapshot_export": (ctypes.c_bool, [_POINTER, ctypes.c_bool, ctypes.POINTER(_Arrays), _ERROR]),
    "ca_snapshot_filter": (_POINTER, [_POINTER, ctypes.POINTER(_Filter), ctypes.c_size_t, _ERROR]),
    "ca_snapshot_statistics": (_POINTER, [_POINTER, ctypes.c_int, ctypes.c_int, ctypes.c_int, _ERROR]),
    "ca_snapshot_compare": (_POINTER, [_POINTER, _POINTER, ctypes.c_int, ctypes.c_int, ctypes.c_int, _ERROR]),
    "ca_statistics_destroy": (None, [_POINTER]),
    "ca_statistics_export": (ctypes.c_bool, [_POINTER, ctypes.POINTER(_Groups)]),
    "ca_snapshot_encode": (ctypes.c_bool, [_POINTER, ctypes.POINTER(_Lines), _ERROR]),
    "ca_snapshot_load": (_POINTER, [ctypes.c_char_p, _ERROR]),
    "ca_lines_deinit": (None, [ctypes.POINTER(_Lines)]),
    "ca_format_size": (None, [ctypes.c_char_p, ctypes.c_double, ctypes.c_bool]),
    "ca_pattern_matches": (ctypes.c_bool, 2 * [ctypes.c_char_p, ctypes.c_size_t]),
})

_SIZE_TEXT = 352  # CA_SIZE_TEXT


def format_size(size, sign=False):
    """1536 as "1536 B", 15360 as "15.0 KiB"; `sign`: with a plus too."""
    buffer = ctypes.create_string_buffer(_SIZE_TEXT)
    engine.library().ca_format_size(buffer, size, sign)
    return buffer.value.decode("ascii")


def pattern_matches(name, pattern):
    """fnmatch.fnmatchcase(name, pattern)"""
    text, glob = _encode(name), _encode(pattern)
    return engine.library().ca_pattern_matches(glob, len(glob), text, len(text))


def _encode(text):
    return text.encode("utf-8", "surrogateescape")


def _raise(error):
    """The engine's error as the exception that Python's own module raises."""
    try:
        engine.raise_error(error)
    except engine.EngineError as failure:
        if failure.status != engine.USAGE:
            raise
        kind = IndexError if str(failure) == "tuple index out of range" else ValueError
        raise kind(str(failure)) from None


class _Interned:
    """Numbers for equal things, in the order in which they come."""

    def __init__(self):
        self.numbers = {}

    def add(self, item):
        return self.numbers.setdefault(item, len(self.numbers))


def _arrays_of(traces):
    """struct ca_arrays of raw traces; what it points to is kept in it."""
    names, frames, tracebacks = _Interned(), _Interned(), _Interned()
    names.add("")
    packed = []
    for domain, size, trace_frames, total_nframe in traces:
        traceback = tracebacks.add((tuple(trace_frames), total_nframe))
        packed.append(_TRACE.pack(size, 0, 0, 0, domain, traceback, 0))
    spans, traceback_frames = [], []
    for trace_frames, total_nframe in tracebacks.numbers:
        total = _UNKNOWN if total_nframe is None else total_nframe
        spans.append(_TRACEBACK.pack(len(traceback_frames), len(trace_frames), total, 0, 0))
        traceback_frames.extend(frames.add((filename, lineno)) for filename, lineno in trace_frames)
    packed_frames = [_FRAME.pack(names.add(filename), lineno, 0, 0) for filename, lineno in frames.numbers]
    strings, offset, texts = [], 0, [_encode(name) for name in names.numbers]
    for text in texts:
        strings.append(_STRING.pack(offset, len(text), 0))
        offset += len(text)

    arrays = _Arrays()
    arrays.kept = []
    for field, data in (("string_bytes", b"".join(texts)), ("strings", b"".join(strings)),
                        ("frames", b"".join(packed_frames)), ("traces", b"".join(packed)),
                        ("traceback_frames", struct.pack("<%dI" % len(traceback_frames), *traceback_frames)),
                        ("tracebacks", b"".join(spans))):
        buffer = ctypes.create_string_buffer(data, len(data) or 1)
        arrays.kept.append(buffer)
        setattr(arrays, field, ctypes.addressof(buffer))
    arrays.string_count, arrays.frame_count = len(strings), len(packed_frames)
    arrays.traceback_frame_count, arrays.traceback_count = len(traceback_frames), len(spans)
    arrays.trace_count = len(packed)
    return arrays


def _natural(value):
    """A number that a filter compares with, in the engine's range."""
    return value if 0 <= value < _NO_LINE else _NO_LINE


def _filter_of(item):
    if hasattr(item, "filename_pattern"):
        pattern = _encode(item.filename_pattern)
        return _Filter(bool(item.inclusive), False, bool(item.all_frames), item.lineno is not None,
                       item.domain is not None, pattern, len(pattern), _natural(item.lineno or 0),
                       _natural(item.domain or 0))
    return _Filter(bool(item.inclusive), True, False, False, True, None, 0, 0, _natural(item.domain))


class Handle:
    """A snapshot of the engine's as a sequence of raw traces: (domain, size, ((filename, lineno), ...),
    total_nframe), the frames most recent first. Tuples are made when they are looked at."""

    def __init__(self, pointer):
        self._pointer = pointer
        self._view = None  # the engine's arrays; not valid after it has computed something with this snapshot
        self._names = {}   # string id: str
        self._frames = {}  # frame id: (filename, lineno)
        self._tracebacks = {}  # traceback id: (frames, total_nframe)

    def __del__(self):
        if self._pointer:
            engine.library().ca_snapshot_destroy(self._pointer)

    @classmethod
    def from_traces(cls, traces, limit=0):
        arrays, error = _arrays_of(traces), ctypes.c_void_p()
        arrays.limit = limit
        pointer = engine.library().ca_snapshot_create_from(ctypes.byref(arrays), ctypes.byref(error))
        if not pointer:
            _raise(error)
        return cls(pointer)

    @classmethod
    def of_target(cls, target):
        """What the target holds now."""
        return cls._read(target, engine.library().ca_target_take_snapshot)

    @classmethod
    def of_block(cls, target, address):
        """The one trace of the block of domain 0 that begins at `address`, or none."""
        return cls._read(target, engine.library().ca_target_find_trace, address)

    @classmethod
    def _read(cls, target, function, *arguments):
        error = ctypes.c_void_p()
        with target.reading():
            pointer = function(target.pointer, *arguments, ctypes.byref(error))
        if not pointer:
            _raise(error)
        return cls(pointer)

    @classmethod
    def load(cls, path):
        """From a snapshot file."""
        error = ctypes.c_void_p()
        pointer = engine.library().ca_snapshot_load(os.fsencode(path), ctypes.byref(error))
        if not pointer:
            _raise(error)
        return cls(pointer)

    def encode(self):
        """The bytes of a snapshot file."""
        lines, error = _Lines(), ctypes.c_void_p()
        if not engine.library().ca_snapshot_encode(self._pointer, ctypes.byref(lines), ctypes.byref(error)):
            _raise(error)
        try:
            return ctypes.string_at(lines.bytes, lines.size)
        finally:
            engine.library().ca_lines_deinit(ctypes.byref(lines))

    # Contents

    def _export(self, traces):
        arrays, error = _Arrays(), ctypes.c_void_p()
        export = engine.library().ca_snapshot_export
        if not export(self._pointer, traces, ctypes.byref(arrays), ctypes.byref(error)):
            _raise(error)
        return arrays

    def _arrays(self):
        if self._view is None:
            self._view = self._export(True)
        return self._view

    @property
    def limit(self):
        return self._arrays().limit

    def _name(self, arrays, number):
        if number not in self._names:
            offset, size, _ = _element(_STRING, arrays.strings, number)
            text = ctypes.string_at(arrays.string_bytes + offset, size)
            self._names[number] = text.decode("utf-8", "surrogateescape")
        return self._names[number]

    def _frame(self, arrays, number):
        if number not in self._frames:
            filename, lineno, _, _ = _element(_FRAME, arrays.frames, number)
            self._frames[number] = self._name(arrays, filename), lineno
        return self._frames[number]

    def _traceback(self, arrays, number):
        if number not in self._tracebacks:
            first, count, total, _, _ = _element(_TRACEBACK, arrays.tracebacks, number)
            numbers = _numbers(arrays.traceback_frames + 4 * first, count)
            self._tracebacks[number] = (tuple(self._frame(arrays, frame) for frame in numbers),
                                        None if total == _UNKNOWN else total)
        return self._tracebacks[number]

    def __len__(self):
        return self._arrays().trace_count

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        arrays = self._arrays()
        size, _, _, _, domain, traceback, _ = _element(_TRACE, arrays.traces, number)
        return (domain, size, *self._traceback(arrays, traceback))

    # Computations

    def filter(self, filters):
        array = (_Filter * max(len(filters), 1))(*map(_filter_of, filters))
        self._view = None
        error = ctypes.c_void_p()
        pointer = engine.library().ca_snapshot_filter(self._pointer, array, len(filters), ctypes.byref(error))
        if not pointer:
            _raise(error)
        return Handle(pointer)

    def statistics(self, key, cumulative):
        """[(frames, size, count, 0, 0)], sorted."""
        self._view = None
        error = ctypes.c_void_p()
        compute = engine.library().ca_snapshot_statistics
        statistics = compute(self._pointer, 0, key, int(cumulative), ctypes.byref(error))
        return self._groups(statistics, error)

    def compare(self, old, key, cumulative):
        """[(frames, size, count, size_diff, count_diff)], sorted."""
        self._view = old._view = None
        error = ctypes.c_void_p()
        compare = engine.library().ca_snapshot_compare
        statistics = compare(self._pointer, old._pointer, 0, key, int(cumulative), ctypes.byref(error))
        return self._groups(statistics, error)

    def _groups(self, statistics, error):
        if not statistics:
            _raise(error)
        try:
            groups = _Groups()
            if not engine.library().ca_statistics_export(statistics, ctypes.byref(groups)):
                raise MemoryError
            arrays = self._export(False)
            frames = _numbers(groups.frames, groups.frame_count)
            data = ctypes.string_at(groups.items, groups.count * _GROUP.size) if groups.count else b""
            return [self._group(arrays, frames, *numbers) for numbers in _GROUP.iter_unpack(data)]
        finally:
            engine.library().ca_statistics_destroy(statistics)

    def _group(self, arrays, frames, *numbers):
        pairs = zip(numbers[0:8:2], numbers[1:8:2])
        size, count, size_diff, count_diff = (low | high << 64 for low, high in pairs)
        first, frame_count = numbers[8], numbers[9]
        positions = tuple(self._frame(arrays, frame) for frame in frames[first:first + frame_count])
        return positions, size, count, _signed(size_diff), _signed(count_diff)


def _element(record, address, number):
    return record.unpack(ctypes.string_at(address + number * record.size, record.size))


def _numbers(address, count):
    """An array of uint32_t."""
    return (ctypes.c_uint32 * count).from_address(address) if count else ()


def _signed(value):
    return value - (1 << 128) if value >> 127 else value
