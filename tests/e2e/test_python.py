"""The Python package tm outside GDB: CPython's own tests of tracemalloc with only the import changed, and the
same objects made with both modules.

Of Lib/test/test_tracemalloc.py run TestTraceback, TestSnapshot and TestFilters. TestTracemallocEnabled,
TestCommandLine and TestCAPI do not apply: they trace the Python interpreter's own objects, options and C API, for
which tm's tracer has tests of its own.
"""

import contextlib
import copy
import importlib.util
import itertools
import pathlib
import pickle
import random
import re
import sys
import tracemalloc

import pytest

import harness

PACKAGE = harness.BUILD / "share" / "tm" / "python"


@pytest.fixture(scope="module")
def tm():
    sys.path.insert(0, str(PACKAGE))
    try:
        import tm as module
        yield module
    finally:
        sys.path.remove(str(PACKAGE))


def test_cpythons_own_tests(tmp_path):
    found = importlib.util.find_spec("test.test_tracemalloc") if importlib.util.find_spec("test") else None
    if found is None:
        pytest.skip("CPython's tests are not installed (Debian: libpython3.11-testsuite)")
    source = pathlib.Path(found.origin).read_text(encoding="utf-8")
    changed, count = re.subn(r"^import tracemalloc$", "import tm as tracemalloc", source, flags=re.MULTILINE)
    assert count == 1
    (tmp_path / "changed.py").write_text(changed, encoding="utf-8")
    result = harness.run([sys.executable, "-m", "unittest", "-v", "changed.TestTraceback", "changed.TestSnapshot",
                          "changed.TestFilters"], cwd=tmp_path, env=harness.clean_environment(PYTHONPATH=PACKAGE))
    assert result.returncode == 0, result.stderr
    assert int(re.search(r"^Ran (\d+) tests", result.stderr, re.MULTILINE).group(1)) >= 19


# ---------------------------------------------------------------------------------------------------- both modules

def outcome(function):
    """What a call gives, in a form that can be compared between the modules."""
    try:
        return plain(function())
    except Exception as error:  # the exception is what is compared
        return type(error).__name__, str(error)


def plain(value):
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(item) for item in value]
    if isinstance(value, (int, str, type(None), type(NotImplemented))):
        return value
    texts = repr(value), outcome(lambda: str(value))
    return [re.sub(r"<\w+(\.\w+)* object at 0x\w+>", "<object>", str(text)) for text in texts]


