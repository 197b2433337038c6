"""coreanalyze leaks and refs: the programs in tests/programs/leaks say in their source what is leaked; LeakSanitizer says it of
the same programs."""

import collections
import csv
import functools
import io
import json
import re
import shutil

import harness
import pytest
from harness import coreanalyze, coreanalyze_json

PROGRAMS = harness.PROGRAMS / "leaks"
NAMES = sorted(path.name for path in PROGRAMS.glob("*.c*") if path.name != "checkpoint.c")
FLAVOURS = {"plain": ("-g", "-O1"), "stripped": ("-O2", "-s")}

Sums = collections.namedtuple("Sums", "direct_count direct_size indirect_count indirect_size")


def expected(name, lsan=False):
    """What the source says."""
    text = (PROGRAMS / name).read_text()
    found = {bool(kind): Sums(*map(int, numbers)) for kind, *numbers in
             re.findall(r"EXPECT (lsan )?direct (\d+) (\d+) indirect (\d+) (\d+)", text)}
    return found.get(lsan, found[False])


def sums(answer):
    total = answer["total"]
    assert total["size"] == total["direct"]["size"] + total["indirect"]["size"]
    assert total["count"] == total["direct"]["count"] + total["indirect"]["count"]
    return Sums(total["direct"]["count"], total["direct"]["size"], total["indirect"]["count"], total["indirect"]["size"])


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    """core("list.c", "plain"): the core of that program, made once."""

    @functools.lru_cache(maxsize=None)
    def crash(name, flavour="plain", *options):
        directory = tmp_path_factory.mktemp(name.split(".")[0])
        program = harness.compile_program(PROGRAMS / name, directory / "program", *FLAVOURS[flavour])
        return harness.crash(harness.traced([program], *options), directory / "run")[1]

    return crash


# ------------------------------------------------------------------------------------------------------------ leaks

@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", NAMES)
def test_programs(name, flavour, core):
    source = core(name, flavour)
    for roots in ("all", "lsan"):
        answer = coreanalyze_json("leaks", source, "--roots", roots)
        assert sums(answer) == expected(name, roots == "lsan"), answer
        assert answer["roots"] == roots and answer["missing_bytes"] == 0


@functools.lru_cache(maxsize=None)
def leak_sanitizer_problem():
    """Why LeakSanitizer cannot be asked here; None if it can."""
    source = "void __lsan_do_leak_check(void); int main(void) { __lsan_do_leak_check(); return 0; }"
    built = harness.run([harness.CC, "-fsanitize=leak", "-xc", "-", "-o", "/dev/null"], input=source)
    if built.returncode != 0:
        return f"{harness.CC} has no LeakSanitizer"
    return None


def leak_sanitizer_sums(report):
    found = {"Direct": [0, 0], "Indirect": [0, 0]}
    for kind, size, count in re.findall(r"^(Direct|Indirect) leak of (\d+) byte\(s\) in (\d+) object", report, re.MULTILINE):
        found[kind][0] += int(count)
        found[kind][1] += int(size)
    return Sums(*found["Direct"], *found["Indirect"])


@pytest.mark.parametrize("name", NAMES)
def test_leak_sanitizer_says_the_same(name, tmp_path):
    """The expectations are not ours alone."""
    if leak_sanitizer_problem():
        pytest.skip(leak_sanitizer_problem())
    program = harness.compile_program(PROGRAMS / name, tmp_path / "program", "-g", "-O1", "-DLSAN", "-fsanitize=leak")
    report = harness.run([program]).stderr
    if "fatal error" in report:
        pytest.skip("LeakSanitizer does not run here: " + report[report.index("fatal error"):].splitlines()[0])
    assert leak_sanitizer_sums(report) == expected(name, True), report


def test_groups_and_their_addresses(core):
    """One group per traceback and kind, direct ones first; of each the lowest ten addresses."""
    answer = coreanalyze_json("leaks", core("arenas.c"))
    assert [(group["kind"], group["count"], group["size"]) for group in answer["leaks"]] == \
        [("direct", 4, 96), ("indirect", 396, 9504)]
    for group in answer["leaks"]:
        assert [frame["function"] for frame in group["traceback"]][-2:] == ["make", "allocate"]
        addresses = [int(address, 16) for address in group["addresses"]]
        assert len(addresses) == min(10, group["count"]) and addresses == sorted(set(addresses))
    blocks = coreanalyze_json("blocks", core("arenas.c"), "-n", "0")["blocks"]
    assert {block["address"] for block in blocks if block["size"] == 24} > set(answer["leaks"][1]["addresses"])


