"""Snapshot files: the same answers from the file as from the core, also without the program; the format, read by a reader of its own;
files that are damaged or another tool's; what pprof makes of them."""

import collections
import gzip
import itertools
import json
import re
import shutil

import harness
import pprof_wire
import pytest
from harness import coreanalyze, coreanalyze_json

EXIT_NOTHING, EXIT_USAGE = 2, 64
KEYS = ["lineno", "filename", "traceback", "function", "module", "domain", "thread"]
SAMPLE_TYPES = [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes"),
                ("peak_objects", "count"), ("peak_space", "bytes")]


# ---------------------------------------------------------------------------------------------------------- fixtures

@pytest.fixture(scope="session")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("saved")


@pytest.fixture(scope="session")
def program(directory):
    (directory / "bin").mkdir()
    return harness.compile_program(harness.PROGRAMS / "saved.cpp", directory / "bin" / "saved", "-g", "-O2", f"-I{harness.REPO}")


def crash(program, directory, name, extra, detail=1):
    return harness.crash(harness.traced([program, extra], "-n", "30", "-o", f"detail={detail}"), directory / name)[1]


@pytest.fixture(scope="session")
def core(program, directory):
    return crash(program, directory, "first", 5)


@pytest.fixture(scope="session")
def later_core(program, directory):
    return crash(program, directory, "later", 70)


@pytest.fixture(scope="session")
def plain_core(program, directory):
    """Without thread and time of every block."""
    return crash(program, directory, "plain", 5, detail=0)


def save(core, directory, name):
    saved = directory / name
    result = coreanalyze("save", core, saved)
    assert result.stdout == ""
    return saved


@pytest.fixture(scope="session")
def saved(core, directory):
    return save(core, directory, "first.pb.gz")


@pytest.fixture(scope="session")
def later_saved(later_core, directory):
    return save(later_core, directory, "later.pb.gz")


def answer(*arguments):
    """Exit code and output of a command, its messages without the names of the files asked."""
    result = coreanalyze(*arguments, status=None)
    return result.returncode, result.stdout, result.stderr


# ---------------------------------------------------------------------------------------------- same from core and file

OPTIONS = [
    [], ["-n", "0"], ["--no-skip"], ["--skip", "keep*"], ["--cumulative"], ["--cumulative=unique"],
    ["--value", "peak"], ["--value", "total"], ["--include", "*saved.cpp"], ["--include", "*saved.cpp:47"], ["--exclude", "*/strange/*"],
    ["--include", "*/strange/*", "--include-domain", "7"], ["--include", "*after.cpp", "--all-frames"], ["--include-domain", "7"],
    ["--exclude-domain", "0"], ["--include-domain", "4000000000"], ["--function", "*thread*", "--all-frames"], ["--function", "main"],
    ["--module", "saved"], ["--module", "libstdc++*"], ["--min-size", "100"], ["--max-size", "100"],
    ["--min-size", "90", "--max-size", "1003"], ["--include", "*.py"], ["--include", "*st[*]r[[]a[]]nge[?].c"],
]


def listings():
    for key, options, form in itertools.product(KEYS, OPTIONS, ["text", "json"]):
        cumulative = any(option.startswith("--cumulative") for option in options)
        if cumulative and key in ("traceback", "domain", "thread") or key == "thread" and "--value" in options:
            continue
        yield ["--by", key, "--format", form, *options]


@pytest.mark.parametrize("key", KEYS)
def test_top(key, core, saved):
    """Everything that top can be asked has one answer."""
    asked = [options for options in listings() if options[1] == key]
    assert len(asked) > 30
    answers = set()
    for options in asked:
        expected = answer("top", *options, core)
        assert answer("top", *options, saved) == expected, options
        assert expected[0] == 0, options
        answers.add(expected[1])
    assert len(answers) > 15