# Each is evaluated with m = tracemalloc and m = tm
EXPRESSIONS = """
m.Frame(("a", 1)) == m.Frame(("a", 1))
m.Frame(("a", 10)) > m.Frame(("a", 9))
m.Frame(("a", 10)) >= m.Frame(("b", 9))
m.Frame(("a", 1)) == ("a", 1)
m.Frame(("a", 1)) < ("a", 1)
hash(m.Frame(("a", 1)))
m.Frame(("it's", 1))
m.Frame(("a", 1)).__eq__(3)
setattr(m.Frame(("a", 1)), "lineno", 3)
m.Traceback((("a", 1), ("b", 2)))
m.Traceback((("a", 1), ("b", 2)), 7)
m.Traceback((("a", 1),), 0)
repr(m.Traceback((), 0))
str(m.Traceback(()))
len(m.Traceback((("a", 1), ("b", 2))))
m.Traceback((("a", 1), ("b", 2)))[0]
m.Traceback((("a", 1), ("b", 2)))[-1]
m.Traceback((("a", 1), ("b", 2)))[2]
m.Traceback((("a", 1), ("b", 2)))[0:1]
m.Traceback((("a", 1), ("b", 2)))["x"]
m.Frame(("a", 1)) in m.Traceback((("a", 1), ("b", 2)))
("a", 1) in m.Traceback((("a", 1), ("b", 2)))
list(reversed(m.Traceback((("a", 1), ("b", 2)))))
m.Traceback((("a", 1), ("b", 2))).index(m.Frame(("a", 1)))
m.Traceback((("a", 1), ("a", 1))).count(m.Frame(("a", 1)))
m.Traceback((("a", 1),), 1) == m.Traceback((("a", 1),), 9)
hash(m.Traceback((("a", 1),), 1)) == hash(m.Traceback((("a", 1),), 9))
m.Traceback((("b", 1), ("a", 1))) < m.Traceback((("a", 1), ("b", 1)))
m.Traceback((("a", 1),)) < m.Traceback((("z", 1), ("a", 1)))
m.Traceback((("a", 1),)) < 3
m.Traceback((("a", 1),)).total_nframe
m.Traceback((("a", 1), ("b", 2))).format()
m.Traceback((("a", 1), ("b", 2))).format(1)
m.Traceback((("a", 1), ("b", 2), ("c", 3))).format(-1)
m.Traceback((("a", 1), ("b", 2), ("c", 3))).format(-5)
m.Traceback((("a", 1), ("b", 2), ("c", 3))).format(2, True)
m.Traceback((("a", 1), ("b", 2), ("c", 3))).format(0)
m.Traceback((("a", 1),)).format(limit="x")
m.Traceback((("<string>", 1), (__file__, 1), (__file__, 10 ** 9), ("", 1))).format()
m.Trace((0, 10, (("a", 1), ("b", 2)), 2))
m.Trace((0, 10240, (("a", 1),), None))
m.Trace((0, 10, (("a", 1),), 2)) == m.Trace((0, 10, (("a", 1),), 3))
hash(m.Trace((0, 10, (("a", 1),), 2)))
m.Trace((0, 10, (("a", 1),), 2)) < m.Trace((0, 10, (("a", 1),), 3))
m.Trace((1, 10, (("a", 1),), 2)).domain
m.Trace((1, 10, (("a", 1),), 2)).traceback.total_nframe
m.Trace((1, 10, (("a", 1),))).traceback.total_nframe
setattr(m.Trace((1, 10, (("a", 1),), 2)), "size", 3)
m.Statistic(m.Traceback((("a", 1),)), 66, 1)
m.Statistic(m.Traceback((("a", 1),)), 66, 0)
m.Statistic(m.Traceback((("a", 1),)), 10 ** 30, 7)
m.Statistic(m.Traceback((("a", 1),)), 66, 1) == m.Statistic(m.Traceback((("a", 1),)), 66, 1)
m.Statistic(m.Traceback((("a", 1),)), 66, 1) == m.StatisticDiff(m.Traceback((("a", 1),)), 66, 0, 1, 0)
m.Statistic(m.Traceback((("a", 1),)), 66, 1) < m.Statistic(m.Traceback((("a", 1),)), 67, 1)
hash(m.Statistic(m.Traceback((("a", 1),)), 66, 1)) == hash(m.Statistic(m.Traceback((("a", 1),)), 66, 1))
setattr(m.Statistic(m.Traceback((("a", 1),)), 66, 1), "size", 3)
setattr(m.Statistic(m.Traceback((("a", 1),)), 66, 1), "other", 3)
m.StatisticDiff(m.Traceback((("a", 1),)), 5002, 5000, 2, 1)
m.StatisticDiff(m.Traceback((("a", 1),)), 0, -66, 0, -1)
m.StatisticDiff(m.Traceback((("a", 1),)), 30, 0, 3, 0)
m.Filter(True, "*.pyc").filename_pattern
m.Filter(True, "a.pyo", 3, True, 5).domain
m.Filter(True, 5)
m.Filter(True, None)
m.Filter(True, b"a")
m.Filter(True, pathlib.PurePath("d", "a.pyc")).filename_pattern
setattr(m.Filter(True, "a"), "filename_pattern", "b")
setattr(m.Filter(True, "a"), "lineno", 3)
setattr(m.DomainFilter(True, 3), "domain", 4)
m.DomainFilter(inclusive=True, domain=3).domain
m._format_size(10240, False)
m._format_size(-15360, True)
m.BaseFilter(True).inclusive
m.BaseFilter(True)._match(())
m.Snapshot([], 1).statistics("lineno")
m.Snapshot([], 1).statistics("nonsense")
m.Snapshot([], 1).statistics("traceback", True)
m.Snapshot([], 1).statistics(None)
m.Snapshot([], 1).traces
m.Snapshot([(0, 10, (("a", 1),), 1)] * 3, 1).traces
m.Snapshot([(0, 10, (("a", 1),), 1)] * 3, 1).traces[1:]
m.Snapshot([(0, 10, (("a", 1),), 1)] * 3, 1).traces[3]
m.Trace((0, 10, (("a", 1),), 1)) in m.Snapshot([(0, 10, (("a", 1),), 1)], 1).traces
m.Snapshot([(0, 10, (("a", 1),), 1)], 1).traces == m.Snapshot([(0, 10, (("a", 1),), 1)], 2).traces
m.Snapshot([(0, 10, (("a", 1),), 1)], 1) == m.Snapshot([(0, 10, (("a", 1),), 1)], 1)
m.Snapshot([], 1).filter_traces(m.Filter(True, "a"))
m.Snapshot([(0, 10, (("a", 1),), 1)], 7).filter_traces([]).traceback_limit
m.Snapshot([(0, 10, (("a", 1),), 1)], 7).filter_traces(())
m.Snapshot([(0, 10, (("a", 1),))], 7).statistics("lineno")
m.Snapshot([(0, 10, (), 0)], 7).statistics("filename")
m.Snapshot([(0, 10, (), 0)], 7).filter_traces([m.Filter(True, "a")])
m.Snapshot([(0, 10, (("a", 1),), 1)], 7).filter_traces([m.Filter(True, "a", 1.0)]).traces[0]
m.Snapshot([(0, 10, (("a", 1),), 1)], 7).filter_traces([m.Filter(True, "a", -1)]).traces
m.Snapshot([(0, 10, (("a", 1),), 1)], 7).filter_traces([m.Filter(True, "a", 10 ** 30)]).traces
m.Snapshot([(0, 10, (("a", 1),), 1)], 7).filter_traces([m.DomainFilter(False, -1)]).traces
m.start(0)
m.start(65536)
m.start("1")
m.start(2 ** 40)
m.start(nframe=1)
""".strip().splitlines()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_same_as_tracemalloc(tm, expression):
    expected, found = (outcome(lambda: eval(expression, {"m": module, "__file__": __file__})) for module in (tracemalloc, tm))
    if expression.startswith("m.start("):  # CPython names the module before the function
        expected, found = (re.sub(r"\w+\.start\(", "start(", str(item)) for item in (expected, found))
    assert found == expected


