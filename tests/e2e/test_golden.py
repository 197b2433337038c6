"""The golden images in tests/golden/: tables of every version of the layout that was released are read for ever.

What they hold is known from the source of the program that made them (tests/golden/expected.py)."""

import collections
import gzip
import importlib.util
import json
import re
import struct

import harness
import pytest
import second_reader
import small_core

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


def engine_traces(core, known, tmp_path):
    names = {tid: name for name, tid in known["threads"].items()}
    found = collections.Counter()
    for trace in harness.coreanalyze_json("traces", "--no-skip", "--sysroot", tmp_path, core, status=1)["traces"]:
        places = [re.fullmatch(r".*/golden\(\+0x([0-9a-f]+)\)", filename) for filename, _ in reversed(trace["frames"])]
        functions = [function_at(known, int(place[1], 16)) if place else "?" for place in places]
        found[key(trace["domain"], int(trace["address"], 16), trace["size"], names.get(trace["thread"]), functions)] += 1
    return found


def test_engine(image, tmp_path):
    core, known, detail = image
    assert engine_traces(core, known, tmp_path) == wanted(detail)


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


def second_traces(read, known):
    names = {tid: name for name, tid in known["threads"].items()}
    found = collections.Counter()
    for block in read.blocks:
        functions = [function_at(known, address) if path.endswith(b"/golden") else "?"
                     for path, address in reversed(read.traceback(block.stack))]
        found[key(block.domain, block.address, block.size, names.get(block.thread), functions)] += 1
    return found


def test_second_reader(image):
    core, known, detail = image
    read = second_reader.read(second_reader.Core(core))
    assert second_traces(read, known) == wanted(detail)
    assert (read.totals.current, read.totals.peak, read.totals.blocks) == (expected.CURRENT, expected.PEAK, len(expected.traces()))
    assert not read.missing and not read.bad and not read.flights


def test_second_reader_totals_by_domain(image):
    """Also of a domain in which nothing lives any more."""
    core, _, _ = image
    read = second_reader.read(second_reader.Core(core))
    found = collections.Counter()
    for stack, counters in read.counters.items():
        record, _ = read.stack(stack)
        found[record["domain"]] += counters.total[1]
    assert found == {**expected.TOTAL_BY_DOMAIN, 0: expected.TOTAL_SIZE - sum(expected.TOTAL_BY_DOMAIN.values())}


def test_engine_totals_by_domain(image, tmp_path):
    core, _, _ = image
    for domain, size in expected.TOTAL_BY_DOMAIN.items():
        top = harness.coreanalyze_json("top", "--value", "total", "--include-domain", str(domain), "--sysroot", tmp_path, core, status=None)
        assert top["total"]["size"] == size


# ----------------------------------------------------------------------------------------------------- a version to come

class Patched:
    """A copy of a core whose structures are changed, their checks made anew."""

    def __init__(self, core, path):
        self.core, self.path = core, path
        self.data = bytearray(core.read_bytes())
        self.image = second_reader.Image(second_reader.Core(core))

    def change(self, structure, address, **values):
        """Sets fields of the structure there, by their names."""
        offsets = self.image.layout.offsets[structure]
        begin = small_core.place_of(self.core, address)
        for name, value in values.items():
            offset, size = offsets[name]
            self.data[begin + offset:begin + offset + size] = value if isinstance(value, bytes) else value.to_bytes(size, "little")
        end = max(offset + size for offset, size in offsets.values())
        fields = self.image.layout.decode(structure, bytes(self.data[begin:begin + end]))
        more = fields["build_id"] if structure == second_reader.MODULE else ()
        check = second_reader.check_of([*second_reader.checked_words(structure, fields), *more])
        struct.pack_into("<I", self.data, begin + offsets["check"][0], check)

    def write(self):
        self.path.write_bytes(self.data)
        return self.path


def test_next_minor_version(image, tmp_path):
    """What a writer of 1.1 may do, all at once: readers of 1.0 read the same."""
    core, known, detail = image
    patched = Patched(core, tmp_path / "next.core")
    root, regions = patched.image.root, patched.image.regions
    size, count = root["region_size"], root["region_count"]
    patched.change(second_reader.ROOT, root["address"], minor=root["minor"] + 1, features=root["features"] | 1 << 40,
                   reserved=0xAAAAAAAA, reserved2=b"\xaa" * 48, region_count=count + 2)
    for i in range(count):
        patched.change(second_reader.REGION, root["address"] + 272 + i * size, flags=0xFFFFFFFF, reserved=0xAAAAAAAA)
    for i in range(count, count + 2):
        patched.change(second_reader.REGION, root["address"] + 272 + i * size, kind=70 + i, element_size=3, directory=1, segment_shift=99)
    module = regions[second_reader.KIND_MODULES][0].segment(0) + regions[second_reader.KIND_MODULES][0].fields["element_size"]
    patched.change(second_reader.MODULE, module, flags=0x80000000, reserved=b"\xaa" * 32)
    path = patched.write()
    assert engine_traces(path, known, tmp_path) == wanted(detail)
    assert harness.coreanalyze_json("info", "--sysroot", tmp_path, path, status=None)["coverage"]["rejected"] == 0
    read = second_reader.read(second_reader.Core(path))
    assert second_traces(read, known) == wanted(detail)
    assert not read.missing and not read.bad


def test_other_major_versions(image, tmp_path):
    """A version that was never released, and one to come: both readers refuse them and name both versions."""
    core, _, _ = image
    for major in (0, 2):
        patched = Patched(core, tmp_path / "other.core")
        patched.change(second_reader.ROOT, patched.image.root["address"], major=major, minor=9)
        result = harness.coreanalyze("top", patched.write(), status=2)
        assert f"{major}.9" in result.stderr and "1.0" in result.stderr
        with pytest.raises(second_reader.NotTables):
            second_reader.read(second_reader.Core(patched.path))
