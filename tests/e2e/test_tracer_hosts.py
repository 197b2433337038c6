"""Host situations: other preloads, allocators of the program's own, set-user-ID programs, keys that threads share."""

import os
import re
import stat

import harness
import pytest


def test_threads_that_track_the_same_keys(tmp_path):
    """Each record is counted once as added and once as removed, whoever was faster."""
    program = harness.compile_program(harness.PROGRAMS / "shared_keys.c", tmp_path / "shared_keys", "-g", "-O1")
    for options in ((), ("-o", "detail=1"), ("-o", "freed=10")):
        assert harness.run_ok(harness.traced([program, "100000"], *options)).stdout == "agreed\n"


COUNTED = """
#include <stdlib.h>
static void *volatile kept[1000];
int main(void)
{
    for (int i = 0; i < 1000; i++) {
        kept[i] = malloc(i + 1); /* HERE */
    }
    for (int i = 0; i < 1000; i += 2) {
        free(kept[i]);
    }
    kept[1] = realloc(kept[1], 100000); /* AGAIN */
    %s;
}
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """An interposer that counts calls: bench/interposers/count.c."""
    library = tmp_path_factory.mktemp("count") / "libcount.so"
    harness.run_ok([harness.CC, "-O1", "-fPIC", "-shared", "-I", harness.REPO, "-o", library,
                    harness.REPO / "bench" / "interposers" / "count.c"])
    return library


def compile_counted(directory, end):
    source = directory / "counted.c"
    source.write_text(COUNTED % end)
    return source, harness.compile_program(source, directory / "counted", "-g", "-O1")


def calls(program, preload, directory):
    """Allocations and frees that the counter saw."""
    path = directory / "calls"
    path.unlink(missing_ok=True)
    harness.run_ok([program], env=harness.clean_environment(LD_PRELOAD=preload, BENCH_CALLS=path, TRACEMALLOC=5))
    (line,) = path.read_text().splitlines()
    return [int(number) for number in line.split()]


@pytest.mark.parametrize("first", ["tracer", "other"])
def test_beside_another_preload(tmp_path, counter, first):
    """Before and after it in the list: both see every call, and the tracer's records are exact."""
    order = [harness.LIBTM, counter] if first == "tracer" else [counter, harness.LIBTM]
    preload = ":".join(str(library) for library in order)
    _, program = compile_counted(tmp_path, "return 0")
    (tmp_path / "empty.c").write_text("int main(void) { return 0; }\n")
    empty = harness.compile_program(tmp_path / "empty.c", tmp_path / "empty")  # what starting costs: dlsym's messages
    alone, both = ([counted - started for counted, started in
                    zip(calls(program, value, tmp_path), calls(empty, value, tmp_path))] for value in (str(counter), preload))
    assert alone == [1001, 500] and both == alone

    source, program = compile_counted(tmp_path, "abort()")
    core = harness.crash([program], tmp_path / "work", env=harness.clean_environment(LD_PRELOAD=preload, TRACEMALLOC=5))[1]
    lines = {text: number for number, text in enumerate(source.read_text().splitlines(), 1)}
    here, again = (next(number for text, number in lines.items() if mark in text) for mark in ("HERE", "AGAIN"))
    answer = harness.coreanalyze_json("top", "--include", "*/counted.c", core)
    got = {item["traceback"][0]["lineno"]: (item["count"], item["size"]) for item in answer["statistics"]}
    assert got == {here: (499, sum(range(4, 1001, 2))), again: (1, 100000)}
