"""The benchmarks: that they measure what they say, not what comes out."""

import pathlib
import re
import sys

import harness
import pytest

BENCH = harness.REPO / "bench"
sys.path.insert(0, str(BENCH))

from kit import page, process, table  # noqa: E402
from tracing import budgets, contenders, turns, workloads  # noqa: E402


def bench(*arguments, program="run"):
    return harness.run([BENCH / program, harness.BUILD, *arguments])


def cells(output, title, row):
    """One row of a printed table, as {column: text}."""
    lines = output.split(title, maxsplit=1)[1].split("\n\n")[1].splitlines()
    header, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return next(dict(zip(header, found)) for found in rows if found[0] == row)


def test_prints_tables():
    """6000 rounds of 200 blocks are a tenth of the loop's work: 1.2 million calls; every tracer costs something there."""
    result = bench("--quick", "--runs", "1", "--only", "small", "--markdown")
    assert result.returncode == 0, result.stderr
    assert "these are no results" in result.stdout
    added = cells(result.stdout, "Nanoseconds of cpu time added", "small blocks in a loop")
    assert added["million calls"] == "1.20"
    assert {"counting", "libtm", "stats=0"} <= set(added)
    assert float(added["libtm"]) > 5
    assert cells(result.stdout, "Cpu time (user", "small blocks in a loop").keys() >= {"again", "libtm"}


def test_refuses_what_it_does_not_know():
    for program, what in (("run", "nothing like it"), ("reading/run", "nothing like it")):
        result = bench("--only", what, program=program)
        assert result.returncode == 2 and what in result.stderr and not result.stdout
    assert bench("--runs", "0").returncode == 2
    assert bench("--quick", "--page", "page.md").returncode == 2


def answer_of(program, *arguments):
    """What a program that needs core files printed."""
    result = bench(*arguments, program=program)
    if "core files go to" in result.stderr:
        pytest.skip(result.stderr.strip())
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_reads_cores():
    """2000 blocks need 8-byte words in the live table; a core of a gibibyte of holes takes little of the disk."""
    output = answer_of("reading/run", "--runs", "1", "--blocks", "2000", "--stacks", "20", "--sparse", "1", "--only", "top", "--only", "info",
                       "--markdown")
    needs = [float(cells(output, "2,000 blocks", f"top, stats={stats}")["needs"].split()[0]) for stats in (1, 0)]
    assert needs[1] * 1e6 > 2000 * 8
    size, on_disk = (float(number) for number in re.search(r"A core of ([\d.]+) GiB, ([\d.]+) MiB on the disk", output).groups())
    assert 1 <= size < 1.2 and on_disk < 32
    assert cells(output, "A core of", "info")


def test_asks_for_names():
    """Two units with 17 calls of keep() in each; the compiler may merge some of them."""
    output = answer_of("symbols/run", "--quick", "--markdown")
    title = re.search(r"(\d+) return addresses of a library with", output)
    assert 2 * 17 / 2 <= int(title[1]) <= 2 * 17
    assert cells(output, "return addresses", "coreanalyze top")["cpu"].endswith(" s")


@pytest.fixture(name="field")
def field_fixture(tmp_path):
    return contenders.Field(harness.BUILD, tmp_path)


@pytest.fixture(name="collection")
def collection_fixture(tmp_path):
    return workloads.Collection(tmp_path)


def test_counts_every_call(field, collection, tmp_path):
    """A round of small.c is 200 blocks, each freed: two rounds more are 400 calls more."""
    small = next(workload for workload in collection.workloads if workload.name == "small")
    one, three = (turns.count_calls(small, rounds / 60000, field, tmp_path) for rounds in (1, 3))
    assert three - one == 400


def test_counts_each_function(field, tmp_path):
    """Each function that allocates is one call, one that fails is none."""
    source = tmp_path / "calls.c"
    source.write_text("""
        #include <malloc.h>
        #include <stdint.h>
        #include <stdlib.h>
        int main(int argc, char **argv)
        {
            (void)argv;
            for (int i = 1; i < argc; i++) {
                void *volatile a = malloc(10), *volatile b = calloc(3, 5), *volatile c = memalign(64, 10), *volatile d = aligned_alloc(32, 64);
                void *e;
                if (posix_memalign(&e, 128, 10) != 0 || malloc(PTRDIFF_MAX) || reallocarray(NULL, SIZE_MAX, 2)) {
                    return 1;
                }
                a = realloc(a, 100);
                b = reallocarray(b, 10, 10);
                free(NULL);
                free(a), free(b), free(c), free(d), free(e);
            }
            return 0;
        }
    """)
    program = harness.compile_program(source, tmp_path / "calls", "-O0", "-Wno-alloc-size-larger-than")

    def counts(*arguments):
        path = tmp_path / "counts"
        path.unlink(missing_ok=True)
        process.run([program, *arguments], {**field.find("counting").environment, "BENCH_CALLS": str(path)})
        return [int(word) for word in path.read_text().split()]

    none, once = counts(), counts("x")
    assert [after - before for before, after in zip(none, once)] == [7, 5]


