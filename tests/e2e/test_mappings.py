"""mmap=1: anonymous mappings as blocks of domain 1."""

import json
import re
import shutil
import subprocess

import pytest

import harness

PAGE = 4096

EXPECTED = {  # as the comments of mappings.c say
    "plain": (10000, 1), "shared": (8192, 1), "head_cut": (20380 - 2 * PAGE, 1), "tail_cut": (3 * PAGE, 1),
    "hole": (20380 - PAGE, 2), "fixed": (PAGE, 1), "over": (4 * PAGE, 3), "regrow": (10 * PAGE, 1), "move": (5 * PAGE, 1),
    "failing": (7777, 1),
}
EXPECTED["hole"] = (PAGE + 20380 - 2 * PAGE, 2)


def by_function(core, *options):
    answer = harness.coreanalyze_json("top", "-n", "0", "--by", "function", *options, core)
    assert answer["coverage"]["in_flight"] == answer["coverage"]["dropped"] == 0
    return {item["traceback"][-1]["function"]: (item["size"], item["count"]) for item in answer["statistics"]}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "file"
    path.write_bytes(bytes(1 << 20))
    return path


@pytest.mark.parametrize("options, threads, rounds", [("mmap=1", 0, 0), ("mmap=1,detail=1", 1, 2000), ("mmap=1", 4, 3000)])
def test_ledger(program, file, tmp_path, options, threads, rounds):
    result, core = harness.crash(harness.traced([program("mappings.c"), file, threads, rounds], "-o", options), tmp_path)
    assert result.returncode == -6, result.stderr
    size, count = map(int, re.search(r"^threads: (\d+) (\d+)$", result.stdout, re.MULTILINE).groups())
    found = by_function(core, "--include-domain", "1")
    of_threads = found.pop("thread_map", (0, 0))
    assert found == EXPECTED
    assert of_threads == (size, count) and (count > 50) == (threads > 0)
    info = harness.coreanalyze_json("info", core)
    assert "mmap" in info["features"] and info["missed_frees"] == 0
    total = harness.coreanalyze_json("top", core)["total"]["size"]
    assert info["current"] == total, "the counters and the blocks agree"
    malloc = harness.coreanalyze_json("top", "--exclude-domain", "1", core)["total"]["size"]
    assert total - malloc == sum(size for size, _ in EXPECTED.values()) + size


def test_off_by_default(program, file, tmp_path):
    result, core = harness.crash(harness.traced([program("mappings.c"), file, 0, 0]), tmp_path)
    assert result.returncode == -6, result.stderr
    assert by_function(core, "--include-domain", "1") == {}
    assert "mmap" not in harness.coreanalyze_json("info", core)["features"]


@pytest.mark.parametrize("allocator", [None, "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
                                       "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"], ids=["glibc", "jemalloc", "tcmalloc"])
def test_not_what_the_allocator_maps(allocator, tmp_path):
    """A large block is malloc's; the memory that it comes from is not recorded a second time."""
    (tmp_path / "large.c").write_text("#include <stdlib.h>\n#include <string.h>\nvoid *blocks[50];\nint main(void)\n{\n"
                                      "    for (int i = 0; i < 50; i++) {\n        blocks[i] = memset(malloc(i << 17), 1, i << 17);\n"
                                      "    }\n    abort();\n}\n")
    program = harness.compile_program(tmp_path / "large.c", tmp_path / "large", "-g")
    if allocator and not shutil.os.path.exists(allocator):
        pytest.skip(f"{allocator} is not installed")
    environment = harness.clean_environment(LD_PRELOAD=allocator)
    _, core = harness.crash(harness.traced([program], "-o", "mmap=1"), tmp_path / "run", env=environment)
    assert harness.coreanalyze_json("top", "--include-domain", "1", core)["total"] == {"size": 0, "count": 0}
    assert by_function(core, "--exclude-domain", "1")["main"] == (sum(i << 17 for i in range(50)), 50)


SQL = "create table t(a); with recursive c(x) as (select 1 union all select x + 1 from c where x < 20000) " \
      "insert into t select hex(randomblob(10)) from c; select count(*), length(group_concat(a)) from t;"
SCRIPT = "import mmap, json\nheld = [mmap.mmap(-1, 100000 + i) for i in range(5)]\n" \
         "print(len(json.dumps(list(range(100000)))), sum(map(len, held)))"


@pytest.mark.parametrize("command", [["sqlite3", ":memory:", SQL], ["/usr/bin/python3", "-E", "-c", SCRIPT]],
                         ids=lambda command: command[0].rsplit("/", 1)[-1])
def test_real_programs_are_unchanged(command):
    if not harness.have(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    plain = harness.run_ok(command)
    traced = harness.run_ok(harness.traced(command, "-o", "mmap=1"))
    assert (traced.stdout, traced.stderr) == (plain.stdout, plain.stderr)


@pytest.mark.skipif(not harness.have("redis-check-rdb"), reason="redis-tools is not installed")
def test_redis(tmp_path):
    """Its allocator maps memory by the name mmap."""
    socket = tmp_path / "socket"
    server = subprocess.Popen(harness.traced([str(harness.redis_server(tmp_path)), "--port", "0", "--unixsocket", str(socket), "--save", "",
                                              "--dir", str(tmp_path)], "-o", "mmap=1"), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=harness.clean_environment())
    try:
        assert any("ready to accept connections" in line for line in iter(server.stdout.readline, ""))
        lines = [f"set key{number} {'x' * 1000}" for number in range(5000)] + ["dbsize", "flushall", "dbsize", "shutdown"]
        answers = harness.run_ok(["redis-cli", "-s", socket], input="\n".join(lines) + "\n").stdout
        assert answers.split() == ["OK"] * 5000 + ["5000", "OK", "0"]
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.communicate()


def test_mmap_of_python(tmp_path):
    """The module mmap maps shared anonymous memory, by the name mmap64 or mmap."""
    command = ["/usr/bin/python3", "-E", "-c", SCRIPT + "\nimport os\nos.abort()"]
    _, core = harness.crash(harness.traced(command, "-o", "mmap=1"), tmp_path)
    traces = json.loads(harness.coreanalyze("traces", "--format", "json", "--include-domain", "1", core, status=None).stdout)
    sizes = [trace["size"] for trace in traces["traces"]]
    assert {100000 + i for i in range(5)} <= set(sizes)