def random_snapshot(chance):
    """Raw traces and a limit."""
    names = ["a.c", "b.c", "/x/y.c", "<unknown>", "é.c", "日本.c", "a.pyc", "a\udcff.c", "[z-a]", 'z"q.c', "it's.c", ""]
    limit = chance.randint(1, 6)
    traces = []
    for _ in range(chance.choice([0, 1, 5, 40])):
        frames = tuple((chance.choice(names), chance.choice([0, 1, 2, 10, 2 ** 32 - 1]))
                       for _ in range(chance.randint(1, limit)))
        traces.append((chance.choice([0, 0, 1, 2 ** 32 - 1]), chance.choice([0, 1, 10, 2 ** 40, 2 ** 63]), frames,
                       chance.choice([None, len(frames), 65535])))
    return traces, limit


def random_filters(chance):
    """Functions that make a filter of a module."""
    patterns = ["*", "a*", "?.c", "[!a]*", "*.pyc", "[z-a]", "*/y.c", "", "é*", "[[]z-a]", "*[c"]
    filters = []
    for _ in range(chance.randint(0, 3)):
        inclusive, domain = chance.random() < .5, chance.choice([None, 0, 1])
        if chance.random() < .3:
            filters.append(lambda m, a=(inclusive, domain or 0): m.DomainFilter(*a))
        else:
            arguments = inclusive, chance.choice(patterns), chance.choice([None, 0, 1]), chance.random() < .5, domain
            filters.append(lambda m, a=arguments: m.Filter(*a))
    return filters