@pytest.mark.parametrize("form", ["csv", "folded", "pprof"])
@pytest.mark.parametrize("options", [[], ["--no-skip"], ["--include", "*saved.cpp"], ["--value", "peak"], ["--min-size", "80"]])
def test_top_formats(form, options, core, saved):
    if form == "pprof" and "--value" in options:
        pytest.skip("a snapshot file holds all values")
    result = harness.run([harness.COREANALYZE, "top", "--format", form, *options, core], binary=True)
    assert result.returncode == 0 and result.stdout
    assert harness.run([harness.COREANALYZE, "top", "--format", form, *options, saved], binary=True).stdout == result.stdout


def test_thread(core, saved):
    threads = {one["thread"] for one in coreanalyze_json("traces", core)["traces"]}
    assert len(threads) == 4
    for thread in threads:
        for form in ("text", "json"):
            options = ["--thread", str(thread), "--format", form]
            expected = answer("top", *options, core)
            assert expected[0] == 0
            assert answer("top", *options, saved) == expected


def without_addresses(traces):
    return {**traces, "traces": [{**trace, "address": None} for trace in traces["traces"]]}


@pytest.mark.parametrize("options", [[], ["--no-skip"], ["--include", "*saved.cpp"], ["--exclude-domain", "0"], ["--min-size", "100"]])
def test_traces(options, core, saved):
    """Every trace and their order; addresses are what a file does not hold."""
    expected = coreanalyze_json("traces", *options, core)
    assert all(trace["address"] for trace in expected["traces"]) and expected["traces"]
    assert coreanalyze_json("traces", *options, saved) == without_addresses(expected)


def test_traces_text(core, saved):
    text = coreanalyze("traces", core).stdout
    assert coreanalyze("traces", saved).stdout == re.sub("^([0-9]+ bytes) at 0x[0-9a-f]+", r"\1", text, flags=re.MULTILINE)
    lines = coreanalyze("traces", "--format", "csv", core).stdout
    assert coreanalyze("traces", "--format", "csv", saved).stdout == re.sub("^([0-9]+,[0-9]+),0x[0-9a-f]+,", r"\1,,", lines,
                                                                            flags=re.MULTILINE)
    folded = coreanalyze("traces", "--format", "folded", core).stdout
    assert coreanalyze("traces", "--format", "folded", saved).stdout == folded


DIFFS = [["--by", key, "--format", form] for key in KEYS for form in ("text", "json")] + [
    ["-n", "0"], ["--cumulative"], ["--value", "peak"], ["--value", "total"], ["--include", "*after.cpp"], ["--no-skip"],
    ["--include-domain", "7"], ["--min-size", "64"], ["--max-size", "64"]]


@pytest.mark.parametrize("options", DIFFS, ids=" ".join)
def test_diff(options, core, later_core, saved, later_saved):
    """Each side of a difference may be a core or a file."""
    expected = answer("diff", *options, core, later_core)
    assert expected[0] == 0
    for old, new in [(core, later_saved), (saved, later_core), (saved, later_saved)]:
        assert answer("diff", *options, old, new) == expected
    if not options[1:] or options[0] == "--by" and options[1] == "lineno":
        assert "65" in expected[1]


def test_save_again(saved, tmp_path):
    """A file saved from a file is that file."""
    assert save(saved, tmp_path, "again.pb.gz").read_bytes() == saved.read_bytes()


def test_without_the_program(program, core, later_core, tmp_path):
    """The file needs neither the program nor its sources."""
    moved = program.parent.with_name("moved")
    asked = [["top", "--no-source", *options] for options in listings() if options[3] == "text"]
    expected = {tuple(options): coreanalyze(*options, core).stdout for options in asked}
    difference = coreanalyze("diff", "--no-source", core, later_core).stdout
    old, new = save(core, tmp_path, "old.pb.gz"), save(later_core, tmp_path, "new.pb.gz")
    program.parent.rename(moved)
    try:
        assert coreanalyze("top", core, status=1).stdout != expected[tuple(asked[0])]
        for options in asked:
            assert coreanalyze(*options, old).stdout == expected[tuple(options)], options
        assert coreanalyze("diff", "--no-source", old, new).stdout == difference
    finally:
        moved.rename(program.parent)


