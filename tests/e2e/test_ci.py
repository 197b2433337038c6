"""What a job of continuous integration relies on: limits, suppression files as LeakSanitizer has them, exit codes."""

import csv
import io
import json
import os
import re

import harness
import pytest
from harness import coreanalyze, coreanalyze_json
from test_leaks import leak_sanitizer_problem

EXIT_OVER, EXIT_USAGE = 3, 64

# What is leaked, by function: 3 holders of 16 bytes, each of which alone holds an item of 100; 5 strays of 7; a shared
# one of 40 to which a holder and a stray point.
SOURCE = """
#include "leaks.h"

struct holder { void *item, *shared; };
struct stray { char bytes[7]; };

NOINLINE void *make_item(void) { return allocate(100); }
NOINLINE void *make_shared(void) { return allocate(40); }
NOINLINE struct holder *make_holder(void *shared)
{
    struct holder *holder = allocate(sizeof *holder);
    *holder = (struct holder){make_item(), shared};
    return holder;
}
NOINLINE void **make_stray(void) { return allocate(8); }

NOINLINE void leak(void)
{
    void *shared = make_shared();
    for (int i = 0; i < 3; i++) {
        escape(make_holder(i ? NULL : shared));
    }
    for (int i = 0; i < 5; i++) {
        void **stray = make_stray();
        *stray = i ? NULL : shared;
        escape(stray);
    }
}

int main(void)
{
    leak();
    scrub();
    finish();
}
"""
HOLDERS, ITEMS, STRAYS, SHARED = (3, 48), (3, 300), (5, 40), (1, 40)
ALL = tuple(map(sum, zip(HOLDERS, ITEMS, STRAYS, SHARED)))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("ci")
    (path / "forgets.c").write_text(SOURCE)
    return path


@pytest.fixture(scope="module")
def core(directory):
    program = harness.compile_program(directory / "forgets.c", directory / "forgets", "-g", "-O1", f"-I{harness.PROGRAMS / 'leaks'}")
    return harness.crash(harness.traced([program]), directory / "run")[1]


def leaked(core, file, *options, **more):
    return coreanalyze_json("leaks", "-n", "0", "--suppressions", file, *options, core, **more)


def pair(sums):
    return sums["count"], sums["size"]


def plus(*pairs):
    return tuple(map(sum, zip((0, 0), *pairs)))


# --------------------------------------------------------------------------------------------------------- suppressions

PATTERNS = [  # what a file says, the blocks that it suppresses, and others that they hold
    ("leak:make_holder", plus(HOLDERS, ITEMS), SHARED),  # the items' tracebacks have it, too
    ("leak:make_stray", STRAYS, SHARED),
    ("leak:^make_item$", ITEMS, (0, 0)),
    ("leak:stray\nleak:holder", plus(HOLDERS, ITEMS, STRAYS), SHARED),
    ("leak:ke_st*y", STRAYS, SHARED),
    ("leak:^ke_stray", (0, 0), (0, 0)),
    ("leak:make_str$", (0, 0), (0, 0)),
    ("leak:forgets.c", ALL, (0, 0)),
    ("leak:/forgets$", ALL, (0, 0)),
    ("leak:libnothing.so\n# leak:main\n\n  leak:make_shared  ", SHARED, (0, 0)),
    ("leak:make_stray(int, char const*)", STRAYS, SHARED),
    ("leak:^allocate$\nleak:make_stray", ALL, (0, 0)),
    ("leak:make?stray\nleak:make[_]stray", (0, 0), (0, 0)),
]


@pytest.mark.parametrize("text, matched, held", PATTERNS)
def test_suppressions(text, matched, held, core, tmp_path):
    (tmp_path / "known").write_text(text)
    answer = leaked(core, tmp_path / "known")
    assert (pair(answer["suppressed"]), pair(answer["suppressed"]["held"])) == (matched, held)
    assert plus(pair(answer["total"]), matched, held) == ALL
    assert plus(*map(pair, answer["leaks"])) == pair(answer["total"])
    assert plus(*map(pair, answer["suppressed"]["patterns"])) == matched
    for pattern in answer["suppressed"]["patterns"]:
        assert text.splitlines()[pattern["line"] - 1].strip() == "leak:" + pattern["pattern"]
        assert pattern["file"] == str(tmp_path / "known")


def test_a_block_that_others_hold_stays(core, tmp_path):
    """What a leak that is not suppressed holds, too, is an indirect leak, whatever else holds it."""
    (tmp_path / "known").write_text("leak:make_holder")
    kinds = {(leak["traceback"][-1]["function"], leak["kind"]): pair(leak)
             for leak in coreanalyze_json("leaks", "--skip", "allocate", core)["leaks"]}
    assert kinds == {("make_holder", "direct"): HOLDERS, ("make_item", "indirect"): ITEMS, ("make_stray", "direct"): STRAYS,
                     ("make_shared", "indirect"): SHARED}
    left = {(leak["traceback"][-1]["function"], leak["kind"]): pair(leak)
            for leak in leaked(core, tmp_path / "known", "--skip", "allocate")["leaks"]}
    assert left == {("make_stray", "direct"): STRAYS}, "shared counts as held: a holder that is known reaches it"


