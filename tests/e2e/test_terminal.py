"""What coreanalyze shows at a terminal: colours, lines that fit, progress; and that nothing of it is anywhere else."""

import re
import subprocess

import harness
import pytest
import terminal
from harness import COREANALYZE, coreanalyze

SOURCE = """
#include <cstdlib>
#include <string>
#include <vector>

namespace warehouse_of_things_with_long_names {
template <typename Key, typename Value> struct __attribute__((noinline)) associative_container_of_the_project {
    std::vector<Value *> values;
    __attribute__((noinline)) void add_one_more_value_to_the_container(size_t size)
    {
        void *value = std::calloc(1, size); // 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789
        values.push_back(static_cast<Value *>(value));
    }
};
}

warehouse_of_things_with_long_names::associative_container_of_the_project<std::vector<std::vector<int>>, std::string> things;

int main(int argc, char **)
{
    for (int i = 0; i < 100 * argc; i++) {
        things.add_one_more_value_to_the_container(1000);
    }
    std::abort();
}
"""
COLORS = {"file": "35", "function": "33", "size": "36", "growth": "31", "shrink": "32", "title": "1", "note": "2"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("terminal") / "a-directory-with-a-long-name" / "and-another-one-in-it" / "and-one-more"
    path.mkdir(parents=True)
    return path


@pytest.fixture(scope="module")
def program(directory):
    (directory / "things.cpp").write_text(SOURCE)
    return harness.compile_program(directory / "things.cpp", directory / "things", "-g", "-O1")


@pytest.fixture(scope="module")
def core(program, directory):
    return harness.crash(harness.traced([program]), directory / "run")[1]


@pytest.fixture(scope="module")
def larger(program, directory):
    """A core of a run that held twice as much."""
    return harness.crash(harness.traced([program, "more"]), directory / "larger")[1]


# ------------------------------------------------------------------------------------------------------------ colours

def colored(text, what):
    """The pieces of that colour."""
    return re.findall(r"\x1b\[%sm(.*?)\x1b\[0m" % COLORS[what], text)


def test_colors_of_top(core, directory):
    text = terminal.run([COREANALYZE, "top", "--width", "0", core])
    assert terminal.plain(text) == coreanalyze("top", core).stdout
    line = SOURCE.splitlines().index(next(line for line in SOURCE.splitlines() if "std::calloc" in line)) + 1
    assert f"{directory}/things.cpp:{line}" in colored(text, "file") and "97.7 KiB" in colored(text, "size")
    assert colored(text, "title") == ["[ Top 10 ]"]
    assert any(note.startswith("void *value = std::calloc(") for note in colored(text, "note"))
    by_function = terminal.run([COREANALYZE, "top", "--width", "0", "--by", "function", core])
    assert any("add_one_more_value" in name for name in colored(by_function, "function"))


def test_colors_of_a_difference(core, larger):
    grown, shrunk = (terminal.run([COREANALYZE, "diff", *cores]) for cores in ((core, larger), (larger, core)))
    assert {"+97.7 KiB", "+100"} <= set(colored(grown, "growth")) and not any("-" in piece for piece in colored(grown, "growth"))
    assert {"-97.7 KiB", "-100"} <= set(colored(shrunk, "shrink")) and not any("+" in piece for piece in colored(shrunk, "shrink"))


@pytest.mark.parametrize("command", [["report"], ["top", "--by", "traceback"], ["traces"], ["blocks"], ["leaks"], ["info"]])
def test_colors_are_all_that_differs(command, core):
    arguments = [*command, core]
    text = coreanalyze(*arguments, "--color", "always").stdout
    assert "\x1b" in text and terminal.plain(text) == coreanalyze(*arguments).stdout
    assert terminal.run([COREANALYZE, *arguments, "--width", "0"], stderr=subprocess.DEVNULL) == text


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": None}, {"TERM": ""}])
def test_no_colors(environment, core):
    text = terminal.run([COREANALYZE, "top", "--width", "0", core], environment=environment)
    assert text == coreanalyze("top", core).stdout and "\x1b" not in text
    assert "\x1b" in terminal.run([COREANALYZE, "top", "--color", "always", core], environment=environment)
    assert "\x1b" in terminal.run([COREANALYZE, "top", core], environment={"NO_COLOR": ""})
    assert "\x1b" not in terminal.run([COREANALYZE, "top", "--color", "never", core])


@pytest.mark.parametrize("data", ["json", "csv", "folded"])
def test_data_is_the_same_at_a_terminal(data, core):
    arguments = [COREANALYZE, "top", "--format", data, "--color", "always", "--width", "40", core]
    text = terminal.run(arguments, stderr=subprocess.DEVNULL)
    assert text.replace("\r\n", "\n") == coreanalyze("top", "--format", data, core).stdout and "\x1b" not in text


def test_files_are_the_same_at_a_terminal(core, tmp_path):
    expected = coreanalyze("top", core).stdout
    assert terminal.run([COREANALYZE, "top", "-o", tmp_path / "answer", core]) == ""
    assert (tmp_path / "answer").read_text() == expected
    assert "\x1b" in terminal.run([COREANALYZE, "top", "-o", "-", core])


# ------------------------------------------------------------------------------------------------------------- widths

def check_fitted(text, whole, columns):
    """Each line is one of the whole text, shortened where it would not fit."""
    lines, whole_lines = text.splitlines(), whole.splitlines()
    assert len(lines) == len(whole_lines)
    for line, full in zip(lines, whole_lines):
        assert len(line) <= columns, line
        if len(full) <= columns:
            assert line == full
            continue
        pieces = [re.escape(piece) for piece in line.split("…")]
        assert len(pieces) > 1 and re.fullmatch(".+".join(pieces), full), (line, full)
    return sum("…" in line for line in lines)


@pytest.mark.parametrize("command", [["top"], ["top", "--by", "traceback"], ["top", "--by", "function"], ["traces"], ["blocks"]])
def test_lines_fit(command, core):
    """The terminal's width; what is left of a name still says which one it is."""
    whole = coreanalyze(*command, core).stdout
    text = terminal.plain(terminal.run([COREANALYZE, *command, core]))
    assert check_fitted(text, whole, 80) > 0
    if "function" not in command:
        assert any("…" in line and "things.cpp" in line for line in text.splitlines())
    assert check_fitted(terminal.plain(terminal.run([COREANALYZE, *command, core], columns=100)), whole, 100) > 0
    assert terminal.plain(terminal.run([COREANALYZE, *command, core], columns=1000)) == whole


def test_whose_width(core):
    whole = coreanalyze("top", core).stdout
    ask = [COREANALYZE, "top", "--color", "never", core]
    at_80 = terminal.run(ask)
    assert terminal.run(ask, columns=200, environment={"COLUMNS": "80"}) == at_80
    for nonsense in ("", "0", "80x"):
        assert terminal.run(ask, environment={"COLUMNS": nonsense}) == at_80
    assert terminal.run(ask, columns=0) == at_80  # a terminal that does not know
    assert terminal.run([*ask, "--width", "0"]) == whole
    assert terminal.run([*ask, "--width", "100"]) == coreanalyze("top", "--width", "100", core).stdout != whole
    assert coreanalyze("top", core, env=harness.clean_environment(COLUMNS="40")).stdout == whole
    narrow = terminal.run(ask, columns=20).splitlines()  # too narrow for the numbers: names get 12 columns
    assert len(narrow) == len(whole.splitlines()) and all(re.search("size=.*average=", line) for line in narrow if "size=" in line)
    coreanalyze("top", "--width", "wide", core, status=64)


# ----------------------------------------------------------------------------------------------------------- progress

LINE = "reading standard input: "


@pytest.fixture
def halves(core):
    """A core file in two pieces: the rest comes when it is asked for."""
    data = core.read_bytes()
    return data[:len(data) // 2], data[len(data) // 2:]


def test_progress(halves, core, tmp_path):
    """After a second there is a line, and in the end no trace of it. Nowhere else is there one: at the moment at which it
    appears, those that started before have waited as long."""
    ask = [COREANALYZE, "top", "-"]
    quiet = [terminal.Terminal(ask, stdin=subprocess.PIPE, stderr=subprocess.PIPE),
             terminal.Terminal(ask, environment={"TERM": "dumb"}, stdin=subprocess.PIPE)]
    shown = terminal.Terminal(ask, stdin=subprocess.PIPE)
    to_file = terminal.Terminal([*ask, "-o", tmp_path / "answer"], columns=40, stdin=subprocess.PIPE)
    for one in (*quiet, shown, to_file):
        one.process.stdin.write(halves[0])
        one.process.stdin.flush()
    assert LINE.encode() in shown.read(until=LINE.encode())
    to_file.read(until=b"reading")
    texts = []
    for one in (*quiet, shown, to_file):
        one.process.stdin.write(halves[1])
        one.process.stdin.close()
        texts.append(one.finish())
        assert one.process.returncode == 0
    expected = terminal.plain(terminal.run([COREANALYZE, "top", core]))
    assert [terminal.plain(text) for text in texts[:2]] == [expected, expected]
    assert quiet[0].process.stderr.read() == b""
    assert terminal.screen(texts[2]) == expected and re.search(r"\r\x1b\[K" + LINE + r"[\d.]+ [KM]iB", texts[2])
    assert terminal.screen(texts[3]) == "" and (tmp_path / "answer").read_text() == coreanalyze("top", core).stdout
    assert all(len(line) < 40 for line in re.split(r"\r\x1b\[K", texts[3]))


def test_no_progress_of_what_is_quick(core):
    text = terminal.run([COREANALYZE, "top", core])
    assert "\r" not in text and "\x1b[K" not in text


def test_messages_come_without_progress(halves):
    """An error takes the place of the line."""
    shown = terminal.Terminal([COREANALYZE, "top", "-"], stdin=subprocess.PIPE)
    shown.process.stdin.write(halves[0][:4096])
    shown.process.stdin.flush()
    shown.read(until=LINE.encode())
    shown.process.stdin.close()
    text = terminal.screen(shown.finish())
    assert text.startswith("coreanalyze: ") and LINE not in text and text.count("\n") == 1
    assert shown.process.returncode == 2
