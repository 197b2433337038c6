#!/usr/bin/python3
"""Differential test of the engine against CPython's own tracemalloc, fnmatch and linecache: a program that
test_tracemalloc_oracle.py runs, because a sanitized engine needs a process of its own.

    tracemalloc_oracle.py LIBRARY PART SEED REQUESTS

Exit code 0 and "N requests" on standard output, or 1 and the smallest input that it found for which the two differ. The same
seed makes the same requests. Python's Snapshot, built by hand from trace tuples, is the oracle; for keys that it does not
have, names and lines are replaced before it is asked."""

import codecs
import fnmatch
import linecache
import os
import random
import sys
import tempfile
import tracemalloc

import tracemalloc_engine
from tracemalloc_engine import EngineError, EngineSnapshot, OFF, ON, REPR, STR, UNIQUE, USAGE


class Difference(Exception):
    """What CPython and the engine do not agree on."""


def check(what, expected, found):
    if expected != found:
        raise Difference(f"{what}\n  CPython: {shorten(expected)}\n  engine:  {shorten(found)}")


def shorten(value):
    text = ascii(value)
    return text if len(text) <= 2000 else text[:2000] + " ..."


# ------------------------------------------------------------------------------------------------------ random input

# Bytes that are no UTF-8 sort between U+D7FF and U+E000; the quotes, backslashes and unprintable ones are for repr().
NAME_PARTS = [b"a", b"b", b"A", b"z.c", b"/", b"./", b"lib", b".py", b".pyc", b".pyo", b".pycc", b"1", b"-", b"[", b"]",
              b"*", b"?", b"!", b" ", "é".encode(), "ß".encode(), "\u0100".encode(), "日本".encode(), "\ud7ff".encode(),
              "\ue000".encode(), "\uffff".encode(), "\ufeff".encode(), "\U00010000".encode(), "\U0001f600".encode(),
              "\U0010ffff".encode(), b"\xff", b"\x80", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
              b"\xc0\xaf", b"'", b'"', b"\\", b"\n", b"\r", b"\t", b"\x1b", b"\x7f", "\x85".encode(), "\xa0".encode(),
              "\xad".encode(), "\u200b".encode(), "\u2028".encode(), "\u202e".encode(), "\u0378".encode(), b"<", b">"]
PLAIN_NAMES = ["a.py", "b.py", "a.pyc", "b.pyc", "<unknown>", "<frozen importlib._bootstrap>", "", "lib/c.c", "./a.py", "a"]
SIZES = [0, 1, 2, 10, 66, 99, 100, 1023, 1024, 10239, 10240, 10241, 10496, 11008, 102399, 102400, 102912, 103936, 10485247,
         10485248, 10485759, 10485760, 104857599, 104857600, 10737418239, 10737418240, 10995116277759, 10995116277760,
         2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]
LINES = [0, 1, 2, 3, 4, 5, 9, 10, 99, 100, 1000, 65535, 2**31, 2**32 - 1]
KEY_MODES = [("lineno", OFF), ("lineno", ON), ("filename", OFF), ("filename", ON), ("traceback", OFF)]


def make_name(rng):
    if rng.random() < 0.4:
        return rng.choice(PLAIN_NAMES)
    data = b"".join(rng.choice(NAME_PARTS) for _ in range(rng.choice([1, 1, 2, 3, 4, 5])))
    return data.decode("utf-8", "surrogateescape")


def make_size(rng):
    kind = rng.random()
    if kind < 0.5:
        return rng.randint(0, 4)  # ties
    return rng.choice(SIZES) if kind < 0.8 else rng.getrandbits(rng.randint(1, 64))


