"""The engine and a second reader, written from docs/layout.md alone, read the same out of the same cores."""

import collections
import re

import harness
import pytest
import second_reader

# How each core comes about: tm-run's options, oracle.c's arguments, how many operations are in flight.
CORES = {
    "plain": ((), ("abort",), 0),
    "detail": (("-o", "detail=1"), ("abort",), 0),
    "without-stats": (("-o", "stats=0"), ("abort",), 0),
    "one-frame": (("-n", "1"), ("abort",), 0),
    "deep": (("-n", "200"), ("abort",), 0),
    "cleared": (("-o", "detail=1"), ("abort", "clear"), 0),
    "peak-reset": ((), ("abort", "reset"), 0),
    "stopped": ((), ("abort", "stop"), 0),
    "child": ((), ("child",), 0),
    "in-malloc": ((), ("malloc",), 1),
    "in-free": ((), ("free",), 1),
    "in-realloc": (("-o", "detail=1"), ("realloc",), 1),
    "in-handler": ((), ("handler",), 1),
}
FEATURES = {"detail": second_reader.DETAIL, "stats": second_reader.STATS_KEPT, "inherited": second_reader.INHERITED}
OPERATIONS = {"allocate": second_reader.ALLOCATE, "free": second_reader.FREE, "reallocate": second_reader.REALLOCATE,
              "track": second_reader.TRACK, "untrack": second_reader.UNTRACK}


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """The program, stripped: frames have no names that would stand for their addresses."""
    return harness.compile_program(harness.PROGRAMS / "oracle.c", tmp_path_factory.mktemp("oracle") / "oracle", "-O2", "-s",
                                   "-fno-builtin-malloc", f"-I{harness.REPO}")


@pytest.fixture(scope="module", params=CORES)
def pair(request, oracle, tmp_path_factory):
    """(case, core, the second reader's image), the engine's files out of its reach so that it gives addresses."""
    options, arguments, _ = CORES[request.param]
    _, core = harness.crash(harness.traced([oracle, *arguments], *options), tmp_path_factory.mktemp(request.param))
    yield request.param, core, second_reader.read(second_reader.Core(core))
    core.unlink()


def engine(command, core, tmp_path, *options):
    """The engine's answer without any module's file."""
    return harness.coreanalyze_json(command, "--sysroot", tmp_path, *options, core, status=None)


def frame_of(filename):
    """(module, address in the file) of a frame without a name."""
    found = re.fullmatch(r"(.*)\(\+0x([0-9a-f]+)\)", filename)
    return (found[1], int(found[2], 16)) if found else (filename, None)


def text(path):
    return path.decode("utf-8", "surrogateescape")


def second_traceback(image, stack):
    return [(text(module), address) if module else ("<unknown>", None) for module, address in image.traceback(stack) or []] or \
        [("<unknown>", None)]


def depth(image, stack):
    """total_nframe as the engine gives it: inlined calls count, and nobody knows those of frames that were cut off."""
    record, _ = image.stack(stack)
    return None if record["flags"] & second_reader.TRUNCATED else image.depth(stack)


def test_blocks_and_tracebacks(pair, tmp_path):
    _, core, image = pair
    ours = collections.Counter(
        (block.domain, block.address, block.size, block.thread or None, depth(image, block.stack), tuple(second_traceback(image, block.stack)))
        for block in image.blocks)
    engines = collections.Counter(
        (trace["domain"], int(trace["address"], 16), trace["size"], trace["thread"], trace["total_nframe"],
         tuple(frame_of(filename) for filename, _ in trace["frames"]))
        for trace in engine("traces", core, tmp_path, "--no-skip")["traces"])
    assert ours == engines
    assert not image.missing and not image.bad


def test_there_is_enough_to_compare(pair):
    """The program's blocks, threads and domains are all there."""
    case, _, image = pair
    if case == "stopped":
        assert not image.blocks
        return
    assert len(image.blocks) > 500 and len({block.stack for block in image.blocks}) > (2 if case == "one-frame" else 50)
    assert {block.domain for block in image.blocks} == {0, 5, 9}
    wide = {(block.domain, block.address): block.size for block in image.blocks}
    assert wide[5, 0x10000] == 1000 and wide[9, 0x10000] == 1 << 40 and wide[5, 0x30000] == 5 and wide[0, 0x7654321] == 33
    assert (5, 0x40000) not in wide and len([key for key in wide if key[0] == 5]) == 21
    assert len(image.flights) == CORES[case][2]