def sanitizer_table(report):
    """LeakSanitizer's summary: {template: (count, bytes)}."""
    table = report.partition("Suppressions used:")[2]
    return {template: (int(count), int(size)) for count, size, template in re.findall(r"^ *(\d+) +(\d+) (\S.*)$", table, re.MULTILINE)}


def test_leak_sanitizer_reads_the_same_files(core, directory, tmp_path):
    if leak_sanitizer_problem():
        pytest.skip(leak_sanitizer_problem())
    program = harness.compile_program(directory / "forgets.c", tmp_path / "forgets", "-g", "-O1", "-DLSAN", "-fsanitize=leak", "-fno-omit-frame-pointer",
                                      f"-I{harness.PROGRAMS / 'leaks'}")
    for text, _, _ in (PATTERNS[index] for index in (0, 2, 3, 4, 8, 9)):  # of functions of C++ LeakSanitizer knows the parameters
        (tmp_path / "known").write_text(text)
        report = harness.run([program], env=harness.clean_environment(LSAN_OPTIONS=f"suppressions={tmp_path}/known")).stderr
        if "fatal error" in report:
            pytest.skip("LeakSanitizer does not run here: " + report[report.index("fatal error"):].splitlines()[0])
        answer = leaked(core, tmp_path / "known", "--roots", "lsan")
        used = {pattern["pattern"]: pair(pattern) for pattern in answer["suppressed"]["patterns"] if pattern["count"]}
        assert used == sanitizer_table(report), text
        kinds = {kind: plus(*[(int(count), int(size)) for size, count in
                              re.findall(kind.capitalize() + r" leak of (\d+) byte\(s\) in (\d+) object", report)])
                 for kind in ("direct", "indirect")}
        assert {kind: pair(answer["total"][kind]) for kind in kinds} == kinds, text


def test_suppressions_in_text(core, tmp_path):
    (tmp_path / "known").write_text("leak:make_item\nleak:obsolete\nleak:make_holder\n")
    lines = coreanalyze("leaks", "--suppressions", tmp_path / "known", core).stdout.splitlines()
    begin = lines.index("Suppressions used:")
    assert lines[begin - 1].startswith("Total leaked size: ") and lines[begin + 1:begin + 5] == [
        "  count      bytes template", "      3        300 make_item", "      3         48 make_holder",
        "Suppressed size: 348 B in 6 blocks by 2 of 3 patterns; they hold 40 B in 1 block"]
    assert lines[-1].startswith("coverage: ")
    result = coreanalyze("leaks", "--suppressions", tmp_path / "known", "--format", "csv", core)
    assert {row["function"] for row in csv.DictReader(io.StringIO(result.stdout))} == {"allocate"}
    assert "coreanalyze:       3        300 make_item" in result.stderr.splitlines()
    assert "Suppress" not in coreanalyze("leaks", core).stdout


def test_suppressions_of_several_files(core, tmp_path):
    """The first pattern that matches gets the block; of frames, the most recent one that any matches."""
    (tmp_path / "a").write_text("leak:make_holder\n")
    (tmp_path / "b").write_text("\nleak:make_item\nleak:make_holder\n")
    patterns = coreanalyze_json("leaks", "--suppressions", tmp_path / "a", "--suppressions", tmp_path / "b", core)["suppressed"]["patterns"]
    assert [(pattern["file"][-1], pattern["line"], pattern["count"]) for pattern in patterns] == [("a", 1, 3), ("b", 2, 3), ("b", 3, 0)]


def test_suppressions_and_filters(core, tmp_path):
    """The numbers are about what the filters leave."""
    (tmp_path / "known").write_text("leak:make_holder")
    answer = leaked(core, tmp_path / "known", "--max-size", "50")
    assert pair(answer["suppressed"]) == HOLDERS and pair(answer["suppressed"]["held"]) == SHARED and pair(answer["total"]) == STRAYS


@pytest.mark.parametrize("text, line, shown", [
    ("leak:a\nleek:b\n", 2, "leek:b"), ("leak:\n", 1, "leak:"), ("\n\nrace:x\n", 3, "race:x"), ("leak:a\n# b\n\x1b[31m\n", 3, "\\x1b[31m"),
])
def test_bad_suppressions(text, line, shown, core, tmp_path):
    file = tmp_path / "known"
    file.write_text(text)
    result = coreanalyze("leaks", "--suppressions", file, core, status=EXIT_USAGE)
    assert result.stdout == "" and result.stderr == \
        f"coreanalyze: leaks: {file}:{line}: '{shown}' is no suppression; leak:PATTERN expected, or a comment that begins with #\n"


def test_suppressions_that_cannot_be_read(core, tmp_path):
    for file, why in ((tmp_path / "missing", "No such file or directory"), (tmp_path, "Is a directory")):
        result = coreanalyze("leaks", "--suppressions", file, core, status=EXIT_USAGE)
        assert result.stdout == "" and result.stderr == f"coreanalyze: leaks: --suppressions: cannot read {file}: {why}\n"