def test_unanswerable(plain_core, saved, tmp_path):
    """What a file does not hold is said, in words that name the file or the option."""
    plain = save(plain_core, tmp_path, "plain.pb.gz")
    for options in (["--older", "1"], ["--newer", "1"]):
        result = coreanalyze("top", *options, saved, status=EXIT_USAGE)
        assert "snapshot files do not hold" in result.stderr and result.stdout == ""
    for options in (["--by", "thread"], ["--thread", "1"]):
        assert answer("top", *options, plain) == answer("top", *options, plain_core)
        assert answer("top", *options, plain)[0] == EXIT_USAGE
    assert str(saved) in coreanalyze("info", saved, status=EXIT_USAGE).stderr


# ---------------------------------------------------------------------------------------------------------- the format

@pytest.fixture(scope="session")
def profile(saved):
    return pprof_wire.read(saved)


def physical_sum(profile, value):
    return sum(sample["values"][value] for sample in profile.samples)


def test_header(profile, core):
    assert profile.sample_types == SAMPLE_TYPES
    assert profile.default == "inuse_space"
    assert profile.period_type == ("space", "bytes") and profile.period == 1
    blocks = len(coreanalyze_json("traces", core)["traces"])
    assert profile.comments == [
        "tm: snapshot 1", "tm: traceback_limit=30",
        f"tm: coverage blocks={blocks} dropped=0 dropped_size=0 in_flight=0 sample_bytes=0 rejected=0 missing_bytes=0 truncated=0"]


def test_samples(profile, core):
    """Live blocks with their labels; totals and peak beside them, without `bytes`."""
    traces = coreanalyze_json("traces", "--no-skip", core)["traces"]
    live = collections.Counter()
    for sample in profile.samples:
        labels, values = sample["labels"], sample["values"]
        assert labels.keys() <= {"bytes", "domain", "thread", "total_nframe"} and "domain" in labels
        assert {unit for name, (_, unit) in labels.items() if name != "bytes"} <= {""}
        if "bytes" in labels:
            size, unit = labels["bytes"]
            assert unit == "bytes" and values == [0, 0, values[2], values[2] * size, 0, 0] and values[2] > 0
            frames = tuple((filename, lineno) for location in reversed(sample["locations"])
                           for filename, lineno in reversed(frames_of(profile, location)))
            total = labels.get("total_nframe", (None, ""))[0]
            live[labels["domain"][0], size, labels["thread"][0], total, frames] += values[2]
        else:
            assert values[2] == values[3] == 0 and "thread" not in labels
    assert live == collections.Counter(
        (trace["domain"], trace["size"], trace["thread"], trace["total_nframe"],
         tuple((filename, lineno) for filename, lineno in trace["frames"])) for trace in traces)


def frames_of(profile, location):
    """(file name, line) of a location, innermost first."""
    return [(profile.functions[function]["filename"].decode("utf-8", "surrogateescape"), line)
            for function, line in profile.locations[location]["lines"]]


def test_values(profile, core):
    """The sums of each value are what top says."""
    for value, at in (("total", 0), ("live", 2), ("peak", 4)):
        total = coreanalyze_json("top", "--value", value, core)["total"]
        assert (physical_sum(profile, at), physical_sum(profile, at + 1)) == (total["count"], total["size"])
    assert physical_sum(profile, 5) > physical_sum(profile, 3) + 4000000


def test_domains_of_totals(core, saved):
    """The one block of domain 7 that was given back counts in its totals."""
    for source in (core, saved):
        found = {one["traceback"][0]["filename"]: one for one in
                 coreanalyze_json("top", "--by", "lineno", "--value", "total", "--include-domain", "7", source)["statistics"]}
        assert [one["count"] for one in found.values()] == [10]


def test_mappings(profile, program):
    """Modules with path, range and build-id, and locations in them that are where they say."""
    paths = {one["path"]: one for one in profile.mappings.values()}
    mapping = paths[str(program).encode()]
    notes = harness.run_ok(["readelf", "-n", program]).stdout
    assert f"Build ID: {mapping['build_id'].decode()}" in notes
    for location in profile.locations.values():
        assert location["lines"]
        if location["mapping"]:
            where = profile.mappings[location["mapping"]]
            assert where["start"] <= location["address"] < where["limit"]