class World:
    """Frames and traces that have much in common."""

    def __init__(self, rng):
        self.rng = rng
        names = [make_name(rng) for _ in range(rng.randint(1, 6))]
        functions = ["", "main", "f", "g()"] if rng.random() < 0.5 else [""]
        modules = ["", "/lib/a.so", "/lib/b.so"] if rng.random() < 0.5 else [""]
        lines = rng.sample(LINES, rng.randint(1, 4))
        self.frames = [(rng.choice(names), rng.choice(lines), rng.choice(functions), rng.choice(modules))
                       for _ in range(rng.randint(1, 8))]
        self.stacks = [self.stack() for _ in range(rng.randint(1, 10))]

    def stack(self):
        depth = self.rng.choice([1, 1, 2, 2, 3, 4, 7])
        return tuple(self.rng.choice(self.frames) for _ in range(depth))

    def trace(self, empty):
        stack = () if empty and self.rng.random() < 0.1 else self.rng.choice(self.stacks)
        total = self.rng.choice([len(stack), len(stack), len(stack) + 1, 65535, None])
        return (self.rng.choice([0, 0, 0, 1, 2, 2**32 - 1]), make_size(self.rng), stack, total, self.rng.randint(1, 3))

    def traces(self):
        empty = self.rng.random() < 0.03
        return [self.trace(empty) for _ in range(self.rng.choice([0, 1, 2, 5, 10, 20, 40]))]

    def filter(self):
        if self.rng.random() < 0.2:
            return {"inclusive": self.rng.random() < 0.5, "domain": self.rng.choice([0, 1, 2, 5, 2**32 - 1, 2**32, -1])}
        return {"inclusive": self.rng.random() < 0.5, "filename_pattern": self.pattern(),
                "lineno": self.rng.choice([None, None, None, 0, -1, 2**32, self.rng.choice(self.frames)[1]]),
                "all_frames": self.rng.random() < 0.5,
                "domain": self.rng.choice([None, None, None, 0, 1, 2**32 - 1, 2**40, -1])}

    def pattern(self):
        """A name of this world with parts made wild; sometimes anything."""
        name = self.rng.choice(self.frames)[0]
        kind = self.rng.random()
        if kind < 0.3:
            return name
        if kind < 0.8 and name:
            at = self.rng.randrange(len(name))
            wild = self.rng.choice(["*", "?", f"[{name[at]}]", f"[!{name[at]}]", "[]", "**"])
            end = at if self.rng.random() < 0.3 else min(len(name), at + self.rng.randint(1, 3))
            return writable(name[:at] + wild + name[end:])
        return self.rng.choice(["*", "", "?", "*.py", "*.pyc", "*.py?", "[", "<*>"])


def writable(text):
    """What is left of a text with escaped bytes when it went through bytes: cut pieces may have become a character."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


# ------------------------------------------------------------------------------------------------------ CPython's side


def plain(traces):
    """Raw trace tuples."""
    return [(domain, size, tuple(frame[:2] for frame in stack), total) for domain, size, stack, total, *_ in traces]


def label(frame, key):
    """What the engine's own keys show instead of the file name."""
    return frame[2] or frame[0] if key == "function" else frame[3] or "<unknown>"


def relabelled(traces, key):
    """Traces whose statistics by lineno are those by `key`."""
    if key in ("function", "module"):
        return [(domain, size, tuple((label(frame, key), 0) for frame in stack), total)
                for domain, size, stack, total, *_ in traces]
    return [(trace[0], trace[1], ((f"{key} {trace[0] if key == 'domain' else trace[4]}", 0),), None) for trace in traces]


def without_repeats(traces, key):
    """Traces whose cumulative statistics count each group once per trace."""
    line = (lambda frame: frame[1]) if key == "lineno" else lambda frame: 0
    return [(domain, size, tuple(dict.fromkeys((frame[0], line(frame)) for frame in stack)), total)
            for domain, size, stack, total, *_ in traces]


def as_tuple(statistic):
    return (statistic.size, statistic.count, getattr(statistic, "size_diff", 0), getattr(statistic, "count_diff", 0),
            tuple((frame.filename, frame.lineno) for frame in reversed(statistic.traceback)))


def outcome(function, *arguments):
    """The result, or what a front end makes of the error."""
    try:
        return function(*arguments)
    except (ValueError, IndexError) as error:
        return f"{type(error).__name__}: {error}"
    except EngineError as error:
        assert error.args[0] == USAGE, error
        kind = "IndexError" if error.args[1] == "tuple index out of range" else "ValueError"
        return f"{kind}: {error.args[1]}"


