"""tm-leaks and tm-refs say in GDB, of processes and cores, what coreanalyze says."""

import re

import harness
import pytest
from gdb_session import PRELOADED, ask, gdb

PROGRAMS = harness.PROGRAMS / "leaks"
QUESTIONS = [("leaks", "leaks -n 0"), ("json", "leaks -format json"), ("types", "top -by type"), ("lsan", "leaks -roots lsan -by lineno")]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    def build(name):
        return harness.compile_program(PROGRAMS / name, tmp_path_factory.mktemp(name.split(".")[0]) / "program", "-g", "-O1")
    return build


def coreanalyze(words, core, operand=()):
    command, *options = words.split()
    options = ["-" + word if re.match(r"-\w{2}", word) else word for word in options]
    result = harness.run([harness.COREANALYZE, command, *options, core, *operand], binary=True)
    assert result.returncode == 0, result
    return result.stdout.rstrip(b"\n")


@pytest.mark.parametrize("name", ["classes.cpp", "arenas.c", "tls.c", "ended.c"])
def test_core(name, program, tmp_path):
    built = program(name)
    _, core = harness.crash(harness.traced([built]), tmp_path / "run")
    session = gdb([line for label, words in QUESTIONS for line in ask(label, "tm-" + words)], built, core)
    for label, words in QUESTIONS:
        assert session[label] == coreanalyze(words, core), words


def test_process_and_its_core(program, tmp_path):
    """A live process, and the core that GDB writes of it at the same stop."""
    built, core = program("stack.c"), tmp_path / "live.core"
    questions = [line for label, words in QUESTIONS for line in ask(label, "tm-" + words)]
    session = gdb([*PRELOADED, "break abort", "run", "up 2", *ask("address", "output/x (long) block"), *questions,
                   *ask("refs", "tm-refs -chain block"), f"generate-core-file {core}"], built)
    for label, words in QUESTIONS:
        assert session[label] == coreanalyze(words, core), words
    assert session["refs"] == coreanalyze("refs -chain", core, [session["address"].decode()])
    assert b", in the frame of main, " in session["refs"], session.stderr
    assert b"Total leaked size: 32 B in 1 block" in session["leaks"]


def test_errors_and_completion(program):
    built = program("list.c")
    session = gdb([*ask("none", "tm-leaks"), *ask("words", "complete tm-leaks -roots "), *ask("options", "complete tm-refs -ch")], built)
    assert b"No process" in session.stderr
    assert session["words"].split(b"\n") == [b"tm-leaks -roots all", b"tm-leaks -roots lsan"]
    assert session["options"] == b"tm-refs -chain"


def test_suppressions(program, tmp_path):
    """The same file, the same answer; it is completed as a file; what is wrong with it is GDB's error."""
    built = program("list.c")
    _, core = harness.crash(harness.traced([built]), tmp_path / "run")
    (tmp_path / "known.supp").write_text("leak:^make$\n")
    (tmp_path / "bad.supp").write_text("leak:a\nmake\n")
    session = gdb([*ask("known", f"tm-leaks -suppressions {tmp_path}/known.supp"), *ask("words", f"complete tm-leaks -suppressions {tmp_path}/kn"),
                   *ask("bad", f"tm-leaks --suppressions {tmp_path}/bad.supp")], built, core)
    assert session["known"] == coreanalyze(f"leaks --suppressions {tmp_path}/known.supp", core)
    assert b"     10        240 make\n" not in session["known"] and b"     10        240 ^make$\n" in session["known"]
    assert session["words"] == f"tm-leaks -suppressions {tmp_path}/known.supp".encode()
    assert f"tm-leaks: {tmp_path}/bad.supp:2: 'make' is no suppression".encode() in session.stderr
