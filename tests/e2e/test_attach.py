"""tm-start in processes that were started without the tracer, and tm-stop there."""

import contextlib
import json
import re
import shutil
import socket
import subprocess

import pytest

import harness
from gdb_session import ask, gdb

FLAGS = ("-g", "-O2", "-Wl,-z,now")
FAST = ["set debug-file-directory /nonexistent"]  # as most users have it: no debug information of libc
TOP = "tm-top 0 -by function -format json"


@pytest.fixture(scope="module")
def attached(program):
    return program("attached.cpp", *FLAGS)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    return harness.compile_program(harness.PROGRAMS / "attached_plugin.c", tmp_path_factory.mktemp("plugin") / "plugin.so",
                                   "-g", "-O2", "-fPIC", "-shared")


class Running:
    """A program that answers each line of its input with a line."""

    def __init__(self, arguments, **options):
        options.setdefault("env", harness.clean_environment())
        self.process = subprocess.Popen(list(map(str, arguments)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, **options)
        self.pid = self.process.pid

    def answer(self):
        return self.process.stdout.readline().rstrip("\n")

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.answer() == line

    def end(self):
        out, err = self.process.communicate(timeout=60)
        assert (self.process.returncode, err) == (0, ""), (self.process.returncode, out, err)
        return out


@contextlib.contextmanager
def running(*arguments, **options):
    program = Running(arguments, **options)
    try:
        yield program
    finally:
        program.process.kill()
        program.process.communicate()


def at(program, *commands, **options):
    """A GDB session that attaches, runs commands and lets the program go."""
    options.setdefault("early", FAST)
    return gdb([*commands, "detach"], "-p", program.pid, **options)


def by_function(answer):
    """{function: (size, count)}"""
    return {item["traceback"][-1]["function"]: (item["size"], item["count"]) for item in json.loads(answer)["statistics"]}


ALLOCATED = {"make_named": (10000, 10), "make_arrays": (1000, 5), "grow_old": (5000, 1)}
OF_PLUGIN = {"plugin_constructor": (999, 3), "plugin_make": (1776, 4)}


# ------------------------------------------------------------------------------------------------------ works

@pytest.mark.parametrize("threads", [0, 3])
def test_what_is_allocated_from_then_on(attached, plugin, threads, tmp_path):
    """Blocks of before are unknown: freeing them is nothing, reallocating one makes it known. Libraries that come later
    are traced from their constructors on."""
    with running(attached, threads) as program:
        assert program.answer() == "ready"
        session = at(program, *ask("start", "tm-start 40"))
        assert session["start"] == b"Tracing from now on, up to 40 frames; blocks from before are unknown.", session.stderr
        program.tell("allocate")
        program.tell(f"plugin {plugin}")
        saved = tmp_path / "saved.pb.gz"
        session = at(program, *ask("top", TOP), *ask("text", "tm-top 1"), *ask("info", "tm-info -format json"), f"tm-save {saved}")
        found = by_function(session["top"])
        assert {name: found.get(name) for name in [*ALLOCATED, *OF_PLUGIN]} == {**ALLOCATED, **OF_PLUGIN}
        assert re.search(rb"every block traced since \d+\.\d seconds after the process started; blocks from before are unknown$",
                         session["text"])
        assert harness.coreanalyze("top", "-n", "1", saved).stdout.split("traced since")[1] == \
            session["text"].decode().split("traced since")[1] + "\n"
        info = json.loads(session["info"])
        assert (info["traceback_limit"], info["missed_frees"]) == (40, 0) and "attached" in info["features"]
        program.tell("unload")
        found = by_function(at(program, *ask("top", TOP))["top"])
        assert not found.keys() & OF_PLUGIN.keys() and found["make_named"] == (10000, 10)
        assert program.end() == "end\n"


SLOTS = """
import re, struct, json
def slots():
    words = {}
    for line in gdb.execute("info files", to_string=True).splitlines():
        match = re.match(r"\\s*(0x\\w+) - (0x\\w+) is (\\.got|\\.got\\.plt|\\.data\\.rel\\.ro)( in (.*))?$", line)
        if match and "libtm.so" not in line:
            start, end = int(match.group(1), 16), int(match.group(2), 16)
            data = bytes(gdb.selected_inferior().read_memory(start, (end - start) // 8 * 8))
            words.update((start + 8 * i, word) for i, (word,) in enumerate(struct.iter_unpack("<Q", data)))
    return words
def show():
    libraries = [re.split(r"\\s+", line)[:2] for line in gdb.execute("info sharedlibrary", to_string=True).splitlines()
                 if line.endswith("/libtm.so")]
    print(json.dumps({"slots": slots(), "tracer": [[int(a, 16), int(b, 16)] for a, b in libraries]}))
"""


def slots_at(program, tmp_path, *commands):
    script = tmp_path / "slots.py"
    script.write_text(SLOTS)
    answer = json.loads(at(program, f"source {script}", *commands, *ask("slots", "python show()"))["slots"])
    return answer["slots"], answer["tracer"]


def leading_there(slots, tracer):
    return {address for address, word in slots.items() for start, end in tracer if start <= word < end}


def test_stop_puts_everything_back(attached, plugin, tmp_path):
    """Every slot of every library and of the loader, compared word by word; then it starts again."""
    with running(attached, 2, env=harness.clean_environment(LD_BIND_NOW=1)) as program:
        assert program.answer() == "ready"
        before, tracer = slots_at(program, tmp_path)
        assert tracer == []
        during, tracer = slots_at(program, tmp_path, "tm-start")
        assert len(tracer) == 1 and len(leading_there(during, tracer)) > 10
        changed = {address for address in before if before[address] != during[address]}
        assert leading_there(during, tracer) <= changed
        program.tell(f"plugin {plugin}")
        session = at(program, "tm-stop")
        program.tell("allocate")
        after, tracer = slots_at(program, tmp_path)
        assert leading_there(after, tracer) == set()
        assert {address: after[address] for address in leading_there(during, tracer)} == \
            {address: before[address] for address in leading_there(during, tracer)}
        stopped = at(program, *ask("top", "tm-top"), *ask("info", "tm-info"), *ask("again", "tm-start 3"))
        assert b"not tracing" in stopped["info"] and b"up to 3 frames" in stopped["again"], session.stderr
        program.tell("unload")
        program.tell("allocate")
        assert by_function(at(program, *ask("top", TOP))["top"])["make_named"] == (10000, 10)
        assert program.end() == "end\n"


def test_python_api_and_a_start_after_a_stop_at_once(attached):
    """The stop has not been obeyed yet when tracing is to start again."""
    with running(attached, 0) as program:
        assert program.answer() == "ready"
        session = at(program, "python import tm", "python tm.start(7)", *ask("on", "python print(tm.is_tracing(), "
                     "tm.get_traceback_limit())"), "python tm.stop()", *ask("off", "python print(tm.is_tracing())"),
                     "python tm.start(9)", *ask("again", "python print(tm.is_tracing(), tm.get_traceback_limit())"))
        assert (session["on"], session["off"], session["again"]) == (b"True 7", b"False", b"True 9"), session.stderr
        program.tell("allocate")
        assert by_function(at(program, *ask("top", TOP))["top"])["make_named"] == (10000, 10)
        assert program.end() == "end\n"


def test_inside_the_allocator_it_waits(attached, tmp_path):
    """No thread is outside of malloc: the program runs on to the next call of it. These two calls are over the way to the
    tracer, the other eight are recorded."""
    (tmp_path / "input").write_text("allocate\n")
    session = gdb(["break make_named", f"run <{tmp_path}/input", "break malloc", "continue", *ask("where", "bt 2"),
                   *ask("start", "tm-start"), "delete", "break puts", "continue", *ask("top", TOP), "kill"], attached)
    assert b"make_named" in session["where"]
    assert re.search(rb"blocks from before are unknown\. The program has run on to its next call of \w*malloc\.$", session["start"])
    assert by_function(session["top"])["make_named"] == (8000, 8), session.stderr


def test_through_gdbserver(attached):
    remote = f"target remote | {shutil.which('gdbserver')} --once - {attached} 0"
    session = gdb([remote, "break puts", "continue", *ask("start", "tm-start 12"), *ask("state", "tm-info -format json"), "kill"],
                  attached, early=FAST)
    assert b"up to 12 frames" in session["start"], session.stderr
    assert json.loads(session["state"])["state"] == "tracing"


# ------------------------------------------------------------------------------------------------------ errors

def refused(session, label="it"):
    """The one line of the error."""
    assert session[label] == b""
    lines = [line for line in session.stderr.decode().splitlines() 
             if not line.startswith("warning: ") and not line.endswith(".c: No such file or directory.")]
    assert len(lines) == 1 and "Traceback" not in lines[0], session.stderr.decode()
    return lines[0]


LOOP = "#include <stdio.h>\n#include <stdlib.h>\nint main(void)\n{\n    free(malloc(10));\n    puts(\"here\");\n    return 0;\n}\n"


def test_static_program(tmp_path):
    (tmp_path / "static.c").write_text(LOOP)
    program = harness.compile_program(tmp_path / "static.c", tmp_path / "static", "-static", "-g")
    for said in ("tm-start", "python tm.start()"):
        session = gdb(["python import tm", "break puts", "run", *ask("it", said), "kill"], program, early=FAST)
        assert "statically linked" in session.stderr.decode(), session.stderr.decode()
        assert session["it"] == b""
    assert "statically linked" in refused(gdb(["break puts", "run", *ask("it", "tm-start"), "kill"], program, early=FAST))


OWN = LOOP + """
static char memory[1 << 20];
static size_t used;
void *malloc(size_t size) { void *block = memory + used; used += (size + 15) & ~15ul; return block; }
void free(void *block) { (void)block; }
void *calloc(size_t count, size_t size) { return malloc(count * size); }
void *realloc(void *block, size_t size) { (void)block; return malloc(size); }
"""


def test_allocator_inside_the_program(tmp_path):
    (tmp_path / "own.c").write_text(OWN)
    program = harness.compile_program(tmp_path / "own.c", tmp_path / "own", "-g", "-fno-builtin")
    session = gdb(["break puts", "run", *ask("it", "tm-start"), *ask("after", "info sharedlibrary libtm"), "kill"], program, early=FAST)
    assert "the allocator is part of the program itself" in refused(session)
    assert b"No shared libraries matched" in session["after"]


def test_library_that_is_missing(attached, tmp_path):
    """The tracer is looked for beside the engine."""
    for part in ("lib/libcoreanalyze.so", "share/tm/gdb/tm-gdb.py"):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(harness.BUILD / part, tmp_path / part)
    shutil.copytree(harness.BUILD / "share/tm/python/tm", tmp_path / "share/tm/python/tm")
    commands = ["break puts", "run </dev/null", *ask("it", "tm-start"), "kill"]
    assert f"{tmp_path}/lib/libtm.so is missing" in refused(gdb(commands, attached, script=tmp_path / "share/tm/gdb/tm-gdb.py", early=FAST))
    (tmp_path / "lib/libtm.so").write_text("no library" * 100)
    message = refused(gdb(commands, attached, script=tmp_path / "share/tm/gdb/tm-gdb.py", early=FAST))
    assert "the process cannot load" in message and "invalid ELF header" in message


def test_core_of_an_untraced_program(attached, tmp_path):
    core = tmp_path / "core"
    gdb(["break puts", "run </dev/null", f"generate-core-file {core}", "kill"], attached, early=FAST)
    assert "a core file cannot be changed" in refused(gdb(ask("it", "tm-start"), attached, core, early=FAST))


# ---------------------------------------------------------------------------------------------- real programs

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.skipif(not (harness.have("redis-benchmark") and harness.have("redis-check-rdb")), reason="redis-tools is not installed")
def test_redis_under_load(tmp_path):
    """Tracing starts, stops and starts again under redis-benchmark, which ends at the first request that fails."""
    port = str(free_port())
    server = subprocess.Popen([harness.redis_server(tmp_path), "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir",
                               tmp_path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=harness.clean_environment())
    load = ["redis-benchmark", "-p", port, "-c", "20", "-t", "set,get,lpush", "-r", "1000", "--csv"]
    bench = None
    try:
        assert any("Ready to accept connections" in line for line in iter(server.stdout.readline, ""))
        bench = subprocess.Popen([*load, "-n", "2000", "-l"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert bench.stdout.readline().startswith('"test"')
        first = at(server, *ask("start", "tm-start"))
        bench.stdout.readline()
        found = at(server, *ask("top", TOP), *ask("info", "tm-info -format json"), "tm-stop")
        bench.stdout.readline()
        second = at(server, *ask("start", "tm-start"))
        out = "".join(bench.stdout.readline() for _ in range(3))
        assert bench.poll() is None, "redis-benchmark ends at the first error: " + out
        bench.kill()
        assert "rror" not in out + bench.stdout.read()
        assert b"Tracing from now on" in first["start"] and b"Tracing from now on" in second["start"], (first.stderr, second.stderr)
        assert json.loads(found["info"])["missed_frees"] == 0
        assert "createEmbeddedStringObject" in by_function(found["top"])
        counted = harness.run_ok([*load, "-n", "2000"]).stdout
        assert {line.split(",")[0] for line in counted.splitlines()} >= {'"SET"', '"GET"', '"LPUSH"'}
        stopped = at(server, "tm-top 1", "tm-stop")
        stats = harness.run_ok(["redis-cli", "-p", port, "info", "commandstats"]).stdout
        calls = {name: int(count) for name, count in re.findall(r"cmdstat_(\w+):calls=(\d+)", stats)}
        assert min(calls["set"], calls["get"], calls["lpush"]) >= 2000
        assert set(re.findall(r"(?:rejected_calls|failed_calls)=(\d+)", stats)) == {"0"}
        harness.run(["redis-cli", "-p", port, "shutdown", "nosave"])
        assert server.wait(30) == 0, stopped.stderr
    finally:
        for process in filter(None, (bench, server)):
            process.kill()
            process.wait()


IMPORTS = """
import sys
print("ready", flush=True)
sys.stdin.readline()
import zlib, _sqlite3, decimal, ctypes, array
held = [bytearray(7000 + i) for i in range(100)]
print(zlib.crc32(b"tm"), decimal.Decimal(2).sqrt(), flush=True)
sys.stdin.readline()
print(sum(map(len, held)), flush=True)
"""


def test_python(tmp_path):
    """Modules that python3 imports afterwards are traced, too, and its output is the same."""
    (tmp_path / "imports.py").write_text(IMPORTS)
    command = [shutil.which("python3", path="/usr/bin"), "-E", tmp_path / "imports.py"]
    expected = harness.run_ok(command, input="\n\n").stdout.splitlines()
    with running(*command) as program:
        assert program.answer() == "ready"
        assert b"Tracing from now on" in at(program, *ask("start", "tm-start 60"))["start"]
        program.process.stdin.write("\n")
        program.process.stdin.flush()
        assert program.answer() == expected[1]
        session = at(program, *ask("traces", "tm-traces -format json"), *ask("modules", "tm-info -format json"))
        sizes = [trace["size"] for trace in json.loads(session["traces"])["traces"]]
        assert sum(7000 <= size <= 7200 for size in sizes) >= 100
        paths = " ".join(module["path"] for module in json.loads(session["modules"])["modules"])
        assert "python3" in paths and ("_sqlite3" in paths or "_ctypes" in paths or "_decimal" in paths), paths
        out, err = program.process.communicate("\n", timeout=60)
        assert (program.process.returncode, out.split(), err) == (0, [expected[2]], "")
