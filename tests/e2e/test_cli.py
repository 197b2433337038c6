"""The command line of coreanalyze: exit codes, messages, options, formats, files; its text against CPython's tracemalloc."""

import csv
import io
import json
import linecache
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import tracemalloc

import harness
import pytest
from harness import coreanalyze, coreanalyze_json

COMMANDS = ["report", "top", "diff", "traces", "block", "blocks", "leaks", "refs", "info", "save"]
ONE_CORE = ["report", "top", "traces", "blocks", "leaks", "info"]
KEYS = ["lineno", "filename", "traceback", "function", "module", "domain", "thread"]
EXIT_PARTIAL, EXIT_NOTHING, EXIT_OVER, EXIT_USAGE = 1, 2, 3, 64
SOURCE = harness.PROGRAMS / "cli.c"


# ---------------------------------------------------------------------------------------------------------- fixtures

def build_program(directory, *flags):
    """The program and its library, compiled in `directory`."""
    harness.run_ok([harness.CC, "-g", "-O1", *flags, "-shared", "-fPIC", "-o", directory / "libcli.so",
                    harness.PROGRAMS / "cli_library.c"])
    return harness.compile_program(SOURCE, directory / "cli", "-g", "-O1", *flags, "-Wl,--no-as-needed", f"-L{directory}", "-lcli",
                                   "-Wl,-rpath,$ORIGIN")


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The program in a directory that every user may enter."""
    directory = tmp_path_factory.mktemp("cli")
    return build_program(directory)


@pytest.fixture(scope="session")
def core(program, tmp_path_factory):
    """A core of the program, SIGSEGV."""
    return harness.crash(harness.traced([program, "segv"]), tmp_path_factory.mktemp("core"))[1]


@pytest.fixture(scope="session")
def later_core(program, tmp_path_factory):
    """One of a run that held 500 blocks of 64 bytes more."""
    return harness.crash(harness.traced([program, "segv", "500"]), tmp_path_factory.mktemp("later"))[1]


@pytest.fixture(scope="session")
def detail_core(program, tmp_path_factory):
    """One with thread and time of every block."""
    return harness.crash(harness.traced([program, "segv"], "-o", "detail=1"), tmp_path_factory.mktemp("detail"))[1]


@pytest.fixture(scope="session")
def untraced_core(program, tmp_path_factory):
    """One of a run without the tracer."""
    return harness.crash([program, "segv"], tmp_path_factory.mktemp("untraced"))[1]


def marked_line(word, source=SOURCE):
    """The number of the line that ends with /* word */."""
    lines = [number for number, line in enumerate(source.read_text().splitlines(), 1) if line.endswith(f"/* {word} */")]
    assert len(lines) == 1
    return lines[0]


def refused(arguments, message, status=EXIT_USAGE, **options):
    """The command line gives no answer and exactly this message."""
    result = coreanalyze(*arguments, status=status, **options)
    assert result.stdout == ""
    assert result.stderr == f"coreanalyze: {message}\n"


# ------------------------------------------------------------------------------------------------------ usage and help

@pytest.mark.parametrize("arguments, message", [
    ([], "a core or snapshot file expected: coreanalyze SOURCE; see coreanalyze --help"),
    (["top"], "top: a core or snapshot file expected: SOURCE...; see coreanalyze top --help"),
    (["info"], "info: a core file expected: CORE; see coreanalyze info --help"),
    (["leaks"], "leaks: a core file expected: CORE; see coreanalyze leaks --help"),
    (["refs", "a"], "refs: a core file and an address expected: CORE ADDRESS; see coreanalyze refs --help"),
    (["save", "a"], "save: a core or snapshot file and a file to write expected: SOURCE... FILE; see coreanalyze save --help"),
    (["diff", "a"], "diff: two core or snapshot files expected: OLD NEW; see coreanalyze diff --help"),
    (["traces", "a", "b"], "traces: unexpected operand 'b'; see coreanalyze traces --help"),
    (["diff", "--pid", "1", "--pid", "2", "--pid", "3"], "diff: --pid: 3 processes, where 2 sources are read; see coreanalyze diff --help"),
    (["diff", "a", "b", "c"], "diff: unexpected operand 'c'; see coreanalyze diff --help"),
    (["top", "--frobnicate", "a"], "top: unknown option '--frobnicate'; see coreanalyze top --help"),
    (["top", "a", "--by"], "top: option '--by' needs an argument: KEY; see coreanalyze top --help"),
    (["--frobnicate", "a"], "unknown option '--frobnicate'; see coreanalyze --help"),
    (["a", "--format", "json"], "unknown option '--format'; see coreanalyze --help"),
    (["nosuch", "a"], "there is no command 'nosuch'; see coreanalyze --help"),
    (["--no-source", "top", "a"], "the command comes first: coreanalyze top [OPTION...]; see coreanalyze --help"),
    (["help", "nosuch"], "help: there is no command 'nosuch'; see coreanalyze --help"),
    (["diff", "--format", "pprof", "a", "b"],
     "diff: --format: a profile holds no difference; save both and use pprof -diff_base; see coreanalyze diff --help"),
    (["top", "--bad\x1b[31m\n\xff", "a"], "top: unknown option '--bad\\x1b[31m\\x0aÿ'; see coreanalyze top --help"),
])
def test_usage(arguments, message):
    refused(arguments, message)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_command(command):
    """Every command explains itself, without a core, in 80 columns, with the exit codes."""
    text = coreanalyze(command, "--help").stdout
    assert text == coreanalyze("help", command).stdout
    assert text.startswith("Usage: coreanalyze" + ("" if command == "report" else " " + command) + " [OPTION...]")
    assert max(map(len, text.splitlines())) <= 80
    for code in ("0 complete", "1 partial", "2 nothing", "3 --fail-over", "64 wrong"):
        assert code in text


def test_help():
    text = coreanalyze("--help").stdout
    assert text == coreanalyze("help").stdout and max(map(len, text.splitlines())) <= 80
    for command in COMMANDS:
        assert re.search(rf"^  {command}  ", text, re.MULTILINE)
    for code in ("0 complete", "1 partial", "2 nothing", "3 --fail-over", "64 wrong"):
        assert code in text


def test_version():
    assert re.fullmatch(r"coreanalyze \d+\.\d+\.\d+\n", coreanalyze("--version").stdout)


# ------------------------------------------------------------------------------------------- what cannot be answered

@pytest.mark.parametrize("command", ONE_CORE)
def test_no_core(command, tmp_path, core):
    """Each kind of wrong file has its own message that names it, exit code 2 and no answer."""
    text = tmp_path / "text"
    text.write_text("some text\n")
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    headers = tmp_path / "headers"
    headers.write_bytes(core.read_bytes()[:100])
    messages = set()
    for path in (tmp_path / "missing", tmp_path, text, empty, headers, pathlib.Path("/bin/true")):
        result = coreanalyze(command, path, status=EXIT_NOTHING)
        assert result.stdout == ""
        assert result.stderr.startswith(f"coreanalyze: {path}: ") and result.stderr.count("\n") == 1
        messages.add(result.stderr.replace(str(path), ""))
    assert len(messages) == 6


def test_no_tracer(untraced_core):
    for command in ONE_CORE:
        result = coreanalyze(command, untraced_core, status=EXIT_NOTHING)
        assert result.stdout == "" and result.stderr.count("\n") == 1
        assert str(untraced_core) in result.stderr and "tm-run" in result.stderr


def test_diff_names_the_core_that_is_wrong(core, untraced_core):
    for pair in ((core, untraced_core), (untraced_core, core)):
        result = coreanalyze("diff", *pair, status=EXIT_NOTHING)
        assert result.stdout == "" and str(untraced_core) in result.stderr and str(core) not in result.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_no_permission(core):
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        path = pathlib.Path(directory, "core")
        shutil.copyfile(core, path)
        path.chmod(0o600)

        def become_nobody():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

        try:
            result = coreanalyze("top", path, status=None, preexec_fn=become_nobody)
        except PermissionError:
            pytest.skip("the build tree cannot be entered by another user")
        assert result.returncode == EXIT_NOTHING and result.stdout == ""
        assert result.stderr.startswith(f"coreanalyze: {path}: permission denied")


def layout_constant(name):
    """A #define of tracer/layout.h."""
    text = (harness.REPO / "tracer" / "layout.h").read_text()
    return re.search(rf"^#define {name}\s+(.*)$", text, re.MULTILINE)[1]


