"""A program whose every allocation is known in advance: counts and bytes are exact on every line, however it was compiled.

The expectation is read from markers in the program's source (tests/programs/known.h), never from the output under test.
"""

import collections
import dataclasses
import pathlib
import re
import shutil

import harness
import pytest

SOURCES = [harness.PROGRAMS / "known.c", harness.PROGRAMS / "known_cxx.cpp"]
COMPILERS = {"gcc": ("gcc", "g++"), "clang": ("clang", "clang++")}
OPTIMISATION = {"O0": ["-O0"], "O2": ["-O2", "-fomit-frame-pointer"]}
LINKING = {"pie": (["-fPIE"], ["-pie"]), "no-pie": (["-fno-pie"], ["-no-pie"])}


@dataclasses.dataclass(frozen=True)
class Marker:
    """What the source says about one of its lines."""

    kind: str
    count: int
    size: int
    thread: str


def read_markers():
    """{(file, line): Marker} of both halves."""
    markers = {}
    pattern = re.compile(r"\b(EXPECT|WITHIN) count=(\d+) size=(\d+)(?: thread=(\w+))?")
    for source in SOURCES:
        for number, line in enumerate(source.read_text().splitlines(), 1):
            found = pattern.search(line)
            if found:
                markers[str(source), number] = Marker(found[1], int(found[2]), int(found[3]), found[4] or "main")
    return markers


MARKERS = read_markers()
EXPECTED = {place: (marker.count, marker.size) for place, marker in MARKERS.items() if marker.kind == "EXPECT"}
WITHIN = {place: (marker.count, marker.size) for place, marker in MARKERS.items() if marker.kind == "WITHIN"}
PATHS = {str(source) for source in SOURCES}


def test_markers_are_read():
    """The source has markers in both halves; a pattern that matches nothing would make every other test here pass."""
    assert {path for path, _ in EXPECTED} == PATHS
    assert len(EXPECTED) > 30 and len(WITHIN) == 3


def compile_known(directory, compiler, optimisation, linking, *more_flags):
    """The program with debug information."""
    cc, cxx = COMPILERS[compiler]
    compile_flags, link_flags = LINKING[linking]
    flags = ["-g", *OPTIMISATION[optimisation], *compile_flags, *more_flags]
    harness.run_ok([cc, *flags, "-D_GNU_SOURCE", "-c", SOURCES[0], "-o", directory / "known.o"])
    harness.run_ok([cxx, *flags, "-std=c++17", SOURCES[1], directory / "known.o", "-o", directory / "known",
                    *link_flags, "-pthread"])
    return directory / "known"


VARIANTS = [(compiler, optimisation, linking)
            for compiler in COMPILERS for optimisation in OPTIMISATION for linking in LINKING]


@pytest.fixture(scope="module", params=VARIANTS, ids="-".join)
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def known(variant, tmp_path_factory):
    """The program in one of its variants."""
    return compile_known(tmp_path_factory.mktemp("known"), *variant)


def crash_known(program, directory, *tm_run_options):
    """Core and standard output of a traced run; the program must get to its abort()."""
    result, core = harness.crash(harness.traced([program], *tm_run_options), directory)
    assert "must" not in result.stderr, result.stderr
    return core, result.stdout


def lines_of_top(core, *options):
    """{(file, line): (count, size)} of the known sources as `top` gives them."""
    answer = harness.coreanalyze_json("top", "-n", "0", *options, core)
    lines = {}
    for statistic in answer["statistics"]:
        (frame,) = statistic["traceback"]
        place = frame["filename"], frame["lineno"]
        assert place not in lines, f"{place} twice"
        lines[place] = statistic["count"], statistic["size"]
    return {place: found for place, found in lines.items() if place[0] in PATHS and place not in WITHIN}


def lines_of_traces(core, place_of):
    """{place: (count, size)} where place_of(trace) gives the places that a trace counts for."""
    totals = collections.defaultdict(lambda: (0, 0))
    for trace in harness.coreanalyze_json("traces", core)["traces"]:
        for place in place_of(trace):
            count, size = totals[place]
            totals[place] = count + 1, size + trace["size"]
    return totals


def places_within(trace):
    return {tuple(frame[:2]) for frame in trace["frames"]}