def test_addresses_fit_a_terminal(core):
    """Of ten addresses as many as fit are shown; the others count among those that are not."""
    line = next(line for line in coreanalyze("leaks", "--width", "60", core).stdout.splitlines() if line.startswith("    at "))
    assert re.fullmatch(r"    at 0x[0-9a-f]+, 0x[0-9a-f]+ and 1 more", line) and len(line) <= 60
    assert coreanalyze("leaks", core).stdout.count("0x") == ALL[0]


# --------------------------------------------------------------------------------------------------------------- limits

def test_fail_over_with_suppressions(core, tmp_path):
    (tmp_path / "known").write_text("leak:make_holder\n")
    arguments = ["leaks", "--suppressions", tmp_path / "known", "--fail-over"]
    assert coreanalyze(*arguments, STRAYS[1], core).stderr == ""
    over = coreanalyze(*arguments, STRAYS[1] - 1, core, status=EXIT_OVER)
    assert over.stderr == f"coreanalyze: {STRAYS[1]} bytes are leaked, more than --fail-over {STRAYS[1] - 1}\n"
    (tmp_path / "known").write_text("leak:forgets")
    coreanalyze(*arguments, "0", core)


FORMATS = {"report": ["text"], "top": ["text", "json", "csv", "folded", "speedscope", "pprof"],
           "diff": ["text", "json", "csv", "folded", "speedscope"], "leaks": ["text", "json", "csv", "folded", "speedscope"]}


@pytest.mark.parametrize("command", FORMATS)
def test_fail_over_in_every_format(command, core, tmp_path):
    """The exit code is 3, and the answer is what it is without a limit, on standard output and in a file."""
    empty = tmp_path / "empty.pb.gz"
    coreanalyze("save", "--include", "nothing", core, empty)
    sources = [empty, core] if command == "diff" else [core]
    for name in FORMATS[command]:
        chosen = [] if command == "report" else ["--format", name]
        file = [] if name == "text" else ["-o", tmp_path / "answer"]
        plain = coreanalyze(command, *chosen, *sources, binary=True)
        over = coreanalyze(command, *chosen, *file, "--fail-over", "100", *sources, status=EXIT_OVER, binary=True)
        assert ((tmp_path / "answer").read_bytes() if file else over.stdout) == plain.stdout, name
        assert over.stdout == b"" or not file
        assert over.stderr.replace(plain.stderr, b"").count(b"more than --fail-over 100\n") == 1
    coreanalyze(command, "--fail-over", "1G", *sources)


def test_a_limit_outweighs_a_partial_answer(core, tmp_path):
    (tmp_path / "cut").write_bytes(core.read_bytes()[:-4096])
    assert coreanalyze("top", tmp_path / "cut", status=None).returncode == 1
    assert coreanalyze("top", "--fail-over", "0", tmp_path / "cut", status=None).returncode == EXIT_OVER


def test_guide_names_what_there_is():
    """docs/ci.md: its command lines are ones that coreanalyze takes."""
    text = (harness.REPO / "docs" / "ci.md").read_text()
    used = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", " ".join(re.findall(r"^.*coreanalyze (?:top|diff|leaks|save|report).*$", text, re.MULTILINE))))
    known = set(re.findall(r"--[a-z][\w-]+", "".join(coreanalyze(command, "--help").stdout for command in (*FORMATS, "save"))))
    assert used and used <= known


# ---------------------------------------------------------------------------------------------------------------- guide

EXAMPLES = harness.REPO / "docs" / "examples"


@pytest.mark.parametrize("flags, status", [((), EXIT_OVER), (("-DMENDED",), 0)])
def test_job_of_the_guide(flags, status, tmp_path):
    """It finds the leak, and nothing once that is mended."""
    server = harness.compile_program(EXAMPLES / "sessions.c", tmp_path / "sessions", "-g", "-O1", *flags)
    environment = harness.clean_environment(PATH=f"{harness.BUILD / 'bin'}:{os.environ['PATH']}")
    result = harness.run([EXAMPLES / "memory-job", server, EXAMPLES / "known-leaks.supp", tmp_path], env=environment)
    assert result.returncode == status, result.stdout + result.stderr
    names = [len(f"user-{user}-of-the-server") + 1 for user in range(1, 221)]
    growth, lost = (sum(names[20:]), sum(names)) if status else (0, 0)
    total = json.loads((tmp_path / "leaks.json").read_text())["total"]
    assert pair(total) == (220 if status else 0, lost)
    assert "Suppressed size: 156 B in 2 blocks by 1 of 1 pattern\n" in result.stdout, result.stdout
    expected = [f"coreanalyze: growth is {growth} bytes, more than --fail-over 1024",
                f"coreanalyze: {lost} bytes are leaked, more than --fail-over 0"] if status else []
    assert result.stderr.splitlines() == expected