def test_inlined_and_allocator_frames(profile):
    """Inlined calls are lines of one location; allocator frames are stored, whatever the reader skips."""
    names = {function["name"].decode("utf-8", "replace") for function in profile.functions.values()}
    assert "operator new" in names
    assert any("_M_allocate" in name or "allocate" in name for name in names)
    inlined = [[profile.functions[function]["name"] for function, _ in location["lines"]] for location in profile.locations.values()]
    assert any(names[:2] == [b"allocate_inlined", b"allocate_twice"] and names[-1] == b"main" for names in inlined), inlined


def test_strange_names(profile, saved):
    """Names are kept byte for byte; nothing of them reaches a terminal or a file as a control character."""
    names = {function["filename"] for function in profile.functions.values()}
    for name in ("/strange/naïve/文件 💾.c".encode(), b'/strange/\x1b[31mred\x1b[0m\r\n\tnew line;semi:colon"quote"<b>&amp;.c',
                 b"/strange/latin-1 \xe9\xff.c", b"/strange/compiled.pyc", b"/strange/MODULE(+0x1234)", b"/strange/st*r[a]nge?.c"):
        assert name in names
    text = coreanalyze("top", "-n", "0", saved).stdout
    assert "\x1b" not in text and "\r" not in text and "文件 💾.c:10" in text


# ---------------------------------------------------------------------------------------------------------- wrong files

def refused(path, contents, words):
    """top, diff, traces and save give this file one error that names it, exit code 2 and no answer."""
    path.write_bytes(contents)
    messages = set()
    for arguments in (["top", path], ["diff", path, path], ["traces", path], ["save", path, path.with_name("out")]):
        result = coreanalyze(*arguments, status=EXIT_NOTHING)
        assert result.stdout == ""
        messages.add(re.sub("^coreanalyze: ([a-z]+: )?", "", result.stderr))
    assert len(messages) == 1
    message = messages.pop()
    assert str(path) in message and message.count("\n") == 1, message
    assert re.search(words, message), message
    assert not path.with_name("out").exists()


def edited(part, make):
    """A profile with one part made anew; make(strings) gives its bytes."""
    return pprof_wire.heap_profile(lambda strings: {part: make(strings)})


def sample(*pairs):
    return pprof_wire.message((pprof_wire.SAMPLE, pprof_wire.message(*pairs)))


def location(*pairs):
    return pprof_wire.message((pprof_wire.LOCATION, pprof_wire.message(*pairs)))


LINE = pprof_wire.message((1, 1), (2, 42))
FUNCTION = pprof_wire.message((1, 1), (2, 1), (4, 1))
MAPPING = pprof_wire.message((1, 1), (5, 1))

