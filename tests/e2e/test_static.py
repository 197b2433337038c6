"""Fully static programs, linked with libtm.a as pkg-config --static says: traced as exactly as any other."""

import harness
import pytest
import second_reader
import test_known_program as known_program

LINKING = {"static": (["-fno-pie"], ["-static"]), "static-pie": (["-fPIE"], ["-static-pie"])}


def static_flags():
    environment = harness.clean_environment(PKG_CONFIG_PATH=harness.BUILD / "lib" / "pkgconfig")
    return harness.run_ok(["pkg-config", "--static", "--libs", "tm"], env=environment).stdout.split()


@pytest.fixture(scope="module", params=[(compiler, linking) for compiler in known_program.COMPILERS for linking in LINKING],
                ids="-".join)
def known(request, tmp_path_factory):
    """tests/programs/known.c without any shared library, with debug information."""
    directory = tmp_path_factory.mktemp("static")
    compiler, linking = request.param
    cc, cxx = known_program.COMPILERS[compiler]
    compile_flags, link_flags = LINKING[linking]
    c_source, cxx_source = known_program.SOURCES
    flags = ["-g", "-O2", *compile_flags]
    harness.run_ok([cc, *flags, "-D_GNU_SOURCE", "-c", c_source, "-o", directory / "known.o"])
    linked = harness.run_ok([cxx, *flags, "-std=c++17", cxx_source, directory / "known.o", "-o", directory / "known",
                             *link_flags, "-pthread", *static_flags()])
    assert "warning" not in linked.stderr
    assert "INTERP" not in harness.run_ok(["readelf", "-lW", directory / "known"]).stdout
    return directory / "known"


def test_every_block_of_every_line(known, tmp_path):
    core, _ = known_program.crash_known(known, tmp_path)
    assert known_program.lines_of_top(core) == known_program.EXPECTED
    traces = harness.coreanalyze_json("traces", core)["traces"]
    places = [trace for trace in traces if trace["frames"][-1][0] in known_program.PATHS]
    assert places and all(len(trace["frames"]) > 1 for trace in places)


def test_stripped(known, tmp_path):
    """From the core alone: the same blocks and bytes, and each way to the table leads to it."""
    totals = []
    for directory in (tmp_path / "whole", tmp_path / "strip"):  # of one length: libc keeps the program's directory
        directory.mkdir()
        program = directory / "known"
        harness.run_ok(["objcopy", *(["-S"] if directory.name == "strip" else []), known, program])
        core, _ = known_program.crash_known(program, directory)
        program.unlink()
        totals.append(harness.coreanalyze_json("top", core, status=None)["total"])
    assert totals[0] == totals[1] and totals[0]["count"] > sum(count for count, _ in known_program.EXPECTED.values())
    memory = second_reader.Core(core)
    for name, route in second_reader.ROUTES.items():
        assert route(memory) == second_reader.PREFERRED, name


BAD_ALLOC = """
#include <cstdio>
#include <new>
static int asked;
static void make_room()
{
    if (++asked == 3) {
        std::set_new_handler(nullptr);
    }
}
int main(int argc, char **)
{
    std::set_new_handler(make_room);
    try {
        std::printf("%p\\n", (void *)new char[(std::size_t)argc << 50]);
    } catch (const std::bad_alloc &error) {
        std::printf("%s, asked %d times\\n", error.what(), asked);
    }
}
"""


def test_new_fails_as_libstdcxx_has_it(tmp_path):
    source = tmp_path / "fails.cpp"
    source.write_text(BAD_ALLOC)
    program = harness.compile_program(source, tmp_path / "fails", "-static")
    linked = tmp_path / "linked"
    harness.run_ok([harness.CXX, "-static", "-o", linked, source, "-lstdc++", *static_flags()])
    expected = harness.run_ok([program]).stdout
    assert "asked 3 times" in expected
    for frames in ("0", "5"):
        assert harness.run_ok(harness.traced([linked], "-n", frames)).stdout == expected


def test_without_its_flags_no_program_comes_to_be(tmp_path):
    """Rather than one whose malloc fails after 64 KiB."""
    result = harness.run([harness.CC, "-static", "-o", tmp_path / "linked", harness.PROGRAMS / "linked.c",
                          harness.BUILD / "lib" / "libtm.a"])
    assert result.returncode != 0 and "malloc" in result.stderr