def test_text(core):
    lines = coreanalyze("leaks", core("list.c")).stdout.splitlines()
    assert lines[0] == "[ Top 10 leaks ]"
    assert lines[1] == "direct: 1 memory block: 24 B" and re.fullmatch(r"    at 0x[0-9a-f]+", lines[2])
    assert "indirect: 9 memory blocks: 216 B" in lines
    assert lines[-2] == "Total leaked size: 240 B in 10 blocks (direct: 24 B in 1; indirect: 216 B in 9)"
    assert lines[-1].startswith("coverage: ") and "    struct node *node = allocate(sizeof *node);" in lines
    healthy = coreanalyze("leaks", core("healthy.c")).stdout.splitlines()
    assert healthy[:2] == ["[ Top 10 leaks ]", "Total leaked size: 0 B in 0 blocks"] and len(healthy) == 3


def test_other_keys(core):
    source = core("classes.cpp")
    for key in ("lineno", "filename", "function", "module", "domain", "type", "traceback"):
        answer = coreanalyze_json("leaks", source, "--by", key, "-n", "0")
        assert answer["key_type"] == key and sum(group["size"] for group in answer["leaks"]) == answer["total"]["size"]
    types = {(group["kind"], group["traceback"][0]["filename"]): group["count"]
             for group in coreanalyze_json("leaks", source, "--by", "type")["leaks"]}
    assert types == {("direct", "shapes::Holder<int>"): 1, ("direct", "Both"): 1, ("direct", "<no type>"): 2,
                     ("indirect", "shapes::Circle"): 2}
    assert "direct: Both: size=48 B, count=1, average=48 B" in coreanalyze("leaks", source, "--by", "type").stdout
    coreanalyze("leaks", source, "--by", "thread", status=64)
    by_thread = coreanalyze_json("leaks", core("ended.c", "plain", "-o", "detail=1"), "--by", "thread")["leaks"]
    assert [(group["count"], group["size"]) for group in by_thread] == [(2, 200)] * 4


def test_filters_and_limit(core):
    source = core("classes.cpp")
    assert sums(coreanalyze_json("leaks", source, "--min-size", "48")) == Sums(2, 120, 2, 96)
    assert sums(coreanalyze_json("leaks", source, "--max-size", "47")) == Sums(2, 56, 0, 0)
    assert sums(coreanalyze_json("leaks", source, "--exclude", "*/classes.cpp")) == Sums(0, 0, 0, 0)
    one = coreanalyze_json("leaks", source, "-n", "1")
    assert len(one["leaks"]) == 1 and one["leaks"][0]["kind"] == "direct" and one["other"]["groups"] == 5
    assert one["other"]["size"] + one["leaks"][0]["size"] == one["total"]["size"] == 272
    assert "5 other: " in coreanalyze("leaks", source, "-n", "1").stdout


def test_fail_over(core):
    source = core("list.c")
    assert coreanalyze("leaks", "--fail-over", "240", source).stderr == ""
    over = coreanalyze("leaks", "--fail-over", "239", source, status=3)
    assert over.stderr == "coreanalyze: 240 bytes are leaked, more than --fail-over 239\n"
    coreanalyze("leaks", "--fail-over", "0", core("healthy.c"))


def test_formats(core):
    source = core("list.c")
    rows = list(csv.DictReader(io.StringIO(coreanalyze("leaks", source, "--format", "csv").stdout)))
    assert [(row["kind"], row["size"], row["count"], row["function"]) for row in rows] == \
        [("direct", "24", "1", "allocate"), ("indirect", "216", "9", "allocate")]
    assert len(rows[1]["addresses"].split()) == 9 and rows[1]["traceback"].endswith(rows[1]["filename"] + ":" + rows[1]["lineno"])
    folded = coreanalyze("leaks", source, "--format", "folded")
    assert [line.split(";")[0] + line[line.rindex(" "):] for line in folded.stdout.splitlines()] == ["direct 24", "indirect 216"]
    assert folded.stderr.startswith("coreanalyze: coverage: ")
    assert "a profile does not tell which blocks are leaked" in coreanalyze("leaks", source, "--format", "pprof", status=64).stderr