def test_totals_and_state(pair, tmp_path):
    _, core, image = pair
    info = engine("info", core, tmp_path)
    root = image.root
    assert info["layout"] == {"major": root["major"], "minor": root["minor"], "address": hex(root["address"]),
                              "found_by": "preferred address"}
    assert (info["pid"], info["traceback_limit"], info["tracer_memory"], info["tracer_private_memory"]) == \
        (root["pid"], root["traceback_limit"], root["committed_bytes"], root["private_bytes"])
    assert info["state"] == {1: "not tracing", 2: "tracing"}[root["state"]]
    assert info["features"] == [name for name, bit in FEATURES.items() if image.has(bit)]
    assert (info["current"], info["peak"]) == (image.totals.current, image.totals.peak)
    assert info["coverage"]["blocks"] == image.totals.blocks == len(image.blocks)
    assert image.totals.current == sum(block.size for block in image.blocks)
    assert (info["coverage"]["dropped"], info["coverage"]["dropped_size"]) == \
        (image.totals.dropped_count, image.totals.dropped_size)


def grouped(image, sums):
    """{traceback: (count, size)} of {stack id: (count, size)}; one traceback may have several ids."""
    groups = collections.Counter(), collections.Counter()
    for stack, (count, size) in sums.items():
        traceback = tuple(second_traceback(image, stack))
        groups[0][traceback] += count
        groups[1][traceback] += size
    return {traceback: (groups[0][traceback], groups[1][traceback]) for traceback in groups[0] if groups[0][traceback]}


def engine_groups(core, tmp_path, value):
    """The same of the engine's statistics."""
    answer = engine("top", core, tmp_path, "-n", "0", "--by", "traceback", "--no-skip", "--value", value)
    return {tuple(frame_of(frame["filename"]) for frame in item["traceback"]): (item["count"], item["size"])
            for item in answer["statistics"] if item["count"]}, answer["total"]


def test_live_by_stack(pair, tmp_path):
    """What each stack holds: by the blocks, by the counters, by the engine."""
    _, core, image = pair
    by_blocks = {}
    for block in image.blocks:
        count, size = by_blocks.get(block.stack, (0, 0))
        by_blocks[block.stack] = count + 1, size + block.size
    groups, total = engine_groups(core, tmp_path, "live")
    assert groups == grouped(image, by_blocks)
    assert (total["count"], total["size"]) == (image.totals.blocks, image.totals.current)
    if image.counters and not image.flights:
        assert {stack: counters.live for stack, counters in image.counters.items() if counters.live != (0, 0)} == by_blocks


@pytest.mark.parametrize("value", ["total", "peak"])
def test_counters_by_stack(pair, tmp_path, value):
    case, core, image = pair
    if case in ("without-stats", "stopped"):
        assert not image.counters
        return
    groups, total = engine_groups(core, tmp_path, value)
    assert groups == grouped(image, {stack: getattr(counters, value) for stack, counters in image.counters.items()})
    assert total["count"] == sum(count for count, _ in groups.values())
    if value == "total":
        assert (total["count"], total["size"]) == (image.totals.allocated_count, image.totals.allocated_size)


def test_modules(pair, tmp_path):
    _, core, image = pair
    modules = [(module["path"], module["start"], module["end"], module["build_id"], module["unloaded"])
               for module in engine("info", core, tmp_path)["modules"]]
    assert modules == [(text(module["path"]), hex(module["start"]), hex(module["end"]), module["build_id"] or None,
                        module["unloaded_time"] != 0) for module in image.all_modules()]


def test_operations_in_flight(pair, tmp_path):
    _, core, image = pair
    info = engine("info", core, tmp_path)
    assert [(flight.tid, flight.level, flight.fields["code"], flight.after, flight.fields["address"],
             flight.fields["new_address"]) for flight in image.flights] == \
        [(flight["thread"], flight["level"], OPERATIONS[flight["operation"]], flight["done"],
          int(flight["address"] or "0", 16), int(flight["new_address"] or "0", 16)) for flight in info["in_flight"]]


@pytest.mark.parametrize("route", second_reader.ROUTES)
def test_routes_to_the_root(oracle, tmp_path, route):
    """Each way of finding the root works alone."""
    _, core = harness.crash(harness.traced([oracle, "abort"]), tmp_path)
    assert second_reader.ROUTES[route](second_reader.Core(core)) == second_reader.PREFERRED
