"""What the report and the coverage line say where little or nothing was recorded."""

import pytest

import harness

CRASH_IN_LIBRARY = """
#include <stdlib.h>
#include <zlib.h>
int main(void) { return malloc(100) && crc32(0, (const unsigned char *)8, 1000); }
"""
LEAVES = """
#include <stdlib.h>
int main(void) { for (int i = 0; i < 3000; i++) { if (!malloc(100)) { return 1; } } abort(); }
"""


def build(tmp_path, text, *libraries):
    source = tmp_path / "program.c"
    source.write_text(text)
    return harness.compile_program([source, *libraries], tmp_path / "program", "-g", "-O0")


def test_crash_in_a_library_without_recorded_frames(tmp_path):
    """zlib is in no table then: its name comes from the core's own list of files."""
    program = build(tmp_path, CRASH_IN_LIBRARY, "-lz")
    _, core = harness.crash(harness.traced([program]), tmp_path / "run")
    assert not any("libz" in module["path"] for module in harness.coreanalyze_json("info", core)["modules"])
    report = harness.coreanalyze(core).stdout
    line = next(line for line in report.splitlines() if " was " in line)
    assert "libz.so" in line and "(crc32" in line


@pytest.mark.parametrize("options, words, status", [
    (["-n", "0"], "not tracing", 0),
    (["-o", "max=300K"], "NOTHING TRACED: the tracer could not make its tables", 1),
    (["-o", "max=100M"], "every block traced", 0)])
def test_coverage_says_what_was_traced(tmp_path, options, words, status):
    _, core = harness.crash(harness.traced([build(tmp_path, LEAVES)], *options), tmp_path / "run")
    answer = harness.coreanalyze("top", core, status=status).stdout
    assert answer.splitlines()[-1].endswith(f", {words}")


def test_dropped_blocks_are_not_said_to_be_traced(tmp_path):
    """A cap under which the tables begin and then cannot grow."""
    program = build(tmp_path, LEAVES.replace("3000", "300000"))
    for cap in range(500, 4000, 100):
        _, core = harness.crash(harness.traced([program], "-o", f"max={cap}K"), tmp_path / f"run{cap}")
        coverage = harness.coreanalyze_json("top", core, status=None)["coverage"]
        if coverage["dropped"]:
            break
        core.unlink()
    assert coverage["dropped"] and coverage["blocks"] + coverage["dropped"] >= 300000
    assert harness.coreanalyze("top", core).stdout.splitlines()[-1].endswith(", all others traced")


@pytest.mark.parametrize("command", [["save", "{}", "{}"], ["top", "-o", "{}", "{}"], ["-o", "{}", "{}"]])
def test_the_source_is_never_written_over(tmp_path, command):
    _, core = harness.crash(harness.traced([build(tmp_path, LEAVES)]), tmp_path / "run")
    before = core.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(core)
    for name in (core, link):
        words = [word.format(core if at == len(command) - 1 else name) for at, word in enumerate(command)]
        refused = harness.coreanalyze(*words, status=64)
        assert "is what is read" in refused.stderr
    assert core.read_bytes() == before