def test_lines(known, tmp_path):
    """With debug information: top and traces."""
    core, _ = crash_known(known, tmp_path)
    assert lines_of_top(core) == EXPECTED
    recent = lines_of_traces(core, lambda trace: [tuple(trace["frames"][-1][:2])])
    assert {place: recent[place] for place in EXPECTED} == EXPECTED
    within = lines_of_traces(core, places_within)
    assert {place: within[place] for place in WITHIN} == WITHIN


def test_addresses_are_distinct(known, tmp_path):
    """No block is listed twice, and alignment asked for is alignment shown."""
    core, _ = crash_known(known, tmp_path)
    traces = harness.coreanalyze_json("traces", core)["traces"]
    addresses = [int(trace["address"], 16) for trace in traces]
    assert len(addresses) == len(set(addresses)) and all(addresses)
    (aligned,) = [trace for trace in traces if trace["size"] == 131 and trace["frames"][-1][0] == str(SOURCES[0])]
    assert int(aligned["address"], 16) % (1 << 20) == 0


@pytest.mark.parametrize("route", ["debuglink", "build-id"])
def test_separate_debug_file(known, tmp_path, route):
    """Stripped, with a separate debug file found by .gnu_debuglink or by build-id below --debug-dir."""
    program = tmp_path / "stripped"
    debug = tmp_path / "stripped.debug"
    harness.run_ok(["objcopy", "--only-keep-debug", known, debug])
    harness.run_ok(["strip", "-s", "-o", program, known])
    options = []
    if route == "debuglink":
        harness.run_ok(["objcopy", f"--add-gnu-debuglink={debug}", program])
        (tmp_path / ".debug").mkdir()
        debug.rename(tmp_path / ".debug" / debug.name)
    else:
        build_id = re.search(r"Build ID: ([0-9a-f]+)", harness.run_ok(["readelf", "-n", known]).stdout)
        if build_id is None:  # clang may leave it out
            pytest.skip("this compiler writes no build-id")
        place = tmp_path / "debug" / ".build-id" / build_id[1][:2]
        place.mkdir(parents=True)
        debug.rename(place / f"{build_id[1][2:]}.debug")
        # libc's stays in reach: only with it asprintf's inner frame has the name by which it is taken off
        options = ["--debug-dir", f"{tmp_path}/debug:/usr/lib/debug"]
    core, _ = crash_known(program, tmp_path / "run")
    assert lines_of_top(core, *options) == EXPECTED


def test_stripped(variant, tmp_path):
    """Stripped without a debug file: module and offset of each call, which the unstripped twin turns into lines."""
    # eu-addr2line finds units by .debug_aranges, which clang makes only when asked to
    known = compile_known(tmp_path, *variant, *(["-gdwarf-aranges"] if "clang" in variant else []))
    program = tmp_path / "stripped"
    harness.run_ok(["strip", "-s", "-o", program, known])
    core, _ = crash_known(program, tmp_path / "run")
    answer = harness.coreanalyze_json("top", "-n", "0", core)
    offsets = {}
    for statistic in answer["statistics"]:
        (frame,) = statistic["traceback"]
        assert frame["filename"] not in PATHS, "a stripped program has no lines"
        found = re.fullmatch(re.escape(str(program)) + r"\(\+0x([0-9a-f]+)\)", frame["filename"])
        if found:
            assert frame["lineno"] == 0 and frame["module"] == str(program)
            offsets[int(found[1], 16)] = statistic["count"], statistic["size"]
    totals = collections.defaultdict(lambda: (0, 0))
    for offset, (count, size) in offsets.items():
        place = innermost_known_line(known, offset - 1)
        totals[place] = totals[place][0] + count, totals[place][1] + size
    assert {place: total for place, total in totals.items() if place[0] in PATHS and place not in WITHIN} == EXPECTED


def innermost_known_line(program, address):
    """(file, line) in the known sources by elfutils, calls inlined from the C library's headers left out."""
    for line in harness.run(["eu-addr2line", "-i", "-e", program, hex(address)]).stdout.splitlines():
        path, number = re.match(r"(.*?):(\d+)", line).groups()
        if path in PATHS:
            return path, int(number)
    return "", 0


