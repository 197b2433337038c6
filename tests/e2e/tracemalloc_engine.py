"""The engine's data API (coreanalyze.h, "tracemalloc's API") through ctypes, for the differential test: as plain as can be,
and independent of the package in gdb/tm, which has an author and errors of its own."""

import ctypes
import struct

KEYS = {"lineno": 0, "filename": 1, "traceback": 2, "function": 3, "module": 4, "domain": 5, "thread": 6}
OFF, ON, UNIQUE = 0, 1, 2
STR, REPR = 0, 1
NONE32 = 0xFFFFFFFF
NONE64 = 0xFFFFFFFFFFFFFFFF
USAGE = 64

FRAME = struct.Struct("=4I")
TRACE = struct.Struct("=4Q3I4x")
STRING = struct.Struct("=Q2I")
TRACEBACK = struct.Struct("=Q4I")
GROUP = struct.Struct("=16s16s16s16sQ2I")


class Arrays(ctypes.Structure):
    _fields_ = [("string_bytes", ctypes.c_void_p), ("strings", ctypes.c_void_p), ("string_count", ctypes.c_size_t),
                ("frames", ctypes.c_void_p), ("frame_count", ctypes.c_size_t),
                ("traceback_frames", ctypes.c_void_p), ("traceback_frame_count", ctypes.c_size_t),
                ("tracebacks", ctypes.c_void_p), ("traceback_count", ctypes.c_size_t),
                ("traces", ctypes.c_void_p), ("trace_count", ctypes.c_size_t), ("limit", ctypes.c_uint32)]


class Filter(ctypes.Structure):
    _fields_ = [("inclusive", ctypes.c_bool), ("domain_only", ctypes.c_bool), ("all_frames", ctypes.c_bool),
                ("has_lineno", ctypes.c_bool), ("has_domain", ctypes.c_bool), ("pattern", ctypes.c_char_p),
                ("pattern_size", ctypes.c_size_t), ("lineno", ctypes.c_uint64), ("domain", ctypes.c_uint64)]


class Groups(ctypes.Structure):
    _fields_ = [("items", ctypes.c_void_p), ("count", ctypes.c_size_t), ("frames", ctypes.c_void_p),
                ("frame_count", ctypes.c_size_t)]


class Group(ctypes.Structure):
    _fields_ = [("numbers", ctypes.c_uint64 * 8), ("first", ctypes.c_uint64), ("frame_count", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32)]


class NamedFrame(ctypes.Structure):
    _fields_ = [("filename", ctypes.c_char_p), ("filename_size", ctypes.c_size_t), ("lineno", ctypes.c_uint64)]


class Lines(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_void_p), ("size", ctypes.c_size_t), ("ends", ctypes.POINTER(ctypes.c_size_t)),
                ("count", ctypes.c_size_t)]


def encode(text):
    return text.encode("utf-8", "surrogateescape")


def decode(data):
    return data.decode("utf-8", "surrogateescape")


class EngineError(Exception):
    """An error of the engine: status and message."""