def test_missing_peers_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(contenders, "LIBRARY_DIRECTORIES", ())
    field = contenders.Field(harness.BUILD, tmp_path, ["no_such_key=1"])
    assert {contender.name for contender in field.contenders} >= {"nothing", "again", "counting", "libtm", "stats=0"}
    assert field.find("unwind") is None and field.find("heaptrack") is None
    text = "\n".join(field.missing)
    assert all(word in text for word in ("libunwind", "heaptrack", "jemalloc", "gperftools", "no_such_key=1"))


class FewContenders:
    """A field of shell variables."""

    def __init__(self, *environments):
        self.contenders = [contenders.Contender(name, "", environment) for name, environment in environments]

    def find(self, name):
        return contenders.Contender(name, "", {"LD_PRELOAD": ""})


def test_changed_output_is_told(monkeypatch, tmp_path):
    """A tracer under which a program says something else is left out, and the reader is told."""
    monkeypatch.setattr(turns, "count_calls", lambda *_: 1000)
    field = FewContenders(("nothing", {}), ("quiet", {"OTHER": "1"}), ("loud", {"MARK": "1"}))
    workload = workloads.Workload("echo", "echo", lambda scale: ["sh", "-c", "echo said $MARK"])
    result = turns.measure(workload, field, 2, 1.0, tmp_path)
    assert set(result.costs) == {"nothing", "quiet"}
    assert len(result.failures) == 1 and "something else under loud" in result.failures[0]


def is_gone(pid):
    """Whether a process has ended; whoever inherits it may not have waited for it yet."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", maxsplit=1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_programs_end(tmp_path):
    """One that takes too long is killed with what it started; one that fails is told with what it said."""
    note = tmp_path / "pid"
    with pytest.raises(process.TimeLimit):
        process.run(["sh", "-c", f"sleep 1000 & echo $! >{note}; wait"], limit=0.5)
    assert is_gone(int(note.read_text()))
    with pytest.raises(process.Failure, match="ended with 3.*complaint"):
        process.run(["sh", "-c", "echo complaint >&2; exit 3"])


def result_of(workload, **added):
    """A Result in which a call costs what `added` says; untraced runs differ by a tenth."""
    costs = {name.replace("_", " "): turns.Cost(cpu=1 + nanoseconds / 100, wall=1, added=nanoseconds, lowest=1, highest=1, deviation=0,
                                                untraced=1) for name, nanoseconds in added.items()}
    return turns.Result(workload, 1000, {**costs, "again": turns.Cost(1, 1, 0, 0.9, 1.1, 0.1, 1)}, [])


def test_budgets():
    """A fifth of heaptrack's cost on average, a third on each, and less than the walk alone."""
    results = [result_of("a", libtm=16, heaptrack=100, unwind=40), result_of("b", libtm=36, heaptrack=100, unwind=40),
               result_of("noise", libtm=300, heaptrack=5, unwind=5)]
    mean, each, walk = list(budgets.processor(results))
    assert mean.measured.startswith("0.24 of it, over 2 workloads of 3") and not mean.kept
    assert each.measured == "at most 0.36 of it: b; above on 1 of 2" and not each.kept
    assert walk.measured == "at most 0.90 of it: b; above on 0 of 2" and walk.kept
    lost = list(budgets.processor([result_of("a", libtm=-50, heaptrack=100, unwind=40)]))
    assert lost[0].measured.startswith("0.10 of it"), "a tenth is what that workload resolves"
    cheap = list(budgets.processor([result_of("a", libtm=19, heaptrack=100, unwind=19)]))
    assert [verdict.kept for verdict in cheap] == [True, True, False]


def test_page_keeps_the_rest(tmp_path):
    begin, end = page.markers("tracing")
    path = tmp_path / "page.md"
    path.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    page.replace(path, "tracing", table.Table("Title", ["", "n"], [["a", "1"], ["bc", "23"]]).render(markdown=True))
    assert path.read_text() == f"before\n{begin}\n\n**Title**\n\n|    |  n |\n|----|---:|\n| a  |  1 |\n| bc | 23 |\n\n{end}\nafter\n"
    path.write_text("no markers\n")
    with pytest.raises(process.Failure, match="expected one line"):
        page.replace(path, "tracing", "text")
    assert path.read_text() == "no markers\n"


def test_the_page_has_its_places():
    """docs/overhead.md has a place for each of the three programs."""
    text = (harness.REPO / "docs" / "overhead.md").read_text()
    for name in ("tracing", "reading", "symbols"):
        assert all(text.count(marker) == 1 for marker in page.markers(name)), name