DAMAGED = {
    "nothing": (b"", "empty"),
    "garbage": (bytes(range(200, 256)) * 20, "is no core file"),
    "gzip of garbage": (gzip.compress(b"\xff" * 1000), "no profile"),
    "gzip of nothing": (gzip.compress(b""), "valid profile|no profile|string table"),
    "gzip magic alone": (b"\x1f\x8b", "copied whole|no profile|cannot read"),
    "no strings": (pprof_wire.message((1, pprof_wire.message((1, 1), (2, 2)))), "string table"),
    "first string not empty": (pprof_wire.message((1, pprof_wire.message((1, 0), (2, 0))), (6, b"x")), "string table"),
    "comment out of range": (edited("comments", lambda strings: pprof_wire.message((13, 999))), "string 999"),
    "negative comment": (edited("comments", lambda strings: pprof_wire.message((13, -1))), "string"),
    "mapping without id": (edited("mappings", lambda strings: pprof_wire.message((3, pprof_wire.message((5, 1))))), "mapping 0 has no id"),
    "mapping twice": (edited("mappings", lambda strings: pprof_wire.message((3, MAPPING), (3, MAPPING))), "mapping 1 stands twice"),
    "mapping's path out of range": (
        edited("mappings", lambda strings: pprof_wire.message((3, pprof_wire.message((1, 1), (5, 999))))), "string 999"),
    "mapping's build-id out of range": (
        edited("mappings", lambda strings: pprof_wire.message((3, pprof_wire.message((1, 1), (6, 999))))), "string 999"),
    "function without id": (edited("functions", lambda strings: pprof_wire.message((5, pprof_wire.message((2, 1))))), "function 0 has no id"),
    "function twice": (edited("functions", lambda strings: pprof_wire.message((5, FUNCTION), (5, FUNCTION))), "function 1 stands twice"),
    "function's name out of range": (
        edited("functions", lambda strings: pprof_wire.message((5, pprof_wire.message((1, 1), (2, 999), (3, 1), (4, 1))))), "string 999"),
    "function's file out of range": (
        edited("functions", lambda strings: pprof_wire.message((5, pprof_wire.message((1, 1), (4, 1 << 62))))), "string"),
    "location without id": (edited("locations", lambda strings: location((4, LINE))), "location 0 has no id"),
    "location twice": (edited("locations", lambda strings: location((1, 1), (4, LINE)) * 2), "location 1 stands twice"),
    "location's mapping missing": (edited("locations", lambda strings: location((1, 1), (2, 9), (4, LINE))), "mapping that is not there"),
    "location's function missing": (
        edited("locations", lambda strings: location((1, 1), (4, pprof_wire.message((1, 9))))), "function that is not there"),
    "sample's location missing": (edited("samples", lambda strings: sample((1, 9), (2, 1), (2, 1))), "location that is not there"),
    "sample's location 0": (edited("samples", lambda strings: sample((1, 0), (2, 1), (2, 1))), "location that is not there"),
    "too few values": (edited("samples", lambda strings: sample((1, 1), (2, 1))), "number of values"),
    "too many values": (edited("samples", lambda strings: sample((1, 1), (2, 1), (2, 1), (2, 1))), "number of values"),
    "negative count": (edited("samples", lambda strings: sample((1, 1), (2, -1), (2, 1))), "negative value"),
    "negative size": (edited("samples", lambda strings: sample((1, 1), (2, 1), (2, -300))), "negative value"),
    "domain out of range": (edited("samples", lambda strings: sample(
        (1, 1), (2, 1), (2, 1), (3, pprof_wire.message((1, strings("domain")), (3, 1 << 32))))), "out of range"),
    "negative thread": (edited("samples", lambda strings: sample(
        (1, 1), (2, 1), (2, 1), (3, pprof_wire.message((1, strings("thread")), (3, -5))))), "out of range"),
    "cpu profile": (pprof_wire.heap_profile(comments=(), types_=(("samples", "count"), ("cpu", "nanoseconds"))), "not of a heap"),
    "contention profile": (pprof_wire.heap_profile(comments=(), types_=(("contentions", "count"), ("delay", "nanoseconds"))),
                           "not of a heap"),
}


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name, compressed, tmp_path):
    contents, words = DAMAGED[name]
    if compressed and (contents[:2] == b"\x1f\x8b" or name in ("nothing", "garbage")):
        pytest.skip("not about a profile's bytes")
    refused(tmp_path / "damaged.pb.gz", gzip.compress(contents) if compressed else contents, words)


def test_undamaged(tmp_path):
    """What the damaged ones are made of is good."""
    path = tmp_path / "good.pb"
    path.write_bytes(pprof_wire.heap_profile())
    assert coreanalyze("top", "--no-source", path).stdout.splitlines()[1] == "main.c:42: size=300 B, count=3, average=100 B"


