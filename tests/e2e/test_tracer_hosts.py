"""Host situations: other preloads, allocators of the program's own, set-user-ID programs, keys that threads share."""

import os
import re
import stat

import harness
import pytest

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


OWN = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static char pool[1 << 20];
static size_t used;
void *malloc(size_t size)
{
    size_t *block = (size_t *)(pool + used) + 2;
    block[-2] = size;
    used += (size + 31) / 16 * 16;
    return block;
}
void free(void *block) { (void)block; }
void *calloc(size_t count, size_t size) { return malloc(count * size); }
void *realloc(void *block, size_t size)
{
    void *result = malloc(size);
    return block ? memcpy(result, block, ((size_t *)block)[-2]) : result;
}
int main(void)
{
    char *text = realloc(strdup("its own"), 1000);
    puts(text);
    fflush(stdout);
    return text < pool || text >= pool + used ? 1 : (abort(), 0);
}
"""


@pytest.mark.parametrize("linking", [["-pie"], ["-no-pie"]], ids=" ".join)
def test_malloc_of_the_program(tmp_path, linking):
    """It runs as ever, and every reader says that the tracer does not see its blocks."""
    (tmp_path / "own.c").write_text(OWN)
    program = harness.compile_program(tmp_path / "own.c", tmp_path / "own", "-g", "-fno-builtin", "-fPIC", *linking)
    result, core = harness.crash(harness.traced([program]), tmp_path / "work")
    assert result.stdout == "its own\n" and result.stderr == ""
    snapshot = tmp_path / "own.tm"
    harness.coreanalyze("save", core, snapshot, status=None)
    for target in (core, snapshot):
        assert "HAS A malloc OF ITS OWN" in harness.coreanalyze("top", target, status=1).stdout
        assert harness.coreanalyze_json("top", target, status=1)["coverage"]["bypassed"] is True
    assert re.search("features: .*bypassed", harness.coreanalyze("info", core, status=None).stdout)


@pytest.mark.parametrize("linking", [["-fPIE", "-pie"], ["-fno-pie", "-no-pie"]], ids=" ".join)
def test_address_of_malloc_is_no_malloc(tmp_path, linking):
    """A program at a fixed address that takes malloc's has a stub of that name."""
    (tmp_path / "address.c").write_text("#include <stdlib.h>\nvoid *(*volatile allocate)(size_t) = malloc;\n"
                                        "void *volatile block;\nint main(void) { block = allocate(77); abort(); }\n")
    program = harness.compile_program(tmp_path / "address.c", tmp_path / "address", "-g", *linking)
    core = harness.crash(harness.traced([program]), tmp_path / "work")[1]
    answer = harness.coreanalyze_json("top", core)
    assert "bypassed" not in answer["coverage"] and answer["total"] == {"count": 1, "size": 77}


def test_tm_run_warns_of_set_user_id_programs(tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root can make a program somebody else's")
    program = harness.compile_program(harness.PROGRAMS / "linked.c", tmp_path / "owned")
    os.chown(program, 12345, -1)
    program.chmod(0o755 | stat.S_ISUID)
    result = harness.run(harness.traced([program]))
    assert "tm-run" in result.stderr and "not traced" in result.stderr and "set-user-ID" in result.stderr
    assert result.stdout == harness.run([program]).stdout
    by_name = harness.run(harness.traced(["owned"]), env=harness.clean_environment(PATH=tmp_path))
    assert by_name.stderr == result.stderr.replace(str(program), "owned")
    program.chmod(0o755)
    assert harness.run(harness.traced([program])).stderr == ""
