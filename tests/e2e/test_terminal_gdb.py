"""The tm-* commands at GDB's terminal: its width and its styles; what coreanalyze shows at one that looks the same."""

import harness
import pytest
import terminal
from test_terminal import SOURCE, check_fitted

MARK = "---tm---"


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    directory = tmp_path_factory.mktemp("gdb") / "a-directory-with-a-long-name" / "and-another-one-in-it" / "and-one-more"
    directory.mkdir(parents=True)
    (directory / "things.cpp").write_text(SOURCE)
    program = harness.compile_program(directory / "things.cpp", directory / "things", "-g", "-O1")
    return program, harness.crash(harness.traced([program]), directory / "run")[1]


def ask(core, *commands, columns=80, environment=None):
    """What each of GDB's commands that begin with tm or python prints at a terminal; the others come between them."""
    words = ["gdb", "-q", "-nx", "-ex", f"source {harness.TM_GDB}", "-ex", "set pagination off"]
    for command in commands:
        asked = command.startswith(("tm", "python"))
        for line in (f"echo {MARK}", command, f"echo {MARK}") if asked else (command,):
            words += ["-ex", line]
    text = terminal.run([*words, "-ex", "quit", *core], columns, environment)
    return text.replace("\x1b[m", "").split(MARK)[1::2]  # which GDB ends its own styles with


def test_as_coreanalyze_at_such_a_terminal(core):
    expected = terminal.run([harness.COREANALYZE, "top", "--color", "never", core[1]])
    whole = harness.coreanalyze("top", core[1]).stdout
    at_80, at_70, unlimited, asked = ask(core, "set style enabled off", "tm-top", "set width 70", "tm-top", "set width 0",
                                         "tm-top", "set width 80", "tm-top -width 0")
    assert "…" in expected and at_80 == expected
    assert unlimited == asked == whole and check_fitted(at_70, whole, 70) > 0


def test_styles_are_those_of_gdb(core):
    styled, none, script = ask(core, "set width 0", "set style filename foreground yellow", "set style filename background none",
                               "set style filename intensity bold", "tm-top", "set style filename foreground none",
                               "set style filename intensity normal", "tm-top",
                               "python print(gdb.execute('tm-top', to_string=True), end='')")
    whole = harness.coreanalyze("top", core[1]).stdout
    assert terminal.plain(styled) == terminal.plain(none) == script == whole
    assert "things.cpp:" in styled.split("\x1b[1;33m")[1].split("\x1b")[0]
    assert next(line for line in none.splitlines() if "things.cpp" in line).startswith("/"), "a style that is none has no colour"
    assert "\x1b[36m97.7 KiB\x1b[0m" in none, "sizes are as GDB shows variables"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_styles(environment, core):
    assert ask(core, "set width 0", "tm-top", environment=environment) == [harness.coreanalyze("top", core[1]).stdout]