def python_snapshot(traces):
    return tracemalloc.Snapshot(plain(traces), 7)


def python_filters(filters):
    return [tracemalloc.Filter(**wanted) if "filename_pattern" in wanted else tracemalloc.DomainFilter(**wanted)
            for wanted in filters]


# ------------------------------------------------------------------------------------------------------ requests


class Statistics:
    """statistics, compare_to and filter_traces of random snapshots."""

    def __init__(self, engine, rng):
        self.engine, self.rng = engine, rng

    def run(self):
        world = World(self.rng)
        new, old = world.traces(), world.traces()
        filters = [world.filter() for _ in range(self.rng.choice([0, 1, 1, 2, 3, 5]))]
        requests = [("statistics", key, mode) for key, mode in KEY_MODES + [("traceback", ON)]]
        requests += [("compare_to", key, mode) for key, mode in KEY_MODES + [("traceback", ON)]]
        requests += [("statistics", key, OFF) for key in ("function", "module", "domain", "thread")]
        requests += [("statistics", key, mode) for key in ("function", "module") for mode in (ON, UNIQUE)]
        requests += [("statistics", key, UNIQUE) for key in ("lineno", "filename")]
        requests += [("compare_to", key, OFF) for key in ("function", "domain", "thread")]
        requests += [("filter_traces", None, None)]
        inputs = (new, old, filters)
        snapshots = [EngineSnapshot.build(self.engine, traces, 7) for traces in (new, old)]
        for request in requests:
            try:
                self.answer(request, inputs, snapshots)
            except Difference as difference:
                raise Difference(self.reduce(request, inputs) or f"{difference}\n  for {request}, {inputs!a}") from None
        return len(requests)

    def answer(self, request, inputs, snapshots=None):
        """Asks both sides; raises Difference."""
        new, old, filters = inputs
        engine_new, engine_old = snapshots or [EngineSnapshot.build(self.engine, traces, 7) for traces in (new, old)]
        kind, key, mode = request
        if kind == "filter_traces":
            self.answer_filters(new, filters, engine_new)
            return
        expected = outcome(self.expected, request, new, old)
        found = outcome(engine_new.statistics, key, mode, engine_old if kind == "compare_to" else None)
        if isinstance(found, list):
            self.check_agreement(request, found, new, old)
            found = [(*item[:4], tuple(frame[:2] for frame in item[4])) for item in found]
        check(f"{request}", expected, found)

    @staticmethod
    def expected(request, new, old):
        kind, key, mode = request
        sides = [new, old]
        if key not in ("lineno", "filename", "traceback"):
            if any(not trace[2] for side in sides[:1 + (kind == "compare_to")] for trace in side) and key in (
                    "function", "module") and mode == OFF:
                raise IndexError("tuple index out of range")
            sides = [relabelled(side, key) for side in sides]
            if mode == UNIQUE:
                sides = [without_repeats(side, "lineno") for side in sides]
            key = "lineno"
        elif mode == UNIQUE:
            sides = [without_repeats(side, key) for side in sides]
        snapshots = [python_snapshot(side) for side in sides]
        if kind == "compare_to":
            return [as_tuple(item) for item in snapshots[0].compare_to(snapshots[1], key, mode != OFF)]
        return [as_tuple(item) for item in snapshots[0].statistics(key, mode != OFF)]

    @staticmethod
    def check_agreement(request, found, new, old):
        """function and module are those that all of a group's frames have."""
        kind, key, mode = request
        if key not in ("lineno", "filename"):
            return
        members = {}
        for traces in (new,) if kind == "statistics" else (old, new):  # new ones count where there are any
            side = {}
            for trace in traces:
                for frame in trace[2] if mode != OFF else trace[2][:1]:
                    side.setdefault((frame[0], frame[1] if key == "lineno" else 0), set()).add(frame[2:])
            members.update(side)
        for item in found:
            for filename, lineno, function, module in item[4]:
                sets = [set(values) for values in zip(*members[filename, lineno])]
                check(f"{request}: function and module of {filename!a}:{lineno}",
                      tuple(values.pop() if len(values) == 1 else "" for values in sets), (function, module))

    @staticmethod
    def answer_filters(traces, filters, snapshot):
        expected = outcome(lambda: python_snapshot(traces).filter_traces(python_filters(filters)))
        kept = outcome(snapshot.filtered, filters)
        if isinstance(kept, str) or isinstance(expected, str):
            check("filter_traces", expected, kept)
            return
        found, limit = kept.traces()
        check("traceback_limit of filter_traces", 7, limit)
        check("filter_traces", list(expected.traces._traces), plain(found))
        before, _ = snapshot.traces()
        check("the snapshot that was filtered", list(traces), before)
        for key, mode in KEY_MODES:
            check(f"statistics of filtered traces by {key}",
                  outcome(lambda k=key, m=mode: [as_tuple(item) for item in expected.statistics(k, m != OFF)]),
                  outcome(lambda k=key, m=mode: [(*item[:4], tuple(frame[:2] for frame in item[4]))
                                                 for item in kept.statistics(k, m)]))

    def reduce(self, request, inputs):
        """Leaves out what can be left out; the smallest input that still differs, as text."""
        inputs = [list(part) for part in inputs]
        message = None
        shrinking = True
        while shrinking:
            shrinking = False
            for part in inputs:
                for at in reversed(range(len(part))):
                    item = part.pop(at)
                    try:
                        self.answer(request, inputs)
                        part.insert(at, item)
                    except Difference as difference:
                        message, shrinking = str(difference), True
        new, old, filters = inputs
        return message and (f"{message}\n  request {request}\n  new = {new!a}\n  old = {old!a}\n  filters = {filters!a}")