def test_truncated_cores(core, tmp_path):
    """What is missing is said; nothing is invented but leaks of what is reached from the missing part."""
    source = core("chain.c")
    size = source.stat().st_size
    seen = 0
    for part in (0.999, 0.9, 0.8, 0.7):
        cut = tmp_path / "cut"
        shutil.copyfile(source, cut)
        with cut.open("r+b") as file:
            file.truncate(int(size * part) // 4096 * 4096)
        result = coreanalyze("leaks", cut, "--format", "json", status=None)
        assert result.returncode in (1, 2), result.stderr
        if result.returncode == 1:
            answer = json.loads(result.stdout)
            seen += answer["missing_bytes"] > 0
            assert answer["coverage"]["truncated"] and answer["total"]["count"] <= 5
            assert "NOT SEEN: " in coreanalyze("leaks", cut, status=1).stdout or not answer["missing_bytes"]
    assert seen


def test_snapshot_file_has_no_memory(core, tmp_path):
    saved = tmp_path / "saved.pb.gz"
    coreanalyze("save", core("list.c"), saved)
    for arguments in (["leaks", saved], ["refs", saved, "0x1000"], ["top", "--by", "type", saved]):
        refused = coreanalyze(*arguments, status=64)
        assert refused.stdout == "" and "use the core or the process" in refused.stderr


@pytest.mark.parametrize("name", ["list.c", "cycle.c", "data.c", "interior.c", "stack.c"])
def test_other_allocator(name, tmp_path):
    """jemalloc's own mappings point to its blocks: mappings are no roots then, and the answer says so."""
    library = next(iter(sorted(harness.pathlib.Path("/usr/lib").glob("*/libjemalloc.so.2"))), None)
    if library is None:
        pytest.skip("libjemalloc2 is not installed")
    program = harness.compile_program(PROGRAMS / name, tmp_path / "program", "-g", "-O1")
    _, source = harness.crash(harness.traced([program]), tmp_path / "run", env=harness.clean_environment(LD_PRELOAD=library))
    answer = coreanalyze_json("leaks", source)
    assert sums(answer) == expected(name, True) and answer["roots"] == "lsan"
    assert "the allocator is not glibc's" in coreanalyze("leaks", source).stdout


# ------------------------------------------------------------------------------------------------------------- types

def test_top_by_type(core):
    source = core("classes.cpp")
    answer = coreanalyze_json("top", source, "--by", "type", "-n", "0")
    counts = {item["traceback"][0]["filename"]: item["count"] for item in answer["statistics"]}
    wanted = {name: int(count) for name, count in re.findall(r"TYPE (\S+) (\d+)", (PROGRAMS / "classes.cpp").read_text())}
    assert {name: counts[name] for name in wanted} == wanted and "<no type>" in counts
    assert sum(counts.values()) == answer["total"]["count"] == answer["coverage"]["blocks"]
    assert set(counts) == set(wanted) | {"<no type>"}
    no_change = coreanalyze_json("diff", source, source, "--by", "type", "-n", "0")["statistics"]
    assert {item["traceback"][0]["filename"] for item in no_change} == set(counts)
    assert all(item["size_diff"] == item["count_diff"] == 0 for item in no_change)
    coreanalyze("top", source, "--by", "type", "--value", "peak", status=64)
    coreanalyze("top", source, "--by", "type", "--cumulative", status=64)


# -------------------------------------------------------------------------------------------------------------- refs

def blocks_of(source, size):
    return [block["address"] for block in coreanalyze_json("blocks", source, "-n", "0", "--min-size", size, "--max-size", size,
                                                           "--sort", "address")["blocks"]]


def references(source, address, *options):
    return coreanalyze_json("refs", source, address, "-n", "0", *options)


def test_chain(core):
    source = core("chain.c")
    (first,), (second,), (third,) = (blocks_of(source, size) for size in (100, 60, 40))
    answer = references(source, hex(int(third, 16) + 5), "--chain")
    assert answer["block"]["base"] == third and answer["block"]["offset"] == 5 and answer["block"]["state"] == "live"
    assert answer["total"] == 1
    variable, outer, inner = answer["chain"]
    assert (variable["kind"], variable["symbol"], variable["symbol_offset"], variable["value"]) == ("data", "table", 3 * 16 + 8, first)
    assert (outer["kind"], outer["block"]["base"], outer["block"]["offset"], outer["value"]) == ("block", first, 2 * 16 + 8, second)
    assert (inner["block"]["base"], inner["block"]["offset"], inner["target_offset"]) == (second, 16 + 8, 24)
    assert outer["block"]["allocated"]["traceback"][-2]["function"] == "make"
    assert [inner] == answer["references"]
    text = coreanalyze("refs", source, third, "--chain").stdout
    assert "in the variable table+56 of " in text and "[ Chain of 3 pointers, from a root to the block ]" in text
    assert f"40 bytes inside a live block of 100 bytes at {first}, holds {second}, its start" in text
    assert "[ 1 pointer to it ]" in text and "24 bytes into it" in text


def test_kinds_of_references(core):
    (address,) = blocks_of(core("register.c"), 56)
    (found,) = references(core("register.c"), address, "--chain")["references"]
    assert (found["kind"], found["register"], found["address"], found["value"]) == ("register", "r15", None, address)
    source = core("tls.c")
    for size, kind in ((64, "tls"), (65, "tls"), (66, "tls")):
        addresses = blocks_of(source, size)
        kinds = [reference for address in addresses for reference in references(source, address)["references"]]
        assert len(addresses) == 2 and {reference["kind"] for reference in kinds} == {kind}
        assert len({reference["thread"] for reference in kinds}) == 2
    source = core("stack.c")
    (other,), (main,) = blocks_of(source, 64), blocks_of(source, 48)
    by_function = {references(source, address)["references"][0]["symbol"] for address in (other, main)}
    assert by_function == {"wait_with_block", "main"}
    (address,) = blocks_of(core("mapping.c"), 80)
    assert [reference["kind"] for reference in references(core("mapping.c"), address)["references"]] == ["mapping"]
    assert references(core("mapping.c"), address, "--roots", "lsan", "--chain")["chain"] == []


def test_leaked_block_has_no_chain(core):
    source = core("cycle.c")
    for address in blocks_of(source, 32):
        answer = references(source, address, "--chain")
        assert answer["chain"] == [] and [reference["kind"] for reference in answer["references"]] == ["block"]
        assert "Nothing reaches it: it is leaked." in coreanalyze("refs", source, address, "--chain").stdout


def test_refs_of_other_addresses(core):
    source = core("chain.c")
    assert references(source, "0x10")["block"] is None
    assert "is in no live block" in coreanalyze("refs", source, "0x10", "--chain", status=64).stderr
    coreanalyze("refs", source, "nonsense", status=64)


def test_short_names_and_a_misspelt_sysroot(tmp_path):
    """--short-names is for every command that prints names; what is no directory is said at once."""
    source = tmp_path / "names.cpp"
    source.write_text("#include <cstdlib>\n#include <string>\n#include <vector>\n"
                      "template <class T> __attribute__((noinline)) void *make(T *) { return malloc(4321); }\n"
                      "int main() { void *volatile held = make((std::vector<std::string> *)nullptr); abort(); }\n")
    program = harness.compile_program([source], tmp_path / "names", "-O1", "-w")
    _, core = harness.crash(harness.traced([program]), tmp_path / "run")
    (address,) = blocks_of(core, 4321)
    for command in (["blocks", core], ["block", core, address], ["refs", core, address]):
        assert "make<std::vector<std::string>>" in coreanalyze(*command, "--short-names").stdout, command
        assert "std::char_traits<char>" in coreanalyze(*command).stdout, command
    for command in (["leaks"], ["top"], ["report"]):
        result = coreanalyze(*command, "--sysroot", tmp_path / "nowhere", core, status=64)
        assert result.stdout == "" and f"--sysroot: there is no directory {tmp_path}/nowhere" in result.stderr
    lines = [line for line in coreanalyze("refs", core, "0x1000").stdout.splitlines() if " holds " in line]
    assert all(line.endswith(", holds 0x1000") for line in lines), lines


def test_many_references(tmp_path):
    text = '#include "leaks.h"\nstatic HOLDER void *many[1000];\nint main(void)\n{\n    void *block = allocate(77);\n' \
           "    for (int i = 0; i < 1000; i++) {\n        many[i] = block;\n    }\n    finish();\n}\n"
    (tmp_path / "many.c").write_text(text)
    program = harness.compile_program(tmp_path / "many.c", tmp_path / "many", "-g", "-O1", f"-I{PROGRAMS}")
    _, source = harness.crash(harness.traced([program]), tmp_path / "run")
    (address,) = blocks_of(source, 77)
    answer = coreanalyze_json("refs", source, address)
    assert answer["total"] >= 1000 and len(answer["references"]) == 10
    held = [reference for reference in references(source, address)["references"] if reference["symbol"] == "many"]
    assert [reference["symbol_offset"] for reference in held] == [8 * i for i in range(1000)]