def test_cut(saved, tmp_path):
    """Cut anywhere, a file is refused: no part of a sum is given for the whole."""
    contents = saved.read_bytes()
    for size in sorted({1, 2, 9, 10, 11, 18, len(contents) // 2, len(contents) - 9, len(contents) - 8, len(contents) - 1}):
        path = tmp_path / "cut.pb.gz"
        path.write_bytes(contents[:size])
        result = coreanalyze("top", path, status=EXIT_NOTHING)
        assert result.stdout == "" and str(path) in result.stderr and result.stderr.count("\n") == 1, size


def test_flipped(saved, tmp_path):
    """Any byte wrong in the message below the compression: an answer or an error, never a crash."""
    contents = gzip.decompress(saved.read_bytes())
    statuses = collections.Counter()
    for at in range(0, len(contents), max(1, len(contents) // 120)):
        path = tmp_path / "flipped.pb"
        path.write_bytes(contents[:at] + bytes([contents[at] ^ 0x81]) + contents[at + 1:])
        statuses[coreanalyze("top", "--no-source", path, status=None).returncode] += 1
    assert statuses.keys() <= {0, 1, EXIT_NOTHING} and statuses[EXIT_NOTHING] > 5, statuses


def test_huge_counts(tmp_path):
    """A few bytes that claim 2^62 blocks: top counts them, what needs them one by one refuses."""
    count = 1 << 62
    path = tmp_path / "huge.pb"
    path.write_bytes(edited("samples", lambda strings: sample(
        (1, 1), (2, count), (2, count), (3, pprof_wire.message((1, strings("bytes")), (3, 1)))) * 6))
    assert coreanalyze_json("top", path)["total"] == {"size": 6 * count, "count": 6 * count}
    assert coreanalyze_json("top", "--min-size", "1", path)["total"] == {"size": 6 * count, "count": 6 * count}
    result = coreanalyze("traces", path, status=EXIT_NOTHING)
    assert str(path) in result.stderr and "too many" in result.stderr


# ------------------------------------------------------------------------------------------------ pprof, foreign profiles

def pprof(tmp_path_factory, *arguments):
    """go tool pprof, which is to ask nothing of the network."""
    home = tmp_path_factory.mktemp("go")
    environment = harness.clean_environment(HOME=home, GOPATH=home, GOCACHE=home / "cache", GOFLAGS="-mod=mod", GOPROXY="off",
                                            PPROF_TMPDIR=home, GOTOOLCHAIN="local")
    return harness.run_ok(["go", "tool", "pprof", *arguments], env=environment).stdout


def pprof_top(tmp_path_factory, path, sample_index):
    """({function: flat value}, total) as pprof has it, in bytes or blocks."""
    text = pprof(tmp_path_factory, "-top", f"-sample_index={sample_index}", "-unit=B", "-nodefraction=0", "-nodecount=100000",
                 "-symbolize=none", path)
    total = re.search(r"of (\S+) total", text)
    flat = {}
    for line in text.splitlines():
        row = re.fullmatch(r" *(\S+) +\S+% +\S+% +\S+ +\S+% {2}(.*)", line)
        if row and row[1] != "flat":
            flat[re.sub(r" \(inline\)$", "", row[2])] = int(re.sub("B$", "", row[1]))
    assert total, text
    return flat, int(re.sub("B$", "", total[1]))


needs_go = pytest.mark.skipif(not harness.have("go"), reason="golang-go is not installed")


@needs_go
@pytest.mark.parametrize("sample_index, value, what", [
    ("inuse_space", "live", "size"), ("inuse_objects", "live", "count"), ("alloc_space", "total", "size"),
    ("alloc_objects", "total", "count"), ("peak_space", "peak", "size"), ("peak_objects", "peak", "count")])
def test_pprof_top(sample_index, value, what, plain_core, tmp_path_factory):
    """pprof's totals of a saved snapshot, by function too, are those of top."""
    saved = save(plain_core, tmp_path_factory.mktemp("pprof"), "saved.pb.gz")
    flat, total = pprof_top(tmp_path_factory, saved, sample_index)
    answer = coreanalyze_json("top", "-n", "0", "--no-skip", "--by", "function", "--value", value, plain_core)
    assert total == answer["total"][what] == sum(flat.values())
    ours = {one["traceback"][0]["function"]: one[what] for one in answer["statistics"] if one["traceback"][0]["function"]}
    names = ("main", "descend", "rise", "strange_names")
    assert any(ours.get(name) for name in names)
    for name in names:
        assert flat.get(name, 0) == ours.get(name, 0)


@needs_go
def test_pprof_default(plain_core, tmp_path_factory):
    saved = save(plain_core, tmp_path_factory.mktemp("pprof"), "saved.pb.gz")
    assert "Type: inuse_space" in pprof(tmp_path_factory, "-top", "-symbolize=none", saved)


@pytest.fixture(scope="session")
def go_profiles(tmp_path_factory):
    """Two heap profiles of a Go program, the second of a moment with more."""
    home = tmp_path_factory.mktemp("gohome")
    shutil.copy(harness.PROGRAMS / "heap.go", home)
    environment = harness.clean_environment(HOME=home, GOPATH=home, GOCACHE=home / "cache", GOPROXY="off", GO111MODULE="off",
                                            GOTOOLCHAIN="local")
    harness.run_ok(["go", "run", "heap.go", home / "old.pb.gz", home / "new.pb.gz"], cwd=home, env=environment)
    return home / "old.pb.gz", home / "new.pb.gz"


@needs_go
def test_go_profile(go_profiles, tmp_path_factory):
    """A profile that Go's runtime wrote: the same sums, in all and by function."""
    for path in go_profiles:
        for sample_index, value, what in (("inuse_space", "live", "size"), ("inuse_objects", "live", "count"),
                                          ("alloc_space", "total", "size"), ("alloc_objects", "total", "count")):
            flat, total = pprof_top(tmp_path_factory, path, sample_index)
            answer = coreanalyze_json("top", "-n", "0", "--no-skip", "--by", "function", "--value", value, path)
            assert total == answer["total"][what] > 0
            ours = {one["traceback"][0]["function"]: one[what] for one in answer["statistics"]}
            assert {name: flat[name] for name in flat if name.startswith("main.") and flat[name]} == \
                {name: ours[name] for name in ours if name and name.startswith("main.")}


@needs_go
def test_go_diff(go_profiles):
    answer = coreanalyze_json("diff", "-n", "0", "--by", "function", *go_profiles)
    old, new = (coreanalyze_json("top", path)["total"] for path in go_profiles)
    assert answer["total"]["size_diff"] == new["size"] - old["size"] > 0
    grown = {one["traceback"][0]["function"]: one["count_diff"] for one in answer["statistics"]}
    assert grown["main.grow"] == 300
    text = coreanalyze("diff", "--no-source", "--include", "*heap.go", *go_profiles).stdout
    assert "heap.go:" in text and "(+300)" in text
    traces = coreanalyze_json("traces", go_profiles[1])["traces"]
    assert sum(trace["size"] for trace in traces) == new["size"] and all(trace["thread"] is None for trace in traces)


@needs_go
def test_go_cpu_profile(go_profiles, tmp_path):
    """Made by the same runtime, of something else."""
    result = coreanalyze("top", go_profiles[0].with_name("cpu.pb.gz"), status=EXIT_NOTHING)
    assert "not of a heap" in result.stderr


def test_json_of_foreign(tmp_path):
    """Other tools' sample types: space/objects and bytes/count; sums that do not divide evenly are kept."""
    for kinds in ((("objects", "count"), ("space", "bytes")), (("count", "count"), ("bytes", "bytes")),
                  (("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes"))):
        path = tmp_path / "foreign.pb"
        values = [(2, 0)] * (len(kinds) - 2) + [(2, 3), (2, 301)]
        path.write_bytes(pprof_wire.heap_profile(lambda strings, values=values: {"samples": sample((1, 1), *values)}, comments=(),
                                                 types_=kinds))
        assert coreanalyze_json("top", path)["total"] == {"size": 301, "count": 3}
        assert [trace["size"] for trace in coreanalyze_json("traces", path)["traces"]] == [100, 100, 101]
        assert json.loads(coreanalyze("top", "--format", "json", path).stdout)["statistics"][0]["traceback"][0]["filename"] == "main.c"