class Texts:
    """str() and repr() of everything, and sizes."""

    def __init__(self, engine, rng):
        self.engine, self.rng = engine, rng

    def run(self):
        world = World(self.rng)
        traces = [world.trace(False) for _ in range(8)]
        snapshot, older = python_snapshot(traces), python_snapshot(traces[5:] + traces[:1])
        return (self.sizes() + sum(map(self.trace, plain(traces), snapshot.traces))
                + sum(map(self.statistic, snapshot.statistics(self.rng.choice(("lineno", "filename", "traceback")))))
                + sum(map(self.statistic, snapshot.compare_to(older, self.rng.choice(("lineno", "traceback")))))
                + self.statistic(self.wide_statistic(traces[0])))

    def sizes(self):
        number = self.rng.choice(SIZES) + self.rng.randint(-3, 3) if self.rng.random() < 0.3 else \
            self.rng.getrandbits(self.rng.randint(1, 90)) * self.rng.choice([1, -1])
        for value in (number, number / self.rng.randint(1, 5000), float(number)):
            for sign in (False, True):
                check(f"_format_size({value!r}, {sign})", tracemalloc._format_size(value, sign),
                      self.engine.size_text(value, sign))
        return 6

    def trace(self, raw, trace):
        domain, size, frames, total = raw
        engine = self.engine
        check(f"str of frame {frames[0]!a}", str(trace.traceback[-1]), engine.frame_text(frames[0], STR))
        check(f"repr of frame {frames[0]!a}", repr(trace.traceback[-1]), engine.frame_text(frames[0], REPR))
        check(f"str of traceback {raw!a}", str(trace.traceback), engine.traceback_text(frames, total, STR))
        check(f"repr of traceback {raw!a}", repr(trace.traceback), engine.traceback_text(frames, total, REPR))
        check(f"str of trace {raw!a}", str(trace), engine.trace_text(domain, size, frames, total, STR))
        check(f"repr of trace {raw!a}", repr(trace), engine.trace_text(domain, size, frames, total, REPR))
        check("repr of no frames", repr(tracemalloc.Traceback((), total)), engine.traceback_text((), total, REPR))
        return 7

    def wide_statistic(self, trace):
        """Sums of more than 64 bits, and averages at the edge of rounding."""
        rng = self.rng
        frames = plain([trace])[0][2]
        count = rng.choice([1, 2, 3, rng.getrandbits(rng.randint(1, 62)) + 1, 2**rng.randint(0, 62)])
        size = rng.choice([rng.getrandbits(rng.randint(1, 120)), count * rng.choice(SIZES) + rng.randint(0, 3),
                           count * rng.randint(0, 20480) + count // 2])
        return tracemalloc.StatisticDiff(tracemalloc.Traceback(frames), size, rng.getrandbits(100) - 2**99, count,
                                         rng.getrandbits(70) - 2**69)

    def statistic(self, item):
        size, count, size_diff, count_diff, frames = as_tuple(item)
        diff = isinstance(item, tracemalloc.StatisticDiff)
        numbers = (size, count, size_diff, count_diff)
        for form, function in ((STR, str), (REPR, repr)):
            check(f"{function.__name__} of a statistic {numbers} {frames!a}", function(item),
                  self.engine.statistic_text(numbers, diff, frames, form))
        return 2


class Patterns:
    """fnmatch: mostly sets, whose corners are many."""

    # U+00E9 is C3 A9, of which U+DCA9 is the second byte alone.
    ALPHABET = ["a", "b", "-", "!", "]", "^", "[", "*", "?", "\\", "z", "&", "~", "|", ".", "\xe9", "\udca9", "\n",
                "b-a", "!-b", "z-a!", "--"]

    def __init__(self, engine, rng):
        self.engine, self.rng = engine, rng

    def run(self):
        for _ in range(50):
            rng = self.rng
            text = self.pick(0, 6)
            pattern = self.pick(0, 9) if rng.random() < 0.5 else \
                self.pick(0, 2) + "[" + self.pick(0, 6) + "]" + rng.choice(["", "*", "*a", "?"])
            self.match(text, writable(pattern))
            self.match(self.rng.choice(self.ALPHABET), "[" + writable(self.pick(1, 7)) + "]")
        self.long_match()
        return 101

    def pick(self, low, high):
        return writable("".join(self.rng.choices(self.ALPHABET, k=self.rng.randint(low, high))))

    def match(self, name, pattern):
        check(f"fnmatchcase({name!a}, {pattern!a})", fnmatch.fnmatchcase(name, pattern), self.engine.matches(name, pattern))

    def long_match(self):
        stars = "a*" * self.rng.randint(1, 12) + self.rng.choice(["b", "a", ""])
        self.match("a" * self.rng.randint(0, 60) + self.rng.choice(["", "b"]), stars)


class Sources:
    """Traceback.format() and linecache, over files of many kinds in the current directory. No codec of several bytes but
    UTF-8: those are iconv's, whose tables are not Python's in all corners."""

    ENCODINGS = ["utf-8", "UTF8", "utf-8-unix", "utf_8_sig", "latin-1", "iso-8859-1-dos", "Latin1", "ISO-8859-15", "cp1252",
                 "ascii", "us-ascii", "646", "koi8-r", "cp437", "iso8859-7", "no-such-codec",
                 "iso-latin-1", "utf-16", "utf8-", "-", "l1", "u8", "cp65001", "iso8859_2", "windows-1251"]
    PIECES = ["x = 1", "  indented", "\ttab\tinside\t", "", " ", "é", "日本語", "#", "# coding: latin-1", "a\fb", "\f",
              "\v v \v", "\x1c\x1d", "\x85", "\xa0 nbsp \xa0", "\u2028", "u\u2028v", "\u3000wide\u3000", "\x00nul", "'\"\\",
              "\u200b", "\ufeff", "end "]
    NEWLINES = ["\n", "\n", "\n", "\r\n", "\r", "\n\n", "\r\r\n"]

    def __init__(self, engine, rng):
        self.engine, self.rng = engine, rng
        self.names = ["", "gone.py", ".", "sub"]
        self.directory = tempfile.TemporaryDirectory(prefix="tm-sources-")
        os.chdir(self.directory.name)
        os.mkdir("sub")

    def run(self):
        linecache.clearcache()
        self.engine.library.ca_linecache_clear()
        files = [f"file{i}.c" for i in range(3)] + ["sub/deep.c", "na\xefve.py", "\udcff.py", "<x", "x>", "<string>"]
        for name in files:
            self.write(name)
        if self.rng.random() < 0.1:
            os.unlink("file2.c")
        names = self.names + files
        requests = 0
        for name in names:
            for lineno in [0, *range(1, 9), 2**32 - 1]:
                check(self.describe(f"line {lineno} of {name!a}", name), self.python_line(name, lineno),
                      self.engine.source_line(name, lineno))
                requests += 1
        for _ in range(20):
            frames = tuple((self.rng.choice(names), self.rng.choice([0, 1, 2, 3, 4, 5, 100]))
                           for _ in range(self.rng.randint(0, 5)))
            limit = self.rng.choice([None, 0, 1, 2, 3, 5, 9, -1, -2, -4, -5, -6, 2**62, -2**63])
            recent = self.rng.random() < 0.5
            expected = self.python_format(frames, limit, recent)
            if expected is not None:
                check(f"format({limit}, {recent}) of {frames!a}", expected,
                      self.engine.traceback_lines(frames, limit, recent))
                requests += 1
        return requests

    @staticmethod
    def python_line(name, lineno):
        try:
            # The engine hands out C strings: a line ends at a NUL.
            return linecache.getline(name, lineno).strip().split("\0")[0]
        except (LookupError, UnicodeError):
            return ""  # linecache does not expect these of UTF-16 without its mark and of codecs that are not for text

    @staticmethod
    def python_format(frames, limit, recent):
        try:
            return tracemalloc.Traceback(frames).format(limit, recent)
        except (LookupError, UnicodeError):
            return None

    def write(self, name):
        rng = self.rng
        lines = [rng.choice(self.PIECES) for _ in range(rng.randint(0, 7))]
        if rng.random() < 0.6:
            comment = rng.choice(["# -*- coding: {} -*-", "#coding={}", " \t# vim: set fileencoding={} :", "# coding:  {}",
                                  "x # coding: {}", "# coding {}", "# encoding: x, coding: {}", "#\u00e9coding: {}",
                                  "# coding: \u00e9 coding: {}"])
            lines.insert(rng.choice([0, 0, 1, 2]), comment.format(rng.choice(self.ENCODINGS)))
        text = "".join(line + rng.choice(self.NEWLINES) for line in lines)
        text = text.rstrip("\r\n") if rng.random() < 0.3 else text
        with open(name, "wb") as file:
            file.write(rng.choice([b"", b"", b"", b"\xef\xbb\xbf"]))
            file.write(text.encode(rng.choice(["utf-8", "utf-8", "utf-8", "latin-1", "cp1252", "koi8-r", "shift_jis"]),
                                   rng.choice(["ignore", "replace"])))
            file.write(rng.choice([b"", b"", b"", b"", b"\xff", b"\xe2\x82"]))

    @staticmethod
    def describe(what, name):
        try:
            with open(name, "rb") as file:
                return f"{what}, which is {file.read()!r}"
        except (OSError, ValueError):
            return what


def load_codecs():
    """Python imports a codec when it first meets its name, and linecache its own needs with its first file."""
    linecache.getline(__file__, 1)
    for name in Sources.ENCODINGS + ["cp1252", "koi8-r", "shift_jis"]:
        try:
            codecs.lookup(name)
        except LookupError:
            pass


PARTS = {"statistics": Statistics, "texts": Texts, "patterns": Patterns, "sources": Sources}


def main():
    library, part, seed, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    load_codecs()
    rng = random.Random(f"{part} {seed}")
    sys.path[:] = []  # linecache would look there; what is imported late is imported by now
    tests = PARTS[part](tracemalloc_engine.Engine(library), rng)
    requests = 0
    while requests < wanted:
        try:
            requests += tests.run()
        except Difference as difference:
            print(f"{part}, seed {seed}, after {requests} requests:\n{difference}")
            return 1
    print(f"{requests} requests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
