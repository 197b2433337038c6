"""The tm-* commands in real GDB sessions: live processes, their cores, errors, completion, Ctrl-C, stale
data."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

import harness
import test_report
from gdb_session import PRELOADED, ask, gdb

PROGRAM = "stops.c"

# Every command whose text must be the same wherever it is asked
QUESTIONS = {
    "top": ("tm-top", ["top"]),
    "top-0": ("tm-top 0", ["top", "-n", "0"]),
    "traceback": ("tm-top -by traceback 3 --nframe=16", ["top", "--by", "traceback", "-n", "3", "--nframe=16"]),
    "function": ("tm top -by function", ["top", "--by", "function"]),
    "filter": ('tm-top -include "*/stops.c" -all-frames', ["top", "--include", "*/stops.c", "--all-frames"]),
    "json": ("tm-top -format json", ["top", "--format", "json"]),
    "info": ("tm-info", ["info"]),
    "report": ("tm-report", ["report"]),
    "traces": ("tm-traces -format json", ["traces", "--format", "json"]),
    "blocks": ("tm-blocks -n 5 -sort address", ["blocks", "-n", "5", "--sort", "address"]),
}


def ask_all(suffix=""):
    return [line for label, (command, _) in QUESTIONS.items() for line in ask(label + suffix, command)]


def answers_of_core(core):
    """What coreanalyze prints of a core to each question, as bytes."""
    answers = {}
    for label, (_, arguments) in QUESTIONS.items():
        command, *options = arguments
        result = harness.run([harness.COREANALYZE, command, *options, core], binary=True)
        assert result.returncode == 0, f"{label}: {result.stderr.decode()}"
        answers[label] = result.stdout
    return answers


def agree(live, core_file, program):
    """Asserts that GDB live, GDB on the core and coreanalyze on the core print the same bytes."""
    expected = answers_of_core(core_file)
    dead = gdb(ask_all(), program, core_file)
    for label, answer in expected.items():
        assert dead[label] + b"\n" == answer, f"{label}: GDB on the core and coreanalyze differ\n{dead.stderr.decode()}"
        assert live[label] + b"\n" == answer, f"{label}: GDB on the process and coreanalyze differ\n{live.stderr.decode()}"
    return expected


# ----------------------------------------------------------------------------------------------- same answers

def test_breakpoint(program, tmp_path):
    core = tmp_path / "core"
    live = gdb([*PRELOADED, "break checkpoint", "run", *ask_all(), f"generate-core-file {core}"], program(PROGRAM))
    answers = agree(live, core, program(PROGRAM))
    assert b"size=19.5 KiB, count=20, average=1000 B" in answers["top"]
    assert json.loads(answers["json"])["statistics"][0]["size"] == 20000


def test_threads_and_a_crash(program, tmp_path):
    core = tmp_path / "core"
    live = gdb([*PRELOADED, "run crash", *ask_all(), "thread 1", "frame 1", *ask_all("-main"),
                f"generate-core-file {core}"], program(PROGRAM))
    assert b"SIGSEGV" in live.stdout
    answers = agree(live, core, program(PROGRAM))
    assert b"SIGSEGV" in answers["report"]
    for label in QUESTIONS:
        assert live[label + "-main"] == live[label], f"{label}: another thread was selected, and the answer has changed"


def test_kernel_core(program, tmp_path):
    result, core = harness.crash(harness.traced([program(PROGRAM), "crash", "an argument"]), tmp_path)
    assert result.returncode < 0
    expected = answers_of_core(core)
    dead = gdb(ask_all(), program(PROGRAM), core)
    for label, answer in expected.items():
        assert dead[label] + b"\n" == answer, label
    assert str(program(PROGRAM)).encode() in expected["report"]


def test_exec_wrapper_and_traceback_limit(program, tmp_path):
    core = tmp_path / "core"
    live = gdb([f"set exec-wrapper {harness.TM_RUN} -n 2 --", "break checkpoint", "run", "continue",
                *ask_all(), f"generate-core-file {core}"], program(PROGRAM))
    answers = agree(live, core, program(PROGRAM))
    traces = json.loads(answers["traces"])
    assert traces["traceback_limit"] == 2
    assert any(trace["size"] == 4096 for trace in traces["traces"])


WORKLOAD = """
create table t(a, b);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 3000) insert into t select x, hex(randomblob(30)) from c;
create index i on t(b);
select count(*) from t;
"""


def test_stripped_sqlite3(tmp_path):
    """Debian's own, without debug information, where it prints its result."""
    sqlite3, core = shutil.which("sqlite3"), tmp_path / "core"
    (tmp_path / "workload").write_text(WORKLOAD)
    live = gdb([*PRELOADED, "set breakpoint pending on", "break write", f"run :memory: <{tmp_path}/workload", *ask_all(),
                f"generate-core-file {core}"], sqlite3)
    answers = agree(live, core, sqlite3)
    assert sum(item["size"] for item in json.loads(answers["traces"])["traces"]) > 300000
    assert b"sqlite3_step" in answers["traceback"]


