"""Tables, names and files that somebody spoilt, on purpose or not: never a crash, a hang, an unbounded answer, a byte that a terminal
obeys, or a wrong total without a word.

TM_FLIPS: how many bits are flipped in each golden image, 60 by default."""

import gzip
import json
import os
import random
import resource
import struct

import harness
import pytest
import second_reader
import small_core

FUZZ_CORPUS = harness.REPO / "tests" / "fuzz" / "corpus"
EVIL = "\x1b]0;owned\x07\x1b[31mred\nforged: size=1 B\x9b\u202e"


# ------------------------------------------------------------------------------------------------------------ names

def dangerous(output):
    """The characters of an answer that a terminal acts on, or that are no UTF-8."""
    text = output.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    return {character for character in text
            if (ord(character) < 0x20 and character != "\n") or 0x7F <= ord(character) < 0xA0 or
            0x202A <= ord(character) <= 0x202E or 0xDC80 <= ord(character) <= 0xDCFF}


def evil_sources(directory):
    """A program whose source file, in the line table, has such a name, and one with such a function name and no line table."""
    source = directory / "evil.c"
    name = EVIL.encode("utf-8") + b"\xff"
    source.write_bytes(b"#include <stdlib.h>\n#line 7 \"" + b"".join(b"\\%03o" % byte for byte in name) + b".c\"\n"
                       b"__attribute__((noinline)) char *evil(void)\n{\n    char *block = malloc(4321);\n"
                       b"    __asm__ volatile(\"\" : \"+r\"(block));\n    return block;\n}\n"
                       b"char *kept;\nint main(void)\n{\n    kept = evil();\n    abort();\n}\n")
    lines = harness.compile_program(source, directory / "lines", "-g", "-O1", "-w")
    harness.run_ok([harness.CC, "-c", "-O1", "-w", source, "-o", directory / "evil.o"])
    harness.run_ok(["objcopy", "--redefine-sym=evil=" + EVIL, directory / "evil.o", directory / "renamed.o"])
    return lines, harness.compile_program(directory / "renamed.o", directory / "symbols")


@pytest.fixture(scope="module")
def evil_files(tmp_path_factory):
    """{what: (path of a core or snapshot file, a part of the name as it must be shown)}"""
    directory = tmp_path_factory.mktemp("evil")
    files = {}
    for program in evil_sources(directory):
        _, core = harness.crash(harness.traced([program]), directory / f"run-{program.name}")
        files[program.name] = core
    files["tables"] = FUZZ_CORPUS / "core" / "control-characters"
    for name in list(files):
        saved = directory / f"{name}.tm"
        harness.coreanalyze("save", files[name], saved, status=None)
        files[f"saved-{name}"] = saved
    yield files
    for name in ("lines", "symbols"):
        files[name].unlink()


COMMANDS = [("top", "--by", key) for key in ("lineno", "filename", "traceback", "function", "module")] + [
    ("top", "--by", "traceback", "--color", "never"), ("traces",), ("traces", "--no-skip"), ("report",), ("info",)]


@pytest.mark.parametrize("what", ["lines", "symbols", "tables", "saved-lines", "saved-symbols", "saved-tables"])
def test_names_cannot_disturb_a_terminal(evil_files, what):
    shown = 0
    for command in COMMANDS:
        if command == ("info",) and what.startswith("saved-"):
            continue
        formats = ("text", "json") if command[0] in ("report", "info") else ("text", "json", "csv", "folded")
        for form in formats if command[0] != "report" else ("text",):
            result = harness.coreanalyze(*command, *([] if command[0] == "report" else ["--format", form]), evil_files[what],
                                         status=None, binary=True)
            assert result.returncode in (0, 1), (command, form, result.stderr)
            assert not dangerous(result.stdout) and not dangerous(result.stderr), (command, form)
            shown += b"\\x1b[31mred" in result.stdout or b"\\u001b[31mred" in result.stdout
    assert shown > 5


def test_names_in_a_difference(evil_files):
    for form in ("text", "json", "csv", "folded"):
        result = harness.coreanalyze("diff", "-n0", "--format", form, evil_files["saved-lines"], evil_files["saved-symbols"],
                                     status=None, binary=True)
        assert result.returncode in (0, 1) and not dangerous(result.stdout) and not dangerous(result.stderr)
        assert b"\\x1b[31mred" in result.stdout or b"\\u001b[31mred" in result.stdout


def test_python_gets_the_bytes_back(evil_files):
    """JSON escapes lose nothing."""
    traces = json.loads(harness.coreanalyze("traces", "--format", "json", evil_files["lines"], status=None).stdout)["traces"]
    names = {os.fsencode(frame[0]).rsplit(b"/", 1)[-1] for trace in traces for frame in trace["frames"]}
    assert EVIL.encode("utf-8") + b"\xff.c" in names