def test_random_snapshots(tm):
    chance = random.Random(20240229)
    for _ in range(200):
        new, old, filters = random_snapshot(chance), random_snapshot(chance), random_filters(chance)
        for make in filters:
            found = [outcome(lambda: make(module)._match(trace)) for module in (tracemalloc, tm) for trace in new[0]]
            assert found[:len(found) // 2] == found[len(found) // 2:]
        answers = []
        for module in (tracemalloc, tm):
            snapshot = module.Snapshot(*new).filter_traces([make(module) for make in filters])
            answers.append([snapshot.traces._traces, snapshot.traceback_limit])
            for key, cumulative in itertools.product(("lineno", "filename", "traceback"), (False, True)):
                with contextlib.suppress(ValueError):
                    answers[-1].append(plain(snapshot.statistics(key, cumulative)))
                    answers[-1].append(plain(snapshot.compare_to(module.Snapshot(*old), key, cumulative)))
        assert answers[0] == answers[1]


def test_a_filter_of_the_users_own(tm):
    class Large(tm.BaseFilter):
        def _match(self, trace):
            return (trace[1] > 10) == self.inclusive

    snapshot = tm.Snapshot([(0, size, (("a", size),), 1) for size in (5, 10, 15)], 1)
    assert [trace.size for trace in snapshot.filter_traces([Large(True)]).traces] == [15]
    assert [trace.size for trace in snapshot.filter_traces([Large(False), tm.Filter(False, "a", 5)]).traces] == [10]


def test_files_and_copies(tm, tmp_path):
    chance = random.Random(7)
    for number in range(20):
        traces, limit = random_snapshot(chance)
        snapshot = tm.Snapshot(traces, limit)
        path = tmp_path / f"{number}.pb.gz"
        snapshot.dump(path)
        loaded = tm.Snapshot.load(path)
        assert loaded.traceback_limit == limit
        assert sorted(map(repr, loaded.traces)) == sorted(map(repr, snapshot.traces))
        loaded.dump(path)
        assert tm.Snapshot.load(path).traces == loaded.traces
        for again in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded), copy.copy(loaded)):
            assert again.traces == loaded.traces and again.traceback_limit == limit
            assert again.statistics("traceback") == snapshot.statistics("traceback")
    with pytest.raises(FileNotFoundError):
        tm.Snapshot.load(tmp_path / "missing")
    with pytest.raises(tm.EngineError, match="neither a core file nor a snapshot"):
        tm.Snapshot.load(__file__)


def test_no_target(tm, tmp_path):
    assert not tm.is_tracing()
    assert tm.get_traced_memory() == (0, 0)
    assert tm.get_traceback_limit() == 1
    assert tm.get_tracemalloc_memory() == 0
    assert tm.get_object_traceback(1) is None
    for function in (tm.stop, tm.clear_traces, tm.reset_peak):
        assert function() is None
    with pytest.raises(tm.EngineError, match="no target"):
        tm.start()
    with pytest.raises(RuntimeError, match="^the tracemalloc module must be tracing memory allocations to take a snapshot$"):
        tm.take_snapshot()
    with pytest.raises(tm.EngineError, match="no such file"):
        tm.open(tmp_path / "missing")


def test_public_names(tm):
    expected = {name for name in dir(tracemalloc) if name[0].islower() or name[0].isupper()}
    modules = {"fnmatch", "os", "pickle", "Sequence", "Iterable", "total_ordering"}  # what tracemalloc itself imports
    assert expected - modules <= set(dir(tm))
