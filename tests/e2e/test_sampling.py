"""sample=BYTES: estimates without bias, the same from counters, from a scan of the blocks and from a saved file."""

import math
import re

import harness
import pytest

MEAN = 64 << 10
LINES = (harness.PROGRAMS / "sampled.c").read_text().splitlines()


def amounts(word):
    """{line: (count, size of one)} of the markers in the source."""
    found = {}
    for number, line in enumerate(LINES, 1):
        for marker, count, size in re.findall(r"(LIVE|TOTAL) (\d+) x (\d+)", line):
            if marker == word:
                found[number] = (int(count), int(size))
    return found


@pytest.fixture(scope="module")
def cores(tmp_path_factory):
    """Cores of the same program, with counters and without."""
    directory = tmp_path_factory.mktemp("sampled")
    program = harness.compile_program(harness.PROGRAMS / "sampled.c", directory / "sampled", "-g", "-O1")
    found = {}
    for stats in (1, 0):
        command = harness.traced([program, "crash"], "-o", f"sample={MEAN},stats={stats}")
        _, found[stats] = harness.crash(command, directory / str(stats))
    return found


def by_line(core, *options):
    answer = harness.coreanalyze_json("top", "-n", "0", *options, "--format", "json", core)
    lines = {statistic["traceback"][0]["lineno"]: (statistic["count"], statistic["size"]) for statistic in answer["statistics"]
             if statistic["traceback"][0]["filename"].endswith("sampled.c")}
    return lines, answer


def stands_for(size):
    """How many blocks of this size a recorded one stands for: see tracer/layout.h."""
    return 1 if size >= MEAN else math.ceil(1 / (1 - math.exp(-size / MEAN)))


def assert_near(estimates, truth):
    """Within five standard deviations: of N blocks of which 1 in n is recorded, the estimate's is sqrt(N (n - 1))."""
    assert set(truth) <= set(estimates)
    for line, (count, size) in truth.items():
        n = stands_for(size)
        assert abs(estimates[line][0] - count) <= 5 * math.sqrt(count * (n - 1)), (line, estimates[line], count, n)
        assert estimates[line][0] % n == 0
        assert estimates[line][1] == estimates[line][0] * size


@pytest.mark.parametrize("stats", [1, 0])
def test_live(cores, stats):
    lines, answer = by_line(cores[stats])
    assert_near(lines, amounts("LIVE"))
    assert answer["coverage"]["sample_bytes"] == MEAN
    assert answer["coverage"]["blocks"] == answer["total"]["count"]


def test_totals(cores):
    lines, _ = by_line(cores[1], "--value", "total")
    assert_near(lines, {**amounts("LIVE"), **amounts("TOTAL")})


def test_counters_are_the_blocks(cores):
    """The scan, which a filter by size makes necessary, gives what the counters hold, to the block."""
    counted, answer = by_line(cores[1])
    scanned, other = by_line(cores[1], "--min-size", "0")
    assert counted == scanned and answer["total"] == other["total"]


def test_text_says_so(cores):
    assert "one sample per 64.0 KiB" in harness.coreanalyze("top", cores[1]).stdout


def test_saved(cores, tmp_path):
    saved = tmp_path / "sampled.pb.gz"
    harness.coreanalyze("save", cores[1], saved)
    for options in [(), ("--value", "total"), ("--by", "traceback", "--min-size", "1000")]:
        assert by_line(saved, *options)[1]["statistics"] == by_line(cores[1], *options)[1]["statistics"]


def test_few_blocks_are_recorded(cores):
    """That is what it is for: of 430,500 live blocks about 1,100."""
    traces = harness.coreanalyze_json("traces", "--format", "json", cores[1])["traces"]
    expected = sum(count / stands_for(size) for count, size in amounts("LIVE").values())
    assert abs(len(traces) - expected) < 5 * math.sqrt(expected)
    assert {trace["size"] for trace in traces} <= {size for _, size in amounts("LIVE").values()}


def test_programs_are_unchanged():
    command = ["/usr/bin/python3", "-c", "print(sum(len(str(i)) for i in range(100000)))"]
    plain = harness.run_ok(command)
    traced = harness.run_ok(harness.traced(command, "-o", "sample=4K"),
                            env=harness.clean_environment(PYTHONMALLOC="malloc"))
    assert (plain.stdout, plain.stderr) == (traced.stdout, traced.stderr)