def test_attached_process(program, tmp_path):
    core = tmp_path / "core"
    process = subprocess.Popen(list(map(str, harness.traced([program(PROGRAM), "wait"]))), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env=harness.clean_environment())
    try:
        assert process.stdout.readline() == b"waiting\n"
        live = gdb([*ask_all(), f"generate-core-file {core}", "detach"], "-p", process.pid)
        agree(live, core, program(PROGRAM))
        out, _ = process.communicate(b"\n", timeout=harness.TIMEOUT)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(not harness.have("gdbserver"), reason="gdbserver is not installed")
def test_gdbserver(program):
    remote = (f"target remote | {shutil.which('gdbserver')} --wrapper env LD_PRELOAD={harness.LIBTM} -- - "
              f"{program(PROGRAM)}")
    server = gdb([remote, "break checkpoint", "continue", *ask_all()], program(PROGRAM))
    live = gdb([*PRELOADED, "break checkpoint", "run", *ask_all()], program(PROGRAM))
    for label in QUESTIONS.keys() - {"report", "info"}:  # they name the process
        assert re.sub(rb"0x[0-9a-f]+", b"", server[label]) == re.sub(rb"0x[0-9a-f]+", b"", live[label]), label


def test_source_map_and_sysroot_of_gdb(program):
    source = harness.PROGRAMS
    session = gdb([*PRELOADED, "break checkpoint", "run", f"set substitute-path {source} /elsewhere", *ask("map", "tm-top"),
                   "unset substitute-path", *ask("none", "tm-top"), "set sysroot /nonexistent", *ask("sysroot", "tm-top")],
                  program(PROGRAM), input=b"y\n")
    assert b"/elsewhere/stops.c:" in session["map"]
    assert f"{source}/stops.c:".encode() in session["none"]
    assert b"stops.c:" not in session["sysroot"]


# ---------------------------------------------------------------------------------------------- fresh answers

def sizes(answer):
    """{lineno: size} of tm-top -format json, of the test program's own lines."""
    lines = {}
    for statistic in json.loads(answer)["statistics"]:
        frame = statistic["traceback"][-1]
        if frame["filename"].endswith("/stops.c"):
            lines[frame["function"]] = statistic["size"]
    return lines


def test_never_stale(program):
    top = "tm-top 0 -format json"
    session = gdb([*PRELOADED, "break checkpoint", "run", *ask("1", top), *ask("1-again", top), "continue", *ask("2", top),
                   "continue", *ask("3", top), "kill", *ask("killed", top), "run", *ask("new", top)], program(PROGRAM))
    assert sizes(session["1"]) == {"make_row": 20000}
    assert session["1-again"] == session["1"]
    assert sizes(session["2"]) == {"make_row": 20000, "make_table": 20480}
    assert sizes(session["3"]) == {"make_table": 20480}
    assert session["killed"] == b""
    assert b"No process: run a program or load a core file first." in session.stderr
    assert sizes(session["new"]) == {"make_row": 20000}