# ----------------------------------------------------------------------------------------------------------- golden images

def golden(directory):
    """[cores of the golden images], unpacked."""
    cores = []
    for packed in sorted((harness.REPO / "tests" / "golden").glob("layout-*.core.gz")):
        core = directory / packed.name.removesuffix(".gz")
        core.write_bytes(gzip.decompress(packed.read_bytes()))
        cores.append(core)
    assert cores
    return cores


def patched(core, place, data):
    """Overwrites bytes and returns the ones that were there."""
    with core.open("r+b") as file:
        file.seek(place)
        before = file.read(len(data))
        file.seek(place)
        file.write(data)
    return before


# ------------------------------------------------------------------------------------------------------------ claims

def bounded():
    """What a reader of two megabytes must do with."""
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))


EXTREMES = {  # offset in a descriptor, how it is packed, values
    "element_size": (8, "<I", (0, 1, 65536, 0xFFFFFFFF)),
    "segment_shift": (12, "<I", (0, 40, 63, 0xFFFFFFFF)),
    "directory": (16, "<Q", (0, 8, 2 ** 64 - 8)),
    "directory_length": (24, "<I", (0xFFFFFFFF,)),
    "middle_bits": (28, "<I", (1, 30, 64)),
    "count": (40, "<Q", (2 ** 32, 2 ** 63, 2 ** 64 - 2)),
}


@pytest.mark.parametrize("field", EXTREMES)
def test_claims_are_not_believed(tmp_path, field):
    """Every descriptor claims absurd sizes in turn: memory and time stay bounded by what the file has."""
    limit = None if "ASAN_OPTIONS" in os.environ else bounded  # AddressSanitizer's shadow is larger
    core = golden(tmp_path)[0]
    offset, form, values = EXTREMES[field]
    root = second_reader.Image(second_reader.Core(core)).root
    begin = small_core.place_of(core, root["address"]) + 272
    for number in range(root["region_count"]):
        for value in values:
            before = patched(core, begin + 64 * number + offset, struct.pack(form, value))
            for command in (("top", "-n0"), ("traces",)):
                result = harness.coreanalyze(*command, "--sysroot", tmp_path, core, status=None, timeout=30, preexec_fn=limit)
                assert result.returncode in (1, 2), (number, value, command, result.returncode, result.stderr[-500:])
                assert result.returncode != 2 or "out of memory" not in result.stderr, (number, value, command)
            patched(core, begin + 64 * number + offset, before)


# ------------------------------------------------------------------------------------------------------------- flips

def totals(core, tmp_path):
    """What top and traces say, names included, and whether one of them says that something is wrong."""
    found, warned = [], False
    for command in (("top", "-n0", "--by", "module"), ("traces", "--no-skip")):
        result = harness.coreanalyze(*command, "--format", "json", "--sysroot", tmp_path, core, status=None, timeout=30)
        assert result.returncode in (0, 1, 2), result
        if result.returncode == 2:
            return None, True
        answer = json.loads(result.stdout)
        coverage = answer["coverage"]
        warned = warned or coverage["truncated"] or coverage["disagree"] or coverage["rejected"] > 0 or \
            coverage["missing_bytes"] > 0 or "not tracing" in result.stderr
        found.append((answer["total"]["count"], answer["total"]["size"], answer["statistics"]) if command[0] == "top" else
                     (len(answer["traces"]), sum(trace["size"] for trace in answer["traces"]),
                      sorted((trace["size"], trace["frames"]) for trace in answer["traces"])))
    return found, warned


def words_in_use(core):
    """Offsets in the file of the words of the tables that are not 0."""
    image = second_reader.Core(core)
    offsets = []
    for address, data in image.pieces:
        place = small_core.place_of(core, address)
        offsets += [place + 8 * i for i, (word,) in enumerate(struct.iter_unpack("<Q", data[:len(data) // 8 * 8])) if word]
    return offsets


def test_flipped_bits(tmp_path):
    """One bit of the tables of a real program after the other: totals and names are right, or the answer says that they may not be."""
    numbers = random.Random(1)
    warnings = 0
    for core in golden(tmp_path):
        right, warned = totals(core, tmp_path)
        assert not warned and right[0][:2] == right[1][:2]
        places = words_in_use(core)
        for _ in range(int(os.environ.get("TM_FLIPS", "60"))):
            place, bit = numbers.choice(places) + numbers.randrange(8), numbers.randrange(8)
            before = patched(core, place, b"\0")
            patched(core, place, bytes([before[0] ^ 1 << bit]))
            found, warned = totals(core, tmp_path)
            assert warned or found == right, (core.name, place, bit, found)
            warnings += warned
            patched(core, place, before)
    assert warnings