def test_threads(tmp_path):
    """With detail=1 every block names its thread, and statistics group by it."""
    program = compile_known(tmp_path, "gcc", "O2", "pie")
    core, output = crash_known(program, tmp_path / "run", "-o", "detail=1")
    tids = {name: int(tid) for name, tid in re.findall(r"^thread (\w+) (\d+)$", output, re.MULTILINE)}
    assert set(tids) == {"main", "first", "second"}
    assert lines_of_top(core) == EXPECTED
    threads = collections.defaultdict(list)
    for trace in harness.coreanalyze_json("traces", core)["traces"]:
        threads[tuple(trace["frames"][-1][:2])].append(trace["thread"])
    for place, marker in MARKERS.items():
        if marker.kind == "WITHIN":
            continue
        if marker.thread == "others":
            assert len(set(threads[place])) == marker.count and not set(threads[place]) & set(tids.values()), place
        else:
            assert threads[place] == [tids[marker.thread]] * marker.count, place
    first = {place: (marker.count, marker.size) for place, marker in MARKERS.items() if marker.thread == "first"}
    assert lines_of_top(core, "--thread", str(tids["first"])) == first


def test_threads_need_detail(tmp_path, program):
    """Without detail=1, grouping by thread is a usage error that says so; the JSON field is null."""
    known_program = compile_known(tmp_path, "gcc", "O0", "pie")
    core, _ = crash_known(known_program, tmp_path / "run")
    result = harness.coreanalyze("top", "--by", "thread", core, status=64)
    assert "detail" in result.stderr and result.stdout == ""
    assert {trace["thread"] for trace in harness.coreanalyze_json("traces", core)["traces"]} == {None}


def test_totals_agree(tmp_path):
    """The JSON's total is the sum of its statistics, of the traces, and of what top leaves under "other"."""
    known_program = compile_known(tmp_path, "gcc", "O2", "pie")
    core, _ = crash_known(known_program, tmp_path / "run")
    everything = harness.coreanalyze_json("top", "-n", "0", core)
    total = everything["total"]
    assert sum(statistic["size"] for statistic in everything["statistics"]) == total["size"]
    assert sum(statistic["count"] for statistic in everything["statistics"]) == total["count"]
    three = harness.coreanalyze_json("top", "-n", "3", core)
    assert three["total"] == total and three["statistics"] == everything["statistics"][:3]
    assert three["other"]["size"] == total["size"] - sum(statistic["size"] for statistic in three["statistics"])
    assert three["other"]["groups"] == len(everything["statistics"]) - 3
    traces = harness.coreanalyze_json("traces", core)["traces"]
    assert (len(traces), sum(trace["size"] for trace in traces)) == (total["count"], total["size"])
    assert everything["coverage"]["blocks"] == total["count"] and everything["coverage"]["dropped"] == 0


def test_nframe_keeps_the_most_recent(tmp_path):
    """`descend` is 200 calls deep: a limit of 5 keeps the 5 most recent frames, and the depth is the true one or unknown."""
    known_program = compile_known(tmp_path, "gcc", "O0", "pie")
    core, _ = crash_known(known_program, tmp_path / "run", "-n", "5")
    answer = harness.coreanalyze_json("traces", core)
    assert answer["traceback_limit"] == 5
    (deep,) = [trace for trace in answer["traces"] if trace["size"] == 1234]
    # below the 201 frames of descend: main, and what the C library puts under it
    assert len(deep["frames"]) == 5 and deep["total_nframe"] in (None, *range(203, 207))
    assert {frame[0] for frame in deep["frames"]} == {str(SOURCES[0])}
    shallow = shutil.copy(known_program, tmp_path / "shallow")
    core, _ = crash_known(shallow, tmp_path / "run-1", "-n", "1")
    assert lines_of_traces(core, lambda trace: [tuple(trace["frames"][-1][:2])]).keys() >= set(EXPECTED) - IN_LIBRARY


# Lines whose blocks are allocated inside the C or C++ library: with a limit of one frame the line itself is cut off.
IN_LIBRARY = {place for place in EXPECTED
              if re.search(r"\bstrn?dup\(|\basprintf\(|\bgetline\(|\bnew\b|operator new|reallocarray",
                           pathlib.Path(place[0]).read_text().splitlines()[place[1] - 1])}
