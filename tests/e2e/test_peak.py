"""What it was that peaked: `--value peak` and `--value total`, against a program that keeps its own ledger."""

import pytest

import harness


@pytest.fixture(scope="module")
def peaks(tmp_path_factory):
    return harness.compile_program(harness.PROGRAMS / "peaks.c", tmp_path_factory.mktemp("peaks") / "peaks", "-g", "-O1",
                                   f"-I{harness.REPO}")


def ledger(text):
    """{line: (live count, live size, peak count, peak size, total count, total size)}, current, peak"""
    lines, totals = {}, {}
    for words in map(str.split, text.splitlines()):
        if len(words) == 2:
            totals[words[0]] = int(words[1])
        else:
            lines[int(words[0])] = tuple(map(int, words[1:]))
    return lines, totals["current"], totals["peak"]


def statistics(core, value):
    """{line: (count, size)} of the program's own file."""
    answer = harness.coreanalyze_json("top", "-n", "0", "--value", value, core)
    assert answer["value"] == value
    return {item["traceback"][0]["lineno"]: (item["count"], item["size"]) for item in answer["statistics"]
            if item["traceback"][0]["filename"].endswith("peaks.c")}


@pytest.mark.parametrize("middle", ["none", "reset", "clear"])
@pytest.mark.parametrize("seed", range(1, 6))
def test_peak_of_one_thread_is_exact(peaks, tmp_path, seed, middle):
    result, core = harness.crash(harness.traced([peaks, seed, 3000, middle]), tmp_path)
    expected, current, peak = ledger(result.stdout)
    assert sum(entry[3] for entry in expected.values()) == peak and peak > current
    for value, first in (("live", 0), ("peak", 2), ("total", 4)):
        wanted = {line: entry[first:first + 2] for line, entry in expected.items() if entry[first]}
        assert statistics(core, value) == wanted, value
    info = harness.coreanalyze_json("info", core)
    assert (info["current"], info["peak"]) == (current, peak)


def test_a_snapshot_file_keeps_peak_and_totals(peaks, tmp_path):
    _, core = harness.crash(harness.traced([peaks, 77, 2000]), tmp_path)
    harness.coreanalyze("save", core, tmp_path / "saved.pb.gz")
    for value in ("live", "peak", "total"):
        arguments = ("top", "-n", "0", "--value", value)
        assert harness.coreanalyze(*arguments, tmp_path / "saved.pb.gz").stdout == harness.coreanalyze(*arguments, core).stdout


def test_without_counters_peak_and_total_are_refused(peaks, tmp_path):
    result, core = harness.crash(harness.traced([peaks, 5, 500], "-o", "stats=0"), tmp_path)
    expected, _, _ = ledger(result.stdout)
    assert statistics(core, "live") == {line: entry[:2] for line, entry in expected.items() if entry[0]}
    for value in ("peak", "total"):
        refused = harness.coreanalyze("top", "--value", value, core, status=64)
        assert refused.stdout == "" and "stats=1" in refused.stderr
    harness.coreanalyze("save", core, tmp_path / "saved.pb.gz")
    refused = harness.coreanalyze("top", "--value", "peak", tmp_path / "saved.pb.gz", status=64)
    assert "no peak values" in refused.stderr


# Several threads: each allocates and frees in turn, so that what all hold together is known at two barriers.
THREADS = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
enum { THREADS = 4 };
static pthread_barrier_t barrier;
static void *blocks[THREADS][BLOCKS];
static void *work(void *argument) {
    void **mine = argument;
    for (int i = 0; i < BLOCKS; i++) { mine[i] = malloc(SIZE); __asm__ volatile("" : : "r"(mine[i])); }
    pthread_barrier_wait(&barrier); /* all hold all */
    pthread_barrier_wait(&barrier);
    for (int i = KEPT; i < BLOCKS; i++) { free(mine[i]); }
    return NULL;
}
int main(void) {
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int t = 0; t < THREADS; t++) { pthread_create(&threads[t], NULL, work, blocks[t]); }
    for (int t = 0; t < THREADS; t++) { pthread_join(threads[t], NULL); }
    abort();
}
"""


@pytest.mark.parametrize("blocks, size, kept", [(5000, 1000, 100), (50, 100000, 1), (7, 3000000, 0)])
def test_peak_of_several_threads_keeps_its_bound(tmp_path, blocks, size, kept):
    """Also where each block is larger than what a thread folds at once."""
    source = tmp_path / "threads.c"
    source.write_text(THREADS)
    program = harness.compile_program(source, tmp_path / "threads", "-g", "-O1", f"-DBLOCKS={blocks}", f"-DSIZE={size}",
                                      f"-DKEPT={kept}")
    _, core = harness.crash(harness.traced([program]), tmp_path / "run")
    info = harness.coreanalyze_json("info", core)
    held = 4 * blocks * size
    others = 64 * 1024  # what main and pthread_create allocate for the threads is less
    bound = 5 * info["peak_short_per_thread"]
    assert held - bound <= info["peak"] <= held + others
    assert info["peak"] >= info["current"] >= 4 * kept * size
    total = harness.coreanalyze_json("top", "--value", "total", "--include", "*threads.c", core)
    assert total["total"] == {"size": held, "count": 4 * blocks}
    peak = harness.coreanalyze_json("top", "--value", "peak", core)["total"]["size"]
    assert held - bound <= peak <= held + others