def root_offset(core, ret_bytes):
    """File offset of the root in a core: its magic at an address that is its own `self`."""
    magic = layout_constant("TM_ROOT_MAGIC").strip('"').encode().decode("unicode_escape").encode("latin-1").ljust(16, b"\0")
    at = -1
    while (at := ret_bytes.find(magic, at + 1)) >= 0:
        (self_address,) = struct.unpack_from("<Q", ret_bytes, at + 40)
        if any(start + at - offset == self_address for start, offset, size in load_segments(ret_bytes)
               if offset <= at < offset + size):
            return at
    raise AssertionError(f"no root in {core}")


def load_segments(contents):
    """(address, file offset, size in the file) of each PT_LOAD."""
    (offset,) = struct.unpack_from("<Q", contents, 32)
    size, count = struct.unpack_from("<HH", contents, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", contents, offset + i * size) for i in range(count)]
    return [(header[3], header[2], header[5]) for header in headers if header[0] == 1]


def test_newer_layout(core, tmp_path):
    """Both versions are named."""
    contents = bytearray(core.read_bytes())
    at = root_offset(core, contents)
    own_major, own_minor = (int(layout_constant(f"TM_LAYOUT_{part}")) for part in ("MAJOR", "MINOR"))
    assert struct.unpack_from("<II", contents, at + 16) == (own_major, own_minor)
    struct.pack_into("<II", contents, at + 16, own_major + 77, 5)
    path = tmp_path / "core"
    path.write_bytes(contents)
    result = coreanalyze("top", path, status=EXIT_NOTHING)
    assert result.stdout == "" and result.stderr.count("\n") == 1
    assert f"{own_major + 77}.5" in result.stderr and f"{own_major}.{own_minor}" in result.stderr


# ------------------------------------------------------------------------------------------------------------ truncation

def test_truncated(core, tmp_path):
    """A core that ends early is said to, with exit code 1, and what is whole is still told."""
    whole = coreanalyze_json("top", core)
    contents = core.read_bytes()
    at = root_offset(core, contents)
    tables = max(offset + size for _, offset, size in load_segments(contents) if offset <= at)
    path = tmp_path / "core"

    path.write_bytes(contents[:-4096])
    result = coreanalyze("top", path, status=EXIT_PARTIAL)
    assert "truncated" in result.stdout.lower().splitlines()[-1]
    cut = coreanalyze_json("top", path, status=EXIT_PARTIAL)
    assert cut["coverage"]["truncated"] is True and whole["coverage"]["truncated"] is False
    assert cut["statistics"] == whole["statistics"]

    path.write_bytes(contents[:at + (tables - at) // 2])
    result = coreanalyze("top", path, status=None)
    assert result.returncode in (EXIT_PARTIAL, EXIT_NOTHING)
    if result.returncode == EXIT_PARTIAL:
        assert "TRUNCATED" in result.stdout.splitlines()[-1]
    else:
        assert result.stdout == "" and str(path) in result.stderr


# --------------------------------------------------------------------------------------------------------------- options

def test_options_and_operands_in_any_order(core):
    expected = coreanalyze("top", "--by", "function", "-n", "3", "--no-source", core).stdout
    assert expected.startswith("[ Top 3 ]\n")
    for arguments in (["top", core, "--no-source", "--by=function", "-n3"], ["top", "-by", "function", core, "-n", "3", "-no-source"],
                      ["top", "-n", "3", "--no-source", "--by", "function", "--", core]):
        assert coreanalyze(*arguments).stdout == expected
        assert coreanalyze(*arguments, env=harness.clean_environment(POSIXLY_CORRECT="1")).stdout == expected


def test_source_after_two_dashes(core, tmp_path):
    """A file whose name looks like an option."""
    (tmp_path / "--by").symlink_to(core)
    assert coreanalyze("top", "--", "--by", cwd=tmp_path).stdout == coreanalyze("top", core).stdout


def test_number_of_statistics(core):
    """-n: so many; 0: all; the rest is summed up."""
    everything = coreanalyze_json("top", "-n", "0", core)
    groups = len(everything["statistics"])
    assert groups > 10 and everything["other"] == {"size": 0, "count": 0, "groups": 0}
    text = coreanalyze("top", "-n", "0", "--no-source", core).stdout.splitlines()
    assert text[0] == f"[ Top {groups} ]" and " other: " not in "".join(text)
    assert len(coreanalyze_json("top", core)["statistics"]) == 10
    for number in (1, 4, groups - 1, groups, groups + 5):
        some = coreanalyze_json("top", f"-n{number}", core)
        assert some["statistics"] == everything["statistics"][:number]
        rest = everything["statistics"][number:]
        assert some["other"] == {"size": sum(item["size"] for item in rest), "count": sum(item["count"] for item in rest),
                                 "groups": len(rest)}
        assert some["total"] == everything["total"]
        text = coreanalyze("top", f"-n{number}", "--no-source", core).stdout.splitlines()
        assert text[0] == f"[ Top {number} ]"
        assert (f"{len(rest)} other: {some['other']['size'] / 1024:.1f} KiB" in text) == bool(rest)
        assert f"Total allocated size: {some['total']['size'] / 1024:.1f} KiB" in text


def test_coverage_line_is_last(core):
    """In every text answer, with the number that JSON has; beside data that has no place for it, as a message."""
    coverage = coreanalyze_json("top", core)["coverage"]
    line = f"coverage: {coverage['blocks']} blocks, 0 dropped, 0 in flight, every block traced"
    for command in ONE_CORE:
        assert coreanalyze(command, core).stdout.splitlines()[-1] == line
    for command in ("top", "traces"):
        for file_format in ("csv", "folded"):
            result = coreanalyze(command, "--format", file_format, core)
            assert "coverage" not in result.stdout and result.stderr == f"coreanalyze: {line}\n"
    assert len(coreanalyze_json("traces", core)["traces"]) == coverage["blocks"]


def test_value(core):
    """The peak held at least what is left, and everything that was allocated is at least the peak."""
    totals = [coreanalyze_json("top", "--value", value, core)["total"]["size"] for value in ("live", "peak", "total")]
    assert totals == sorted(totals) and totals[0] < totals[2]
    assert "[ Top 10 since the start ]" in coreanalyze("top", "--value", "total", core).stdout
    refused(["top", "--value", "peak", "--min-size", "1", core],
            "top: --min-size is about single blocks, --value peak about blocks that may be gone")


@pytest.mark.parametrize("option", ["--by thread", "--thread 1", "--older 1", "--newer 1"])
def test_options_that_need_detail(core, option):
    shown = option if option.startswith("--by") else option.split()[0]
    for command in ("top", "traces") if not option.startswith("--by") else ("top", "report"):
        prefix = "" if command == "report" else f"{command}: "
        refused([command, *option.split(), core],
                f"{prefix}{shown} needs thread and time of every block, which this process did not record; run it with detail=1 "
                "(tm-run -o detail=1)")


def test_detail(detail_core):
    """Threads and ages."""
    traces = coreanalyze_json("traces", detail_core)["traces"]
    threads = {trace["thread"] for trace in traces}
    assert len(threads) == 2 and None not in threads
    assert [trace["size"] for trace in traces if [str(SOURCE), marked_line("THREAD")] == trace["frames"][-1]] == [5000]
    for thread in threads:
        own = coreanalyze_json("traces", "--thread", thread, detail_core)["traces"]
        assert own == [trace for trace in traces if trace["thread"] == thread]
        assert coreanalyze_json("top", "--thread", thread, detail_core)["total"]["count"] == len(own)
    by_thread = coreanalyze_json("top", "--by", "thread", detail_core)["statistics"]
    assert {item["traceback"][0]["filename"] for item in by_thread} == {f"thread {thread}" for thread in threads}
    both = [option for thread in threads for option in ("--thread", thread)]
    assert coreanalyze_json("traces", *both, detail_core)["traces"] == traces
    for seconds in ("0", "0.0005", "3600"):
        old = coreanalyze_json("traces", "--older", seconds, detail_core)["traces"]
        new = coreanalyze_json("traces", "--newer", seconds, detail_core)["traces"]
        assert len(old) + len(new) == len(traces)
    assert new == traces and not old


def test_without_detail_threads_are_null(core):
    assert {trace["thread"] for trace in coreanalyze_json("traces", core)["traces"]} == {None}


def test_sizes(core):
    traces = coreanalyze_json("traces", core)["traces"]
    for options, keeps in ((["--min-size", "3000"], lambda size: size >= 3000),
                           (["--max-size", "200"], lambda size: size <= 200),
                           (["--min-size", "1K", "--max-size", "488K"], lambda size: 1024 <= size <= 488 << 10)):
        expected = [trace for trace in traces if keeps(trace["size"])]
        assert 0 < len(expected) < len(traces)
        assert coreanalyze_json("traces", *options, core)["traces"] == expected
        top = coreanalyze_json("top", *options, core)
        assert top["total"] == {"size": sum(trace["size"] for trace in expected), "count": len(expected)}


def test_function_and_module(core):
    """They match what --by calls the frames; of one option any may match, of several all must."""
    by_function = {item["traceback"][0]["filename"]: item for item in
                   coreanalyze_json("top", "-n0", "--by", "function", core)["statistics"]}
    one = coreanalyze_json("top", "--function", "allocate_here", "-n0", "--by", "function", core)["statistics"]
    assert one == [by_function["allocate_here"]]
    two = coreanalyze_json("top", "--function", "allocate_dee*", "--function", "allocate_here", core)["total"]
    assert two["size"] == by_function["allocate_deep"]["size"] + by_function["allocate_here"]["size"]
    by_module = {pathlib.Path(item["traceback"][0]["filename"]).name: item for item in
                 coreanalyze_json("top", "-n0", "--by", "module", core)["statistics"]}
    assert coreanalyze_json("top", "--module", "libcli.so", core)["total"]["size"] == by_module["libcli.so"]["size"]
    assert coreanalyze_json("top", "--module", "*/libcli.so", core)["total"]["size"] == by_module["libcli.so"]["size"]
    assert coreanalyze_json("top", "--module", "cli", "--function", "allocate", core)["total"]["count"] == 0
    within = coreanalyze_json("top", "--module", "libcli.so", "--function", "allocate", "--all-frames", core)["total"]
    assert within["size"] == by_module["libcli.so"]["size"]
    outer = coreanalyze_json("top", "--all-frames", "--function", "allocate_twice", core)["total"]
    assert outer["size"] == by_module["libcli.so"]["size"]
    assert coreanalyze_json("top", "--function", "allocate_twice", core)["total"]["count"] == 0


def test_domains(core):
    everything = coreanalyze_json("top", core)["total"]
    assert coreanalyze_json("top", "--include-domain", "0", core)["total"] == everything
    assert coreanalyze_json("top", "--exclude-domain", "1", core)["total"] == everything
    for option in ("--include-domain=1", "--exclude-domain=0"):
        assert coreanalyze_json("top", option, core)["total"]["count"] == 0
    assert coreanalyze("top", "--include-domain=1", core).stdout.startswith("[ Top 10 ]\nTotal allocated size: 0.0 KiB\n")


def test_skipping(core):
    """strdup hands its block to its caller; --no-skip shows it; --skip adds to what is left out."""
    default = coreanalyze_json("top", "-n0", "--by", "function", core)["statistics"]
    names = {item["traceback"][0]["filename"] for item in default}
    assert not any("strdup" in name for name in names) and "allocate_deep" in names
    unskipped = coreanalyze_json("top", "-n0", "--by", "function", "--no-skip", core)["statistics"]
    assert any("strdup" in item["traceback"][0]["filename"] for item in unskipped)
    skipped = coreanalyze_json("top", "-n0", "--by", "function", "--skip", "allocate_deep", core)["statistics"]
    assert {item["traceback"][0]["filename"] for item in skipped} == names - {"allocate_deep"} | {"main"}


def test_fail_over(core):
    total = coreanalyze_json("top", core)["total"]["size"]
    answer = coreanalyze("top", core).stdout
    assert coreanalyze("top", "--fail-over", total, core).stderr == ""
    result = coreanalyze("top", "--fail-over", total - 1, core, status=EXIT_OVER)
    assert result.stdout == answer
    assert result.stderr == f"coreanalyze: total is {total} bytes, more than --fail-over {total - 1}\n"
    coreanalyze("top", "--fail-over", "0", "--function", "nosuch", core)
    coreanalyze("report", "--fail-over", "1", core, status=EXIT_OVER)


def test_fail_over_of_a_difference(core, later_core):
    growth = coreanalyze_json("diff", core, later_core)["total"]["size_diff"]
    assert growth == 500 * 64
    coreanalyze("diff", "--fail-over", growth, core, later_core)
    result = coreanalyze("diff", "--fail-over", growth - 1, core, later_core, status=EXIT_OVER)
    assert result.stderr == f"coreanalyze: growth is {growth} bytes, more than --fail-over {growth - 1}\n"
    coreanalyze("diff", "--fail-over", "0", later_core, core)
    coreanalyze("diff", "--fail-over", "0", core, core)


def test_color(core):
    plain = coreanalyze("top", core).stdout
    assert "\x1b" not in plain
    colored = coreanalyze("top", "--color", "always", core).stdout
    assert "\x1b" in colored and re.sub(r"\x1b\[[\d;]*m", "", colored) == plain
    assert coreanalyze("top", "--color", "never", core).stdout == plain


def test_cumulative_needs_frames(core):
    for key in ("traceback", "domain"):
        refused(["top", "--cumulative", "--by", key, core],
                f"top: --cumulative cannot be used with --by {key}")


# --------------------------------------------------------------------------------------------------------------- formats

def test_json_shape(core, later_core):
    top = coreanalyze_json("top", "--by", "traceback", core)
    assert list(top) == ["command", "key_type", "cumulative", "value", "statistics", "other", "total", "coverage"]
    assert (top["command"], top["key_type"], top["cumulative"], top["value"]) == ("top", "traceback", False, "live")
    for item in top["statistics"]:
        assert list(item) == ["size", "count", "traceback"]
        for frame in item["traceback"]:
            assert list(frame) == ["filename", "lineno", "function", "module"]
    assert [top["statistics"][0]["traceback"][-1][key] for key in ("filename", "lineno", "function")] == \
        [str(harness.PROGRAMS / "cli_library.c"), marked_line("LIBRARY", harness.PROGRAMS / "cli_library.c"), "allocate"]
    assert {"blocks", "dropped", "in_flight", "truncated", "sample_bytes"} <= set(top["coverage"])
    assert coreanalyze_json("top", "--cumulative", core)["cumulative"] is True
    assert coreanalyze_json("top", "--cumulative=unique", core)["cumulative"] == "unique"
    diff = coreanalyze_json("diff", core, later_core)
    assert diff["command"] == "diff" and list(diff["statistics"][0]) == ["size", "size_diff", "count", "count_diff", "traceback"]
    traces = coreanalyze_json("traces", core)
    assert list(traces) == ["traceback_limit", "traces", "coverage"]
    assert all(list(trace) == ["domain", "size", "frames", "total_nframe", "thread", "address"] for trace in traces["traces"])
    addresses = [trace["address"] for trace in traces["traces"]]
    assert len(set(addresses)) == len(addresses) and all(re.fullmatch("0x[0-9a-f]+", address) for address in addresses)


def test_label_keys(core):
    """Groups that are no lines have their label as file name."""
    domain = coreanalyze_json("top", "--by", "domain", core)
    assert [item["traceback"] for item in domain["statistics"]] == \
        [[{"filename": "domain 0", "lineno": 0, "function": None, "module": domain["statistics"][0]["traceback"][0]["module"]}]]
    assert coreanalyze("top", "--by", "domain", core).stdout.splitlines()[1].startswith("domain 0: size=")


@pytest.mark.parametrize("key", KEYS)
def test_csv(detail_core, later_core, key):
    answer = coreanalyze_json("top", "-n0", "--by", key, detail_core)
    result = coreanalyze("top", "-n0", "--by", key, "--format", "csv", detail_core, binary=True)
    assert result.stdout.count(b"\r\n") == len(answer["statistics"]) + 1
    rows = list(csv.DictReader(io.StringIO(result.stdout.decode(), newline="")))
    assert [(int(row["size"]), int(row["count"])) for row in rows] == \
        [(item["size"], item["count"]) for item in answer["statistics"]]
    for row, item in zip(rows, answer["statistics"]):
        frame = item["traceback"][-1]
        assert (row["filename"], int(row["lineno"]), row["function"], row["module"]) == \
            (frame["filename"], frame["lineno"], frame["function"] or "", frame["module"] or "")
        if key == "traceback":
            assert row["traceback"] == ";".join(f"{frame['filename']}:{frame['lineno']}" for frame in item["traceback"])


def test_csv_of_a_difference(core, later_core):
    answer = coreanalyze_json("diff", core, later_core)
    rows = list(csv.DictReader(io.StringIO(coreanalyze("diff", core, later_core, "--format", "csv").stdout)))
    assert [[int(row[key]) for key in ("size", "size_diff", "count", "count_diff")] for row in rows] == \
        [[item[key] for key in ("size", "size_diff", "count", "count_diff")] for item in answer["statistics"]]


def test_csv_of_traces(core):
    answer = coreanalyze_json("traces", core)["traces"]
    rows = list(csv.DictReader(io.StringIO(coreanalyze("traces", core, "--format", "csv").stdout)))
    assert [(int(row["domain"]), int(row["size"]), row["address"], row["thread"], int(row["total_nframe"]), row["traceback"])
            for row in rows] == \
        [(trace["domain"], trace["size"], trace["address"], "", trace["total_nframe"],
          ";".join(f"{name}:{line}" for name, line in trace["frames"])) for trace in answer]


def test_folded(core, later_core):
    """All stacks, oldest function first; a difference has both sizes."""
    def parse(text, numbers):
        lines = [line.rsplit(" ", numbers) for line in text.splitlines()]
        return sorted((stack, *map(int, sizes)) for stack, *sizes in lines)

    def name(frame):
        return frame["function"] or frame["filename"]

    top = coreanalyze_json("top", "-n0", "--by", "traceback", core)
    expected = sorted((";".join(map(name, item["traceback"])), item["size"]) for item in top["statistics"] if item["size"])
    stacks = parse(coreanalyze("top", "--format", "folded", core).stdout, 1)
    assert stacks == expected
    assert sum(size for _, size in stacks) == top["total"]["size"]
    assert any(re.search(r"main;cli_library_allocate;allocate_twice;allocate$", stack) for stack, _ in stacks)
    diff = coreanalyze_json("diff", "-n0", "--by", "traceback", core, later_core)
    expected = sorted((";".join(map(name, item["traceback"])), item["size"] - item["size_diff"], item["size"])
                      for item in diff["statistics"] if item["size"] or item["size_diff"])
    assert parse(coreanalyze("diff", "--format", "folded", core, later_core).stdout, 2) == expected


def test_traces_as_text(core):
    """One block per trace: a line about the block, then Traceback.format()."""
    answer = coreanalyze_json("traces", core)["traces"]
    linecache.clearcache()
    expected = []
    for trace in answer:
        expected.append(f"{trace['size']} bytes at {trace['address']}")
        expected += tracemalloc.Traceback(tuple(map(tuple, reversed(trace["frames"])))).format()
    assert coreanalyze("traces", core).stdout.splitlines()[:-1] == expected


def test_info(core, program):
    information = coreanalyze_json("info", core)
    top = coreanalyze_json("top", core)
    assert information["state"] == "tracing" and information["traceback_limit"] == 25
    assert information["current"] == top["total"]["size"] <= information["peak"]
    assert information["coverage"] == top["coverage"]
    assert information["in_flight"] == [] and information["layout"]["address"].startswith("0x")
    modules = {module["path"]: module for module in information["modules"]}
    build_id = re.search(r"Build ID: (\w+)", harness.run_ok(["readelf", "-n", program]).stdout)[1]
    assert modules[str(program)]["build_id"] == build_id
    assert modules[str(program)]["symbols"] == "lines" and modules[str(program)]["unloaded"] is False
    text = coreanalyze("info", core).stdout
    assert f"{program}, build-id {build_id}, symbols: lines" in text
    assert f"current: {tracemalloc._format_size(information['current'], False)} ({information['current']} bytes)\n" in text


# --------------------------------------------------------------------------------------------------------------- report

def test_report(core, program):
    """What happened, where, and then exactly what top prints."""
    report = coreanalyze(core).stdout
    assert report == coreanalyze("report", core).stdout
    head, _, tail = report.partition("\n\n")
    assert "\n\n" + coreanalyze("top", core).stdout in report and tail.endswith(coreanalyze("top", core).stdout)
    line = marked_line("SEGV")
    assert str(program) in head and "crashed with SIGSEGV: address not mapped, 0x10\n" in head
    assert f"in crash at {SOURCE}:{line}\n    {linecache.getline(str(SOURCE), line).strip()}" in head
    assert f"command line: {program} segv" in head
    information = coreanalyze_json("info", core)
    assert f"It holds {tracemalloc._format_size(information['current'], False)} in {information['coverage']['blocks']} blocks; " \
        f"the most that it held was {tracemalloc._format_size(information['peak'], False)}.\n" in tail
    assert "every block, up to 25 frames of its traceback.\n" in tail
    assert str(core) not in report


@pytest.mark.parametrize("how, words", [("divide", "crashed with SIGFPE: integer division by zero, at 0x"),
                                        ("abort", "crashed with SIGABRT: it aborted itself\n"),
                                        ("quit", "received SIGQUIT, sent by itself\n")])
def test_report_of_other_signals(program, tmp_path, how, words):
    _, core = harness.crash(harness.traced([program, how]), tmp_path)
    report = coreanalyze(core).stdout
    assert words in report
    if how == "divide":
        assert f"in crash at {SOURCE}:{marked_line('DIVIDE')}\n" in report


# ------------------------------------------------------------------------------------------------------- files of modules

def partial(arguments, count):
    """Exit code 1 and `count` messages."""
    result = coreanalyze(*arguments, status=EXIT_PARTIAL)
    messages = result.stderr.splitlines()
    assert len(messages) == count and all(message.startswith("coreanalyze: ") for message in messages), result.stderr
    return result.stdout, messages


def build_id_of(path):
    return re.search(r"Build ID: (\w+)", harness.run_ok(["readelf", "-n", path]).stdout)[1]


def test_missing_and_other_files(tmp_path):
    """The answer is partial where the file of a module that is printed is missing or another build, and only then."""
    program = build_program(tmp_path)
    library = tmp_path / "libcli.so"
    wanted = build_id_of(program)
    _, core = harness.crash(harness.traced([program, "segv"]), tmp_path / "cores")
    complete = coreanalyze_json("top", "-n0", "--no-skip", core)
    program.rename(tmp_path / "away")

    answer, (message,) = partial(["top", core], 1)
    assert str(program) in message and wanted in message and f"{program}(+0x" in answer
    partial(["top", core, "--format", "json"], 1)
    partial(["traces", core], 1)
    # the largest two groups are the library's
    assert coreanalyze("top", "-n1", core).stderr == ""
    assert coreanalyze("top", "--by", "module", "--module", "libcli.so", core).stderr == ""
    # the report names the place of the crash, too
    answer, _ = partial(["report", "-n1", core], 1)
    assert re.search(rf"^  thread \d+ was in {re.escape(str(program))}\(\+0x[0-9a-f]+\)$", answer, re.MULTILINE)

    harness.compile_program(SOURCE, program, "-g", "-O0", "-Wl,--no-as-needed", f"-L{tmp_path}", "-lcli",
                            "-Wl,-rpath,$ORIGIN")
    found = build_id_of(program)
    assert found != wanted
    answer, (message,) = partial(["top", core], 1)
    assert str(program) in message and wanted in message and found in message
    assert f"{program}(+0x" in answer and str(SOURCE) not in answer

    library.unlink()
    partial(["top", core], 2)
    sysroot = tmp_path / "root"
    (sysroot / str(tmp_path).lstrip("/")).mkdir(parents=True)
    (tmp_path / "away").rename(sysroot / str(program).lstrip("/"))
    assert coreanalyze("top", "-n0", "--sysroot", sysroot, "--module", "cli", core).stderr == ""
    restored = coreanalyze_json("top", "-n0", "--no-skip", "--sysroot", sysroot, core, status=EXIT_PARTIAL)

    def own(answer):
        return [item for item in answer["statistics"] if item["traceback"][0]["module"] == str(program)]

    assert own(restored) == own(complete)


def test_source_map(core):
    directory = str(harness.PROGRAMS)
    mapped = coreanalyze("top", "-n0", "--source-map", f"{directory}=/elsewhere", "--no-source", core).stdout
    assert directory not in mapped
    assert mapped.replace("/elsewhere/", directory + "/").splitlines()[1:3] == \
        coreanalyze("top", "-n0", "--no-source", core).stdout.splitlines()[1:3]


def test_callers_of_nameless_code(tmp_path):
    """Below an address without a name stands the nearest caller that has one: of several, the one with most bytes."""
    program = build_program(tmp_path)
    library = tmp_path / "libcli.so"
    harness.run_ok(["strip", library])
    _, core = harness.crash(harness.traced([program, "segv"]), tmp_path / "cores")
    lines = coreanalyze("top", "--no-source", "--module", "libcli.so", core).stdout.splitlines()
    assert lines[1].startswith(f"{library}(+0x")
    assert lines[2] == f"    called from {library}(cli_library_allocate)"
    traces = coreanalyze_json("traces", core)["traces"]
    sizes = {}
    for trace in traces:
        if trace["frames"][-1][0].startswith(f"{library}(+0x"):
            caller = next(name for name, _ in reversed(trace["frames"]) if "(+0x" not in name)
            sizes[caller] = sizes.get(caller, 0) + trace["size"]
    assert len(sizes) == 2 and max(sizes, key=sizes.get) == f"{library}(cli_library_allocate)"
    less = coreanalyze("top", "--no-source", "--module", "libcli.so", "--max-size", "1000", core).stdout.splitlines()
    assert less[2] == f"    called from {library}(cli_library_allocate_less)"
    top = coreanalyze("top", "--format", "json", core).stdout
    assert "called from" not in top


def test_different_builds(tmp_path):
    """A difference warns where addresses without names come from two builds of a module, and names both."""
    library = tmp_path / "libcli.so"
    cores, build_ids = [], []
    for flags in (["-O2"], ["-O0"]):
        program = build_program(tmp_path, *flags)
        harness.run_ok(["strip", library])
        build_ids.append(build_id_of(library))
        cores.append(harness.crash(harness.traced([program, "segv"]), tmp_path / f"cores{len(cores)}")[1])
    old, new = build_ids
    assert old != new
    # the file of the first build is gone, and its addresses have no names anyway
    result = coreanalyze("diff", "--module", "libcli.so", *cores, status=EXIT_PARTIAL)
    warnings = [line for line in result.stderr.splitlines() if "in the old" in line]
    assert warnings == [f"coreanalyze: {library}: build-id {old} in the old, {new} in the new: equal addresses without names may be "
                        "different code"]
    assert "in the old" not in coreanalyze("diff", "--module", "libcli.so", cores[1], cores[1]).stderr
    assert "in the old" not in coreanalyze("diff", "--include", "*/cli.c", *cores, status=None).stderr


def test_hostile_names(tmp_path):
    """Names from the target move no cursor and forge no line; JSON gives their bytes back."""
    directory = os.fsencode(tmp_path) + b'/\x1b[2J\xff\r\nforged: size=1 "q"; a,b\xe2\x80\xae'
    os.mkdir(directory)
    source = os.path.join(directory, b"cli.c")
    for name in ("cli.c", "cli_header.h", "cli_library.h"):
        shutil.copyfile(harness.PROGRAMS / name, os.path.join(directory, name.encode()))
    build_program(tmp_path)
    program = os.path.join(directory, b"cli")
    subprocess.run([harness.CC, "-g", "-O1", "-o", program, source, f"-L{tmp_path}", "-lcli", "-pthread",
                    f"-Wl,-rpath,{tmp_path}"], check=True)
    _, core = harness.crash(harness.traced([os.fsdecode(program), "segv"]), tmp_path / "cores")
    for command in (["report"], ["top"], ["top", "--by", "traceback"], ["traces"], ["info"], ["top", "--format", "csv"],
                    ["top", "--format", "folded"]):
        result = coreanalyze(*command, core, binary=True)
        output = result.stdout + result.stderr
        assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xe2\x80\xae|\xff", output)
        assert "folded" in command or rb"\x1b[2J\xff\x0d\x0aforged" in output
        lines = output.replace(b"\r\n", b"\n") if "csv" in command else output
        assert b"\r" not in lines and not re.search(rb"^forged", lines, re.MULTILINE)

    def strict_json(*arguments):
        """JSON is UTF-8, whatever the names are."""
        return json.loads(coreanalyze(*arguments, "--format", "json", core, binary=True).stdout.decode("utf-8", "strict"))

    answer = strict_json("top", "-n0")
    assert os.fsencode(source) in {os.fsencode(item["traceback"][0]["filename"]) for item in answer["statistics"]}
    assert os.fsencode(program) in {os.fsencode(item["traceback"][0]["module"] or "") for item in answer["statistics"]}
    traces = strict_json("traces")
    assert os.fsencode(source) in {os.fsencode(trace["frames"][-1][0]) for trace in traces["traces"]}
    information = strict_json("info")
    assert os.fsencode(program) in {os.fsencode(module["path"]) for module in information["modules"]}


# ---------------------------------------------------------------------------------------------------- where answers go

@pytest.mark.parametrize("arguments", [["report"], ["top"], ["top", "--format", "json"], ["traces", "--format", "csv"], ["info"]])
def test_output_file(core, tmp_path, arguments):
    path = tmp_path / "answer"
    expected = coreanalyze(*arguments, core)
    result = coreanalyze(*arguments, core, "-o", path)
    assert result.stdout == "" and result.stderr == expected.stderr
    assert path.read_bytes() == coreanalyze(*arguments, core, binary=True).stdout
    assert list(tmp_path.iterdir()) == [path]


def test_output_file_stays_when_there_is_no_answer(untraced_core, tmp_path):
    path = tmp_path / "answer"
    path.write_text("precious")
    coreanalyze("top", untraced_core, "-o", path, status=EXIT_NOTHING)
    coreanalyze("top", "--by", "nonsense", untraced_core, "-o", path, status=EXIT_USAGE)
    assert path.read_text() == "precious" and list(tmp_path.iterdir()) == [path]


def test_output_file_stays_when_the_disk_is_full(core, tmp_path):
    path = tmp_path / "answer"
    path.write_text("precious")

    def limit_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    result = coreanalyze("traces", core, "-o", path, status=EXIT_NOTHING, preexec_fn=limit_files)
    assert result.stderr == f"coreanalyze: cannot write {path}: File too large\n"
    assert path.read_text() == "precious" and list(tmp_path.iterdir()) == [path]


def test_output_file_cannot_be_written(core, tmp_path):
    path = tmp_path / "none" / "answer"
    refused(["top", core, "-o", path], f"cannot write {path}: No such file or directory", status=EXIT_NOTHING)
    refused(["top", core, "-o", tmp_path], f"cannot write {tmp_path}: Is a directory", status=EXIT_NOTHING)


def test_standard_output_is_full(core):
    with open("/dev/full", "w", encoding="ascii") as full:
        for command in ("report", "traces", "info", "help"):
            result = coreanalyze(command, *([] if command == "help" else [core]), status=EXIT_NOTHING, stdout=full)
            assert result.stderr == "coreanalyze: cannot write standard output: No space left on device\n"


def test_standard_output_is_closed(core):
    for command in ("report", "traces"):
        result = coreanalyze(command, core, status=EXIT_NOTHING, stdout=None, preexec_fn=lambda: os.close(1))
        assert result.stderr == "coreanalyze: cannot write standard output: Bad file descriptor\n"


def test_reader_goes_away(core):
    """No message, and an end: as a signal or as exit code 2 where SIGPIPE is ignored."""
    for ignored in (False, True):
        process = subprocess.Popen([harness.COREANALYZE, "traces", core], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   restore_signals=not ignored, env=harness.clean_environment(), bufsize=0,
                                   pipesize=4096)  # far less than the answer, however short the paths in it
        process.stdout.read(1)
        process.stdout.close()
        message = process.stderr.read()
        process.stderr.close()
        assert message == b""
        assert process.wait(harness.TIMEOUT) == (EXIT_NOTHING if ignored else -signal.SIGPIPE)


# -------------------------------------------------------------------------------------------------- CPython as the oracle

@pytest.fixture(scope="session")
def snapshot_of():
    """CPython's snapshot of a core's traces."""
    def make(core):
        answer = coreanalyze_json("traces", core)
        return tracemalloc.Snapshot([(trace["domain"], trace["size"], tuple(map(tuple, reversed(trace["frames"]))),
                                      trace["total_nframe"]) for trace in answer["traces"]], answer["traceback_limit"])
    return make


def totals_text(statistics, shown, total):
    """The lines after the statistics, but for coverage, as display_top() of tracemalloc's documentation prints them."""
    lines = []
    other = statistics[shown:]
    if other:
        lines.append(f"{len(other)} other: {sum(stat.size for stat in other) / 1024:.1f} KiB")
    return [*lines, f"Total allocated size: {total / 1024:.1f} KiB"]


def text_of(*arguments):
    """The lines of a text answer without the coverage line."""
    lines = coreanalyze(*arguments).stdout.splitlines()
    assert lines[-1].startswith("coverage: ")
    return lines[:-1]


@pytest.mark.parametrize("key", ["lineno", "filename"])
@pytest.mark.parametrize("cumulative", [False, True])
@pytest.mark.parametrize("shown", [3, 10, 0])
def test_statistics_are_cpythons(core, snapshot_of, key, cumulative, shown):
    snapshot = snapshot_of(core)
    statistics = snapshot.statistics(key, cumulative)
    number = shown or len(statistics)
    linecache.clearcache()
    expected = [f"[ Top {number} ]"]
    for stat in statistics[:number]:
        expected.append(str(stat))
        source = linecache.getline(stat.traceback[0].filename, stat.traceback[0].lineno).strip()
        expected += [f"    {source}"] if source else []
    expected += totals_text(statistics, number, sum(trace.size for trace in snapshot.traces))
    # the caller of a nameless address is ours, not CPython's
    found = [line for line in text_of("top", "--by", key, *(["--cumulative"] if cumulative else []), f"-n{shown}", core)
             if not line.startswith("    called from ")]
    assert found == expected


@pytest.mark.parametrize("nframe", [None, 0, 1, 2, 100])
def test_tracebacks_are_cpythons(core, snapshot_of, nframe):
    snapshot = snapshot_of(core)
    statistics = snapshot.statistics("traceback")
    linecache.clearcache()
    expected = ["[ Top 10 ]"]
    for stat in statistics[:10]:
        expected.append(f"{stat.count} memory blocks: {stat.size / 1024:.1f} KiB")
        expected += stat.traceback.format(nframe)
    expected += totals_text(statistics, 10, sum(trace.size for trace in snapshot.traces))
    options = [] if nframe is None else ["--nframe", nframe]
    assert text_of("top", "--by", "traceback", *options, core) == expected


@pytest.mark.parametrize("key", ["lineno", "filename"])
@pytest.mark.parametrize("cumulative", [False, True])
def test_differences_are_cpythons(core, later_core, snapshot_of, key, cumulative):
    old, new = snapshot_of(core), snapshot_of(later_core)
    for first, second, cores in ((old, new, (core, later_core)), (new, old, (later_core, core)), (old, old, (core, core))):
        statistics = second.compare_to(first, key, cumulative)
        total = sum(trace.size for trace in second.traces)
        growth = total - sum(trace.size for trace in first.traces)
        other = statistics[5:]
        expected = ["[ Top 5 differences ]", *map(str, statistics[:5])]
        if other:
            expected.append(f"{len(other)} other: {sum(stat.size for stat in other) / 1024:.1f} KiB "
                            f"({sum(stat.size_diff for stat in other) / 1024:+.1f} KiB)")
        expected.append(f"Total allocated size: {total / 1024:.1f} KiB ({growth / 1024:+.1f} KiB)")
        options = ["--cumulative"] if cumulative else []
        found = [line for line in text_of("diff", "--by", key, *options, "--no-source", "-n5", *cores)
                 if not line.startswith(("    called from ", "coverage of the old: "))]
        assert found == expected
    assert f"{SOURCE}:{marked_line('EXTRA')}: size=31.2 KiB (+31.2 KiB), count=500 (+500), average=64 B" in \
        coreanalyze("diff", core, later_core).stdout


def test_filters_are_cpythons(core, snapshot_of):
    """Random filters, all combinations of the options, against filter_traces()."""
    snapshot = snapshot_of(core)
    frames = sorted({frame for trace in snapshot.traces for frame in trace.traceback})
    rng = random.Random(20)
    kept = set()
    for _ in range(40):
        all_frames = rng.random() < 0.4
        options, filters = (["--all-frames"], []) if all_frames else ([], [])
        for _ in range(rng.randint(1, 3)):
            frame = rng.choice(frames)
            name = rng.choice([frame.filename, "*cli*", "*/cli.c", "*header*", "<unknown>", "*", "[!/]*"])
            line = rng.choice([None, None, frame.lineno, 0])
            inclusive = rng.random() < 0.6
            if rng.random() < 0.15:
                domain = rng.choice([0, 1])
                options += ["--include-domain" if inclusive else "--exclude-domain", str(domain)]
                filters.append(tracemalloc.DomainFilter(inclusive, domain))
                continue
            options += ["--include" if inclusive else "--exclude", name if line is None else f"{name}:{line}"]
            filters.append(tracemalloc.Filter(inclusive, name, line, all_frames=all_frames))
        rng.shuffle(filters)
        expected = snapshot.filter_traces(filters)
        statistics = expected.statistics("lineno")
        found = text_of("top", "-n0", "--no-source", *options, core)
        assert [line for line in found[1:-1] if not line.startswith("    called from ")] == list(map(str, statistics)), options
        assert found[-1] == f"Total allocated size: {sum(trace.size for trace in expected.traces) / 1024:.1f} KiB"
        kept.add(len(expected.traces))
    assert len(kept) > 8


def test_unique_cumulative(core, snapshot_of):
    """Our extension: a block counts once per group, whatever the depth of its recursion."""
    sizes = {}
    for trace in snapshot_of(core).traces:
        for name in {frame.filename for frame in trace.traceback}:
            size, count = sizes.get(name, (0, 0))
            sizes[name] = (size + trace.size, count + 1)
    answer = coreanalyze_json("top", "-n0", "--by", "filename", "--cumulative=unique", core)
    assert {item["traceback"][0]["filename"]: (item["size"], item["count"]) for item in answer["statistics"]} == sizes


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