class Engine:
    """libcoreanalyze.so"""

    def __init__(self, path):
        self.library = library = ctypes.CDLL(str(path))
        pointer, size, flag, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_bool, ctypes.c_int
        frames, error, lines = ctypes.POINTER(NamedFrame), ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(Lines)
        for name, result, arguments in (
                ("ca_error_message", ctypes.c_char_p, [pointer]), ("ca_error_status", number, [pointer]),
                ("ca_error_destroy", None, [pointer]),
                ("ca_snapshot_create_from", pointer, [ctypes.POINTER(Arrays), error]),
                ("ca_snapshot_destroy", None, [pointer]),
                ("ca_snapshot_export", flag, [pointer, flag, ctypes.POINTER(Arrays), error]),
                ("ca_snapshot_filter", pointer, [pointer, ctypes.POINTER(Filter), size, error]),
                ("ca_snapshot_statistics", pointer, [pointer, number, number, number, error]),
                ("ca_snapshot_compare", pointer, [pointer, pointer, number, number, number, error]),
                ("ca_statistics_destroy", None, [pointer]),
                ("ca_statistics_export", flag, [pointer, ctypes.POINTER(Groups)]),
                ("ca_lines_deinit", None, [lines]), ("ca_format_size", None, [ctypes.c_char_p, ctypes.c_double, flag]),
                ("ca_frame_text", flag, [frames, number, lines]),
                ("ca_traceback_text", flag, [frames, size, ctypes.c_uint32, number, lines]),
                ("ca_trace_text", flag, [ctypes.c_uint32, ctypes.c_uint64, frames, size, ctypes.c_uint32, number, lines]),
                ("ca_statistic_text", flag, [ctypes.POINTER(Group), flag, frames, size, ctypes.c_uint32, number, lines]),
                ("ca_traceback_lines", flag, [frames, size, flag, ctypes.c_int64, flag, lines]),
                ("ca_pattern_matches", flag, [ctypes.c_char_p, size, ctypes.c_char_p, size]),
                ("ca_linecache_line", ctypes.c_char_p, [ctypes.c_char_p, ctypes.c_uint64]),
                ("ca_linecache_clear", None, [])):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments

    def call(self, function, *arguments):
        """A function whose last parameter is ret_error."""
        error = ctypes.c_void_p()
        result = function(*arguments, ctypes.byref(error))
        if not result:
            status, message = self.library.ca_error_status(error), decode(self.library.ca_error_message(error))
            self.library.ca_error_destroy(error)
            raise EngineError(status, message)
        assert not error, "an error beside a result"
        return result

    def size_text(self, size, sign):
        buffer = ctypes.create_string_buffer(352)
        self.library.ca_format_size(buffer, size, sign)
        return buffer.value.decode()

    def matches(self, name, pattern):
        name, pattern = encode(name), encode(pattern)
        return self.library.ca_pattern_matches(pattern, len(pattern), name, len(name))

    def source_line(self, name, lineno):
        return decode(self.library.ca_linecache_line(encode(name), lineno))

    def lines(self, function, *arguments):
        """The texts that a function with a last parameter ret_lines gives."""
        lines = Lines()
        assert function(*arguments, ctypes.byref(lines)), "out of memory"
        data = ctypes.string_at(lines.bytes, lines.size) if lines.size else b""
        ends = lines.ends[:lines.count]
        self.library.ca_lines_deinit(ctypes.byref(lines))
        return [decode(data[begin:end]) for begin, end in zip([0] + ends, ends)]

    def text(self, function, *arguments):
        line, = self.lines(function, *arguments)
        return line

    def frame_text(self, frame, form):
        return self.text(self.library.ca_frame_text, named([frame]), form)

    def traceback_text(self, frames, total, form):
        return self.text(self.library.ca_traceback_text, named(frames), len(frames), total32(total), form)

    def trace_text(self, domain, size, frames, total, form):
        return self.text(self.library.ca_trace_text, domain, size, named(frames), len(frames), total32(total), form)

    def statistic_text(self, numbers, diff, frames, form):
        """numbers: size, count, size_diff, count_diff."""
        group = Group()
        for i, value in enumerate(numbers):
            group.numbers[2 * i] = value & NONE64
            group.numbers[2 * i + 1] = value >> 64 & NONE64
        return self.text(self.library.ca_statistic_text, group, diff, named(frames), len(frames), NONE32, form)

    def traceback_lines(self, frames, limit, most_recent_first):
        return self.lines(self.library.ca_traceback_lines, named(frames), len(frames), limit is not None, limit or 0,
                          most_recent_first)


def total32(total):
    return NONE32 if total is None else total


def named(frames):
    """Most recent first, as everywhere here: a frame is (filename, lineno, ...)."""
    array = (NamedFrame * max(1, len(frames)))()
    for item, frame in zip(array, frames):
        name = encode(frame[0])
        item.filename, item.filename_size, item.lineno = name, len(name), frame[1]
    return array


def make_filters(filters):
    """filters: dictionaries with the arguments of Filter or DomainFilter."""
    array = (Filter * max(1, len(filters)))()
    for item, wanted in zip(array, filters):
        item.inclusive = wanted["inclusive"]
        item.domain_only = "filename_pattern" not in wanted
        pattern = encode(wanted.get("filename_pattern", ""))
        item.pattern, item.pattern_size = pattern, len(pattern)
        item.all_frames = wanted.get("all_frames", False)
        lineno, domain = wanted.get("lineno"), wanted.get("domain")
        item.has_lineno, item.has_domain = lineno is not None, domain is not None
        item.lineno = NONE64 if lineno is None or lineno < 0 else lineno
        item.domain = NONE64 if domain is None or domain < 0 else domain
    return array


class Numbering(dict):
    """Numbers for equal things, in the order in which they come."""

    def __missing__(self, key):
        self[key] = number = len(self)
        return number