def test_stale_after_a_called_function_and_another_core(program, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    top = "tm-top 0 -format json"
    live = gdb([*PRELOADED, "break checkpoint", "run", *ask("before", top), "call drop_row(0)", *ask("after", top),
                f"generate-core-file {first}", "continue", f"generate-core-file {second}"], program(PROGRAM))
    assert sizes(live["before"]) == {"make_row": 20000}
    assert sizes(live["after"]) == {"make_row": 19000}
    dead = gdb([f"core-file {first}", *ask("first", top), f"core-file {second}", *ask("second", top)], program(PROGRAM))
    assert sizes(dead["first"]) == {"make_row": 19000}
    assert sizes(dead["second"]) == {"make_row": 19000, "make_table": 20480}


def test_two_inferiors(program):
    top = "tm-top 0 -format json"
    session = gdb([*PRELOADED, "break checkpoint", "run", "add-inferior", "inferior 2", f"file {program(PROGRAM)}", *PRELOADED,
                   "run", "continue", *ask("second", top), "inferior 1", *ask("first", top)], program(PROGRAM))
    assert sizes(session["first"]) == {"make_row": 20000}
    assert sizes(session["second"]) == {"make_row": 20000, "make_table": 20480}


def test_selection_is_kept(program):
    session = gdb([*PRELOADED, "run crash", "thread 1", "frame 2", *ask("before", "frame"), "tm-report", "tm-top", "tm-info",
                   *ask("after", "frame"), *ask("thread", "thread")], program(PROGRAM))
    assert session["before"] == session["after"] != b""
    assert b"Current thread is 1 " in session["thread"]


# ---------------------------------------------------------------------------------------------------- control

def state(session, label):
    """{"size": ..., "tracing": ..., ...} that FACTS printed."""
    return dict(item.split("=") for item in session[label].decode().split())


FACTS = ("python import tm; print('tracing=%s limit=%s current=%s peak=%s' % "
         "(tm.is_tracing(), tm.get_traceback_limit(), *tm.get_traced_memory()))")


def test_control(program):
    """Each command is obeyed, readers show it at once, and the program goes on to allocate and free as it is
    then traced."""
    top = "tm-top 0 -format json"
    session = gdb([*PRELOADED, "set environment TRACEMALLOC 0", "break main", "break checkpoint", "run", *ask("off", FACTS),
                   *ask("nothing", "tm-clear"), "tm-start 7", *ask("on", FACTS), *ask("again", "tm-start"), "continue",
                   *ask("1", FACTS), *ask("rows", top), "tm-clear", *ask("cleared", FACTS), *ask("empty", top), "continue",
                   *ask("tables", top), *ask("2", FACTS), "tm-reset-peak", *ask("reset", FACTS), "continue", "tm-stop",
                   *ask("stopped", FACTS)], program(PROGRAM))
    assert state(session, "off")["tracing"] == "False"
    assert session["nothing"] == b"Not tracing: nothing to do. tm-start starts it."
    assert state(session, "on") == {"tracing": "True", "limit": "7", "current": "0", "peak": "0"}
    assert session["again"] == b"Tracing already, up to 7 frames."
    assert state(session, "1") == {"tracing": "True", "limit": "7", "current": "20000", "peak": "20000"}
    assert sizes(session["rows"]) == {"make_row": 20000}
    assert state(session, "cleared") == {"tracing": "True", "limit": "7", "current": "0", "peak": "0"}
    assert sizes(session["empty"]) == {}
    assert sizes(session["tables"]) == {"make_table": 20480}
    assert state(session, "2") == state(session, "reset") and int(state(session, "2")["current"]) >= 20480
    assert state(session, "stopped")["tracing"] == "False"


IN_PYTHON = {"tm-start 5": "start(5)", "tm-start 7": "start(7)", "tm-start 9": "start(9)", "tm-stop": "stop()",
             "tm-clear": "clear_traces()", "tm-reset-peak": "reset_peak()"}

IN_BOTH = pytest.mark.parametrize("said", [lambda command: command, lambda command: f"python tm.{IN_PYTHON[command]}"],
                                  ids=["command", "python"])


@IN_BOTH
@pytest.mark.parametrize("commands", [["tm-clear", "tm-reset-peak"], ["tm-reset-peak", "tm-clear"]], ids=" ".join)
def test_control_twice_at_a_stop_clears(program, commands, said):
    session = gdb([*PRELOADED, "python import tm", "break checkpoint", "run", *map(said, commands), *ask("now", FACTS), "continue",
                   *ask("rows", "tm-top 0 -format json"), *ask("later", FACTS)], program(PROGRAM))
    assert state(session, "now")["current"] == state(session, "now")["peak"] == "0"
    assert sizes(session["rows"]) == {"make_table": 20480}
    assert state(session, "later")["tracing"] == "True"


@IN_BOTH
@pytest.mark.parametrize("commands", [["tm-clear", "tm-stop"], ["tm-reset-peak", "tm-stop"], ["tm-stop", "tm-clear"],
                                      ["tm-stop", "tm-reset-peak"], ["tm-stop", "tm-stop"]], ids=" ".join)
def test_control_twice_at_a_stop_stops(program, commands, said):
    session = gdb([*PRELOADED, "python import tm", "break checkpoint", "run", *map(said, commands), *ask("now", FACTS), "continue",
                   *ask("later", FACTS)], program(PROGRAM))
    assert session.stderr == b""
    assert state(session, "now")["tracing"] == state(session, "later")["tracing"] == "False"


@IN_BOTH
@pytest.mark.parametrize("commands, limit", [
    (["tm-start 7", "tm-clear"], "7"), (["tm-start 7", "tm-reset-peak"], "7"), (["tm-start 7", "tm-stop"], None),
    (["tm-start 7", "tm-stop", "tm-start 9"], "9"), (["tm-start 7", "tm-start 9"], "7"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_control_after_a_start(program, commands, limit, said):
    """limit: of the tracing that begins, None = none does."""
    session = gdb([*PRELOADED, "set environment TRACEMALLOC 0", "python import tm", "break main", "break checkpoint", "run",
                   *map(said, commands), *ask("now", FACTS), "continue", *ask("later", FACTS)], program(PROGRAM))
    tracing = str(limit is not None)
    assert state(session, "now")["tracing"] == state(session, "later")["tracing"] == tracing
    if limit:
        assert state(session, "now")["limit"] == state(session, "later")["limit"] == limit
        assert state(session, "later")["current"] == "20000"


@IN_BOTH
def test_start_after_a_stop_that_is_not_obeyed_yet(program, said):
    session = gdb([*PRELOADED, "python import tm", "break checkpoint", "run", said("tm-stop"), *ask("refused", said("tm-start 5")),
                   *ask("now", FACTS), "continue", *ask("later", FACTS), *ask("on", said("tm-start 5")), *ask("again", FACTS)],
                  program(PROGRAM))
    assert session["refused"] == b""
    assert session.stderr.count(b"the stop is obeyed when the program runs next: continue first, then start again") == 1
    assert state(session, "now")["tracing"] == state(session, "later")["tracing"] == "False"
    assert state(session, "again")["tracing"] == "True" and state(session, "again")["limit"] == "5"


@pytest.mark.parametrize("command", ["tm-start 5", "tm-stop", "tm-clear", "tm-reset-peak"])
@IN_BOTH
def test_control_of_a_core_that_was_traced(program, tmp_path, command, said):
    core = tmp_path / "core"
    gdb([*PRELOADED, "break checkpoint", "run", f"generate-core-file {core}"], program(PROGRAM))
    dead = gdb(["python import tm", *ask("it", said(command)), *ask("after", FACTS)], program(PROGRAM), core)
    assert dead["it"] == b"" and b"a core file cannot be changed: its process is gone" in dead.stderr
    assert state(dead, "after")["current"] == "20000"


def test_control_without_a_process(program):
    commands = [line for label, call in enumerate(("stop", "clear_traces", "reset_peak"))
                for line in ask(str(label), f"python tm.{call}()")]
    assert gdb(["python import tm", *commands], program(PROGRAM)).stderr == b""


@pytest.mark.parametrize("command", ["tm-start", "tm-stop", "tm-clear", "tm-reset-peak"])
def test_control_of_what_cannot_be_changed(program, tmp_path, command):
    core = tmp_path / "core"
    off = ["set environment TRACEMALLOC 0"] if command == "tm-start" else []
    gdb([*PRELOADED, *off, "break checkpoint", "run", f"generate-core-file {core}"], program(PROGRAM))
    dead = gdb([*ask("it", command)], program(PROGRAM), core)
    assert dead["it"] == b"" and b"a core file cannot be changed: its process is gone" in dead.stderr
    assert len([line for line in dead.stderr.splitlines() if not line.startswith(b"warning:")]) == 1
    if command != "tm-start":  # which loads one
        untraced = gdb(["break checkpoint", "run", *ask("it", command)], program(PROGRAM))
        assert untraced["it"] == b"" and b"no tm tracer found" in untraced.stderr


@pytest.mark.parametrize("argument", ["0", "65536", "70000", "-1", "nonsense", "7 7"])
def test_control_usage(program, argument):
    session = gdb([*PRELOADED, "set environment TRACEMALLOC 0", "break checkpoint", "run", *ask("it", f"tm-start {argument}"),
                   *ask("after", FACTS)], program(PROGRAM))
    assert session["it"] == b"" and session.stderr.count(b"the number of frames must be in range [1; 65535]") == 1
    assert b"Traceback" not in session.stderr and state(session, "after")["tracing"] == "False"
    traced = gdb([*PRELOADED, "break checkpoint", "run", *ask("it", f"tm-start {argument}")], program(PROGRAM))
    assert traced["it"] == b"" and traced.stderr == session.stderr


# ---------------------------------------------------------------------------------------------------- errors

@pytest.mark.parametrize("command, message", [
    ("tm-top --by nonsense", "'nonsense' is none of"),
    ("tm-top --nonsense", "unknown option '--nonsense'"),
    ("tm-top 5 6", "6"),
    ("tm-info 5", "5"),
    ("tm-top -n", "needs an argument"),
    ("tm nonsense", 'Undefined tm command: "nonsense". Try "help tm".'),
])
def test_usage(program, command, message):
    session = gdb([*PRELOADED, "break checkpoint", "run", *ask("it", command), *ask("next", "tm-top 1")], program(PROGRAM))
    stderr = session.stderr.decode()
    assert session["it"] == b"" and stderr.count(message) == 1, stderr
    assert "Traceback" not in stderr and "coreanalyze" not in stderr
    assert b"Top 1" in session["next"]


def test_an_error_ends_a_script(program, tmp_path):
    script = tmp_path / "script"
    script.write_text("tm-top --nonsense\necho after\\n\n")
    assert b"after" not in gdb([f"source {script}"], program(PROGRAM)).stdout


@pytest.mark.parametrize("command", ["tm-top", "tm-info", "tm-report", "tm-traces", "tm-blocks", "tm-block 1"])
def test_no_process_and_no_tracer(program, command):
    session = gdb([*ask("none", command), "break checkpoint", "run", *ask("untraced", command)], program(PROGRAM))
    assert session["none"] == session["untraced"] == b""
    first, second = session.stderr.decode().split("\n", 1)
    assert first == "No process: run a program or load a core file first."
    assert "tracer" in second and "Traceback" not in second


def test_engine_not_built(program, tmp_path):
    shutil.copytree(harness.REPO / "gdb", tmp_path / "gdb")
    session = gdb(["tm-top", "break checkpoint", "run", "tm-top"], program(PROGRAM), script=tmp_path / "gdb" / "tm-gdb.py")
    assert f"the engine is not built: no {tmp_path}/build/lib/libcoreanalyze.so; run make" in session.stderr.decode()


# ---------------------------------------------------------------------------------------------------- loading

def test_from_a_checkout(program, tmp_path):
    shutil.copytree(harness.REPO / "gdb", tmp_path / "gdb", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "build").symlink_to(harness.BUILD)
    session = gdb([*PRELOADED, "break checkpoint", "run", *ask("top", "tm-top")], program(PROGRAM),
                  script=tmp_path / "gdb" / "tm-gdb.py")
    assert b"count=20" in session["top"]


def test_from_any_prefix_relative_and_twice(program, tmp_path):
    prefix = tmp_path / "a prefix"
    for part in ("lib/libcoreanalyze.so", "share/tm/gdb/tm-gdb.py"):
        (prefix / part).parent.mkdir(parents=True)
        shutil.copy(harness.BUILD / part, prefix / part)
    shutil.copytree(harness.BUILD / "share/tm/python/tm", prefix / "share/tm/python/tm")
    session = gdb([*PRELOADED, "source share/tm/gdb/tm-gdb.py", "cd /", "source ./" + os.path.relpath(prefix, "/") +
                   "/share/tm/gdb/tm-gdb.py", "break checkpoint", "run", *ask("top", "tm-top")], program(PROGRAM),
                  script=None, cwd=prefix)
    assert b"count=20" in session["top"], session.stderr


def test_auto_load(program, tmp_path):
    """As after `make install PREFIX=/usr`, with another prefix put on GDB's auto-load path."""
    data = harness.BUILD / "share" / "gdb" / "auto-load"
    early = [f"add-auto-load-scripts-directory {data}", f"add-auto-load-safe-path {data}"]
    session = gdb([*PRELOADED, "break checkpoint", "run", *ask("top", "tm-top")], program(PROGRAM), script=None, early=early)
    assert b"count=20" in session["top"], session.stderr


# ------------------------------------------------------------------------------------------- help, completion

def test_help():
    session = gdb([*ask("tm", "help tm"), *ask("bare", "tm"), *ask("top", "help tm-top"), *ask("engine", "tm-top --help")])
    for command in ("tm top -- ", "tm info -- ", "tm report -- ", "tm traces -- "):
        assert command.encode() in session["tm"]
    assert session["bare"] == session["tm"]
    assert b"Usage: tm-top [N] [OPTION...]" in session["top"]
    expected = harness.coreanalyze("top", "--help").stdout
    assert b"--include" in session["engine"] and "--include" in expected


def test_every_command_documents_itself():
    listing = "python print(*(repr((c.name, c.__doc__)) for c in gdb_commands.COMMANDS), sep='\\n')"
    session = gdb(["python from tm import gdb_commands", *ask("docs", listing)])
    documents = [eval(line) for line in session["docs"].decode().splitlines()]
    assert len(documents) >= 4
    for name, document in documents:
        first, blank, usage, *rest = document.splitlines()
        assert first.endswith(".") and not blank and usage.startswith(f"Usage: tm-{name}"), document
        assert any(line.startswith("Example") for line in rest), document
        for line in document.splitlines():
            assert len(line) <= 110


def completions(*texts):
    session = gdb([line for number, text in enumerate(texts) for line in ask(str(number), f"complete {text}")])
    return [session[str(number)].decode().splitlines() for number in range(len(texts))]


def test_completion_of_options():
    by, dashes, gdb_style, short, nothing, report = completions(
        "tm-top --b", "tm-top --", "tm-top -b", "tm-top -by lineno --no-", "tm-top x", "tm report -by mod")
    assert by == ["tm-top --by"]
    assert gdb_style == ["tm-top -by"]
    assert short == ["tm-top -by lineno --no-skip", "tm-top -by lineno --no-source"]
    assert nothing == []
    assert report == ["tm report -by module"]
    words = set(re.findall(r"(--[a-z-]+)", harness.coreanalyze("top", "--help").stdout))
    assert {line.split()[-1] for line in dashes} <= words
    assert {"--by", "--include", "--exclude-domain", "--format", "--output"} <= {line.split()[-1] for line in dashes}


def test_completion_of_values(tmp_path):
    (tmp_path / "known.json").touch()
    keys, one, equals, formats, info_formats, file = completions(
        "tm-top --by ", "tm-top -by file", "tm-top --by=th", "tm-top -format ", "tm-info -format ",
        f"tm-top -o {tmp_path}/know")
    prefix = "tm-top --by "
    assert keys == [prefix + key for key in ("domain", "filename", "function", "lineno", "module", "source", "thread", "traceback", "type")]
    assert one == ["tm-top -by filename"]
    assert equals == ["tm-top --by=thread"]
    assert {line.split()[-1] for line in formats} >= {"text", "json", "csv", "folded"}
    assert [line.split()[-1] for line in info_formats] == ["json", "text"]
    assert file == [f"tm-top -o {tmp_path}/known.json"]


# ----------------------------------------------------------------------------------------- Ctrl-C, exceptions

INTERRUPT = """
import os, signal
from tm import gdb_inferior
real = gdb_inferior.read_memory
def interrupted(*arguments):
    os.kill(os.getpid(), signal.SIGINT)
    return real(*arguments)
def broken(*arguments):
    raise TypeError("a mistake in the test")
"""


def python(tmp_path, text):
    script = tmp_path / "script.py"
    script.write_text(text)
    return f"source {script}"


def test_interrupt(program, tmp_path):
    session = gdb([python(tmp_path, INTERRUPT), *PRELOADED, "break checkpoint", "run", *ask("plain", "tm-top"),
                   "python gdb_inferior.invalidate_all()", "python gdb_inferior.read_memory = interrupted",
                   *ask("quit", "tm-top"), "python gdb_inferior.read_memory = real", *ask("again", "tm-top")],
                  program(PROGRAM))
    assert session["quit"] == b"", session.stderr
    assert session.stderr.splitlines() == [b"Quit"]
    assert session["again"] == session["plain"] != b""


PENDING = """
import ctypes
from tm import engine, gdb_inferior
real = engine._Callbacks
def pending(context, read_memory, describe_process, *others):
    '''Instead of describing the process: what GDB does at Ctrl-C while the engine computes.'''
    return real(context, read_memory, ctypes.cast(ctypes.pythonapi.PyErr_SetInterrupt, engine._DESCRIBE), *others)
"""


def test_interrupt_between_callbacks(program, tmp_path):
    """Python then raises KeyboardInterrupt before the first instruction of the next callback."""
    session = gdb([python(tmp_path, PENDING), *PRELOADED, "break checkpoint", "run", "python engine._Callbacks = pending",
                   *ask("quit", "tm-info"), "python engine._Callbacks = real",
                   "python gdb_inferior.forget(gdb.selected_inferior())", *ask("again", "tm-top")], program(PROGRAM))
    assert session["quit"] == b"", session.stderr
    assert session.stderr.splitlines() == [b"Quit"]
    assert b"count=20" in session["again"]


def test_a_mistake_in_a_callback_is_seen(program, tmp_path):
    session = gdb([python(tmp_path, INTERRUPT), *PRELOADED, "break checkpoint", "run",
                   "python gdb_inferior.read_memory = broken", *ask("broken", "tm-top"),
                   "python gdb_inferior.read_memory = real", *ask("again", "tm-top")], program(PROGRAM))
    assert session["broken"] == b"" and b"a mistake in the test" in session.stderr
    assert b"count=20" in session["again"]


def test_quit_in_the_pager(program, tmp_path):
    """The user answers q to the pager's question in the middle of the answer."""
    text = "import gdb\nwrite = gdb.write\ndef quit(*arguments):\n    raise KeyboardInterrupt\n"
    session = gdb([python(tmp_path, text), *PRELOADED, "break checkpoint", "run", "python gdb.write = quit",
                   *ask("quit", "tm-top"), "python gdb.write = write", *ask("again", "tm-top")], program(PROGRAM))
    assert session["quit"] == b"" and b"Quit" in session.stderr
    assert b"count=20" in session["again"]


# ---------------------------------------------------------------------------------------------------- Python

def test_python_api_in_gdb(program, tmp_path):
    core = tmp_path / "core"
    text = """
import tm as tracemalloc
snapshot = tracemalloc.take_snapshot()
print("top", str(snapshot.statistics("lineno")[0]))
print("traces", len(snapshot.traces), sum(trace.size for trace in snapshot.traces))
print("memory", *tracemalloc.get_traced_memory())
print("limit", tracemalloc.get_traceback_limit(), tracemalloc.is_tracing())
traceback = tracemalloc.get_object_traceback(gdb.parse_and_eval("rows[0]"))
print("object", traceback, [frame.lineno for frame in traceback if frame.filename.endswith("stops.c")])
print("inside", tracemalloc.get_object_traceback(int(gdb.parse_and_eval("rows[0]")) + 8))
print("own", tracemalloc.get_tracemalloc_memory() > 0)
"""
    script = python(tmp_path, text)
    live = gdb([*PRELOADED, "break checkpoint", "run", *ask("api", script), f"generate-core-file {core}"], program(PROGRAM))
    facts = dict(line.split(" ", 1) for line in live["api"].decode().splitlines())
    where = f"{harness.PROGRAMS}/{PROGRAM}:"
    assert re.fullmatch(re.escape(where) + r"\d+: size=19\.5 KiB, count=20, average=1000 B", facts["top"])
    count, total = map(int, facts["traces"].split())
    current, peak = map(int, facts["memory"].split())
    assert total == current <= peak and count >= 20
    assert facts["limit"] == "25 True" and facts["own"] == "True"
    assert facts["object"].endswith(f"[{line_of('= make_row(ROW_BYTES)')}, {line_of('= malloc(size)')}]")
    assert facts["inside"] == "None"
    dead = gdb([*ask("api", script)], program(PROGRAM), core)
    assert dead["api"] == live["api"]

    outside = f"""
import sys
sys.path.insert(0, {str(harness.BUILD / 'share/tm/python')!r})
import tm
with tm.open({str(core)!r}):
    snapshot = tm.take_snapshot()
    print("top", str(snapshot.statistics("lineno")[0]))
    print("memory", *tm.get_traced_memory())
print(tm.is_tracing())
"""
    out = harness.run_ok([sys.executable, "-c", outside]).stdout
    assert out.splitlines() == [f"top {facts['top']}", f"memory {facts['memory']}", "False"]


RECIPES = """
import linecache
import os
import tm as tracemalloc

def run_application():
    gdb.execute("continue")

def display_top(snapshot, key_type="lineno", limit=10):
    snapshot = snapshot.filter_traces((tracemalloc.Filter(False, "<frozen importlib._bootstrap>"),
                                       tracemalloc.Filter(False, "<unknown>")))
    statistics = snapshot.statistics(key_type)
    print("Top %s lines" % limit)
    for number, statistic in enumerate(statistics[:limit], 1):
        frame = statistic.traceback[0]
        print("#%s: %s:%s: %.1f KiB" % (number, frame.filename, frame.lineno, statistic.size / 1024))
        line = linecache.getline(frame.filename, frame.lineno).strip()
        if line:
            print("    %s" % line)
    others = statistics[limit:]
    if others:
        print("%s other: %.1f KiB" % (len(others), sum(statistic.size for statistic in others) / 1024))
    print("Total allocated size: %.1f KiB" % (sum(statistic.size for statistic in statistics) / 1024))

tracemalloc.start(25)
run_application()
before = tracemalloc.take_snapshot()
print("[ Top 10 ]")
for statistic in before.statistics("lineno")[:10]:
    print(statistic)
first_size, first_peak = tracemalloc.get_traced_memory()
tracemalloc.reset_peak()
run_application()
after = tracemalloc.take_snapshot()
print("[ Top 10 differences ]")
for statistic in after.compare_to(before, "lineno")[:10]:
    print(statistic)
biggest = after.statistics("traceback")[0]
print("%s memory blocks: %.1f KiB" % (biggest.count, biggest.size / 1024))
for line in biggest.traceback.format():
    print(line)
display_top(after, limit=1)
run_application()
tracemalloc.reset_peak()
print("peak", first_size, first_peak, *tracemalloc.get_traced_memory())
"""


def test_recipes_of_tracemalloc(program, tmp_path):
    """What tracemalloc's documentation shows its users, in GDB with `import tm as tracemalloc`."""
    session = gdb([*PRELOADED, "set environment TRACEMALLOC 0", "break main", "break checkpoint", "run",
                   *ask("recipes", python(tmp_path, RECIPES))], program(PROGRAM))
    out = session["recipes"].decode()
    path, row, table = harness.PROGRAMS / PROGRAM, line_of("= malloc(size)"), line_of("= calloc(1, size)")
    assert f"[ Top 10 ]\n{path}:{row}: size=19.5 KiB, count=20, average=1000 B\n" in out
    assert (f"[ Top 10 differences ]\n{path}:{table}: size=20.0 KiB (+20.0 KiB), count=5 (+5), average=4096 B\n") in out
    assert "5 memory blocks: 20.0 KiB\n" in out
    assert f'  File "{path}", line {table}\n    void *table = calloc(1, size);\nTop 1 lines\n' in out
    assert f"#1: {path}:{table}: 20.0 KiB\n    void *table = calloc(1, size);\n2 other: " in out
    first_size, first_peak, last_size, last_peak = map(int, re.search(r"^peak (.*)$", out, re.MULTILINE).group(1).split())
    assert (first_size, first_peak) == (20000, 20000) and last_size == last_peak < 40480


def line_of(text):
    """Number of the test program's line that holds this text."""
    lines = (harness.PROGRAMS / PROGRAM).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_report_of_a_crash_in_a_library_without_recorded_frames(tmp_path):
    """GDB's list of mapped files names it as the core's own does."""
    program = test_report.build(tmp_path, test_report.CRASH_IN_LIBRARY, "-lz")
    _, core = harness.crash(harness.traced([program]), tmp_path / "run")
    report = harness.coreanalyze(core).stdout
    assert "libz.so" in report
    assert harness.gdb([f"core-file {core}", "tm-report"], program).stdout.endswith(report)
