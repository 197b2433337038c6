"""The golden images in tests/golden/: tables of every version of the layout that was released are read for ever.

What they hold is known from the source of the program that made them (tests/golden/expected.py)."""

import collections
import gzip
import importlib.util
import json
import re

import harness
import pytest
import second_reader

GOLDEN = harness.REPO / "tests" / "golden"
IMAGES = sorted(path.name.removesuffix(".core.gz") for path in GOLDEN.glob("layout-*.core.gz"))
_SPEC = importlib.util.spec_from_file_location("expected", GOLDEN / "expected.py")
expected = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(expected)


@pytest.fixture(scope="module", params=IMAGES)
def image(request, tmp_path_factory):
    """(path of the core, what is known of it beside its source, with detail)"""
    core = tmp_path_factory.mktemp("golden") / f"{request.param}.core"
    core.write_bytes(gzip.decompress((GOLDEN / f"{request.param}.core.gz").read_bytes()))
    return core, json.loads((GOLDEN / f"{request.param}.json").read_text()), request.param.endswith("-detail")


def test_there_are_images_of_this_version():
    version = ".".join(re.search(rf"#define TM_LAYOUT_{part} (\d+)", (harness.REPO / "tracer" / "layout.h").read_text()).group(1)
                       for part in ("MAJOR", "MINOR"))
    assert {f"layout-{version}", f"layout-{version}-detail"} <= set(IMAGES)


def function_at(known, address):
    """The name of the function that the call at `address` is in; "?" elsewhere."""
    for name, (start, end) in known["functions"].items():
        if start < address <= end:
            return name
    return "?"


def key(domain, address, size, thread, functions):
    """A trace as expected.Trace; of the frames only those up to the outermost one of the program."""
    known = [function for function in functions if function != "?"]
    kept = tuple(known[:expected.LIMIT])
    return expected.Trace(domain, address if domain else None, size, thread, kept)


def wanted(detail):
    return collections.Counter(trace._replace(thread=trace.thread if detail else None, functions=trace.functions[:expected.LIMIT])
                               for trace in expected.traces())


def test_engine(image, tmp_path):
    core, known, detail = image
    names = {tid: name for name, tid in known["threads"].items()}
    found = collections.Counter()
    for trace in harness.coreanalyze_json("traces", "--no-skip", "--sysroot", tmp_path, core, status=1)["traces"]:
        places = [re.fullmatch(r".*/golden\(\+0x([0-9a-f]+)\)", filename) for filename, _ in reversed(trace["frames"])]
        functions = [function_at(known, int(place[1], 16)) if place else "?" for place in places]
        found[key(trace["domain"], int(trace["address"], 16), trace["size"], names.get(trace["thread"]), functions)] += 1
    assert found == wanted(detail)


def test_engine_totals(image, tmp_path):
    core, _, detail = image
    info = harness.coreanalyze_json("info", "--sysroot", tmp_path, core, status=None)
    assert (info["current"], info["peak"], info["coverage"]["blocks"]) == (expected.CURRENT, expected.PEAK, len(expected.traces()))
    assert info["traceback_limit"] == expected.LIMIT and info["state"] == "tracing"
    assert info["features"] == ["detail"] * detail + ["stats"]
    assert "golden" in [module["path"].rsplit("/", 1)[-1] for module in info["modules"]]
    for value, total in (("live", (expected.CURRENT, len(expected.traces()))), ("total", (expected.TOTAL_SIZE, expected.TOTAL_COUNT))):
        top = harness.coreanalyze_json("top", "--value", value, "--sysroot", tmp_path, core, status=None)
        assert (top["total"]["size"], top["total"]["count"]) == total
    assert harness.coreanalyze_json("top", "--value", "peak", "--sysroot", tmp_path, core, status=None)["total"]["size"] == expected.PEAK


def test_second_reader(image):
    core, known, detail = image
    names = {tid: name for name, tid in known["threads"].items()}
    read = second_reader.read(second_reader.Core(core))
    found = collections.Counter()
    for block in read.blocks:
        functions = [function_at(known, address) if path.endswith(b"/golden") else "?"
                     for path, address in reversed(read.traceback(block.stack))]
        found[key(block.domain, block.address, block.size, names.get(block.thread), functions)] += 1
    assert found == wanted(detail)
    assert (read.totals.current, read.totals.peak, read.totals.blocks) == (expected.CURRENT, expected.PEAK, len(expected.traces()))
    assert not read.missing and not read.bad and not read.flights