class EngineSnapshot:
    """A snapshot in the engine. A trace is (domain, size, frames, total_nframe[, thread]), a frame (filename, lineno[, function,
    module]); frames most recent first."""

    def __init__(self, engine, handle):
        self.engine = engine
        self.handle = handle

    def __del__(self):
        self.engine.library.ca_snapshot_destroy(self.handle)

    @classmethod
    def build(cls, engine, traces, limit):
        names, frames, tracebacks = Numbering({"": 0}), Numbering(), Numbering()
        packed = b"".join(TRACE.pack(trace[1], 0, 0, 0, trace[0], tracebacks[trace[2], trace[3]], *trace[4:] or (0,))
                          for trace in traces)
        sequence, spans = [], []
        for stack, total in tracebacks:
            spans.append(TRACEBACK.pack(len(sequence), len(stack), total32(total), 0, 0))
            sequence += [frames[frame] for frame in stack]
        packed_frames = b"".join(FRAME.pack(names[frame[0]], frame[1], *(names[text] for text in frame[2:] or ("", "")))
                                 for frame in frames)
        texts = [encode(name) for name in names]
        strings, offset = [], 0
        for text in texts:
            strings.append(STRING.pack(offset, len(text), 0))
            offset += len(text)
        kept = [b"".join(texts), b"".join(strings), packed_frames, struct.pack(f"={len(sequence)}I", *sequence),
                b"".join(spans), packed]
        pointers = [ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p) for data in kept]
        arrays = Arrays(pointers[0], pointers[1], len(texts), pointers[2], len(frames), pointers[3], len(sequence),
                        pointers[4], len(spans), pointers[5], len(traces), limit)
        return cls(engine, engine.call(engine.library.ca_snapshot_create_from, ctypes.byref(arrays)))

    def filtered(self, filters):
        """As tracemalloc: the original is untouched."""
        handle = self.engine.call(self.engine.library.ca_snapshot_filter, self.handle, make_filters(filters), len(filters))
        return EngineSnapshot(self.engine, handle)

    def export(self, traces):
        """Arrays, and frames as (filename, lineno, function, module)."""
        arrays = Arrays()
        self.engine.call(self.engine.library.ca_snapshot_export, self.handle, traces, ctypes.byref(arrays))
        data = ctypes.string_at(arrays.string_bytes, max(
            offset + size for offset, size, _ in elements(STRING, arrays.strings, arrays.string_count)))
        names = [decode(data[offset:offset + size])
                 for offset, size, _ in elements(STRING, arrays.strings, arrays.string_count)]
        frames = [(names[name], line, names[function], names[module])
                  for name, line, function, module in elements(FRAME, arrays.frames, arrays.frame_count)]
        return arrays, frames

    def traces(self):
        arrays, frames = self.export(True)
        sequence = numbers(arrays.traceback_frames, arrays.traceback_frame_count)
        stacks = [(tuple(frames[i] for i in sequence[first:first + count]), None if total == NONE32 else total)
                  for first, count, total, _, _ in elements(TRACEBACK, arrays.tracebacks, arrays.traceback_count)]
        return [(domain, size, *stacks[traceback], thread)
                for size, _, _, _, domain, traceback, thread in elements(TRACE, arrays.traces, arrays.trace_count)], arrays.limit

    def statistics(self, key, cumulative, old=None):
        """[(size, count, size_diff, count_diff, frames)]"""
        library = self.engine.library
        if old is None:
            handle = self.engine.call(library.ca_snapshot_statistics, self.handle, 0, KEYS[key], cumulative)
        else:
            handle = self.engine.call(library.ca_snapshot_compare, self.handle, old.handle, 0, KEYS[key], cumulative)
        groups = Groups()
        assert library.ca_statistics_export(handle, ctypes.byref(groups)), "out of memory"
        _, frames = self.export(False)
        sequence = numbers(groups.frames, groups.frame_count)
        result = [(int.from_bytes(size, "little"), int.from_bytes(count, "little"),
                   int.from_bytes(size_diff, "little", signed=True), int.from_bytes(count_diff, "little", signed=True),
                   tuple(frames[i] for i in sequence[first:first + frame_count]))
                  for size, count, size_diff, count_diff, first, frame_count, _
                  in elements(GROUP, groups.items, groups.count)]
        library.ca_statistics_destroy(handle)
        return result


def elements(layout, address, count):
    return layout.iter_unpack(ctypes.string_at(address, layout.size * count)) if count else ()


def numbers(address, count):
    return struct.unpack(f"={count}I", ctypes.string_at(address, 4 * count)) if count else ()
