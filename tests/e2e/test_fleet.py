"""Many processes as one: top and save of several sources, by arithmetic over what they say of each alone; what pprof makes of the
sum; sources that cannot be read; the set-ups of docs/fleet.md."""

import base64
import collections
import contextlib
import gzip
import http.server
import itertools
import json
import os
import re
import shutil
import subprocess
import threading

import harness
import pprof_wire
import pytest
from harness import coreanalyze, coreanalyze_json

EXIT_PARTIAL, EXIT_NOTHING, EXIT_OVER, EXIT_USAGE = 1, 2, 3, 64
SOURCE = harness.PROGRAMS / "fleet.c"
SESSIONS = (10, 20, 30, 40, 50)  # of the five sources
SANITIZED = "-fsanitize" in (harness.BUILD / "obj" / "flags").read_text()
SETUPS = harness.REPO / "docs" / "examples" / "fleet"


def line_of(text):
    (number,) = [number for number, line in enumerate(SOURCE.read_text().splitlines(), 1) if text in line]
    return number


@pytest.fixture(scope="session")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("fleet")


@pytest.fixture(scope="session")
def program(directory):
    return harness.compile_program(SOURCE, directory / "fleet", "-g", "-O1")


def crash(program, directory, name, sessions, *options):
    return harness.crash(harness.traced([program, sessions], *options), directory / name)[1]


@contextlib.contextmanager
def running(program, sessions):
    """A process that has done what it does."""
    process = subprocess.Popen([str(word) for word in harness.traced([program, sessions, "wait"])], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, env=harness.clean_environment())
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.stdin.close()
        assert process.wait(harness.TIMEOUT) == 0
        process.stdout.close()


@pytest.fixture(scope="session")
def sources(program, directory):
    """Two cores, a compressed one, a snapshot file and a process, each with the words that name it to coreanalyze."""
    cores = [crash(program, directory, f"host{number}", sessions) for number, sessions in enumerate(SESSIONS[:4])]
    harness.run_ok(["gzip", "-1", cores[2]])
    coreanalyze("save", cores[3], directory / "host3.pb.gz")
    with running(program, SESSIONS[4]) as process:
        yield [[cores[0]], [cores[1]], [f"{cores[2]}.gz"], [directory / "host3.pb.gz"], ["--pid", process.pid]]


def words(sources):
    return list(itertools.chain(*sources))


def names(sources):
    """What --by source calls them."""
    return [f"process {source[1]}" if source[0] == "--pid" else str(source[0]) for source in sources]


def groups(answer):
    """What is printed of each group -> [size, count]."""
    found = {}
    for one in answer["statistics"]:
        key = tuple((frame["filename"], frame["lineno"]) for frame in one["traceback"])
        assert key not in found
        found[key] = [one["size"], one["count"]]
    return found


def added(answers):
    total = collections.defaultdict(lambda: [0, 0])
    for answer in answers:
        for key, numbers in groups(answer).items():
            total[key] = [mine + theirs for mine, theirs in zip(total[key], numbers)]
    return dict(total)


def check_sum(sources, *options, status=0):
    """The answer about all of them is the sum of the answers about each."""
    single = [coreanalyze_json("top", "-n", 0, *options, *source, status=None) for source in sources]
    answer = coreanalyze_json("top", "-n", 0, *options, *words(sources), status=status)
    assert groups(answer) == added(single) != {}
    for member in ("size", "count"):
        assert answer["total"][member] == sum(one["total"][member] for one in single)
    coverage = answer["coverage"]
    for member in ("blocks", "dropped", "dropped_size", "in_flight", "missing_bytes", "rejected"):
        assert coverage[member] == sum(one["coverage"][member] for one in single), member
    for member in ("truncated", "disagree"):
        assert coverage[member] == any(one["coverage"][member] for one in single), member
    assert (coverage["sources"], coverage["unread_sources"]) == (len(sources), 0)
    ordered = [(one["size"], one["count"]) for one in answer["statistics"]]
    assert ordered == sorted(ordered, reverse=True)
    return answer


# ------------------------------------------------------------------------------------------------------- sums

@pytest.mark.parametrize("key", ["lineno", "filename", "traceback", "function", "module", "domain"])
def test_keys(key, sources):
    answer = check_sum(sources, "--by", key)
    assert answer["total"]["size"] == 5 * 4096 + sum(SESSIONS) * (1000 + 64 + 16)
    if key == "lineno":
        place = ((str(SOURCE), line_of("keep(malloc(1000));")),)
        assert groups(answer)[place] == [1000 * sum(SESSIONS), sum(SESSIONS)]


@pytest.mark.parametrize("options", [
    ["--value", "peak"], ["--value", "total"], ["--cumulative=unique", "--by", "function"], ["--no-skip", "--skip", "main"],
    ["--skip", "make_buffer", "--by", "traceback"], ["--min-size", "64"], ["--max-size", "64", "--by", "function"],
    ["--include", f"*/fleet.c:{line_of('keep(malloc(1000));')}"], ["--exclude", "*/fleet.c", "--all-frames", "--by", "module"],
    ["--function", "main", "--all-frames", "--by", "traceback", "--module", "fleet"]], ids=" ".join)
def test_options(options, sources):
    if "--exclude" in options:  # everything is the program's
        answer = coreanalyze_json("top", *options, *words(sources))
        assert answer["statistics"] == [] and answer["total"] == {"size": 0, "count": 0}
        return
    answer = check_sum(sources, *options)
    if options == ["--value", "peak"]:
        place = ((str(SOURCE), line_of("large = malloc")),)
        assert groups(answer)[place] == [len(SESSIONS) << 20, len(SESSIONS)]


def test_text(sources):
    """Order and words are those of one source, the coverage line says of how many."""
    blocks = 5 + 3 * sum(SESSIONS)
    lines = coreanalyze("top", "-n", 2, "--no-source", *words(sources)).stdout.splitlines()
    assert lines == [
        "[ Top 2 ]",
        f"{SOURCE}:{line_of('keep(malloc(1000));')}: size=146 KiB, count=150, average=1000 B",
        f"{SOURCE}:{line_of('kept = malloc(4096);')}: size=20.0 KiB, count=5, average=4096 B",
        "2 other: 11.7 KiB",
        f"Total allocated size: {(5 * 4096 + 1080 * sum(SESSIONS)) / 1024:.1f} KiB",
        f"coverage: 5 sources, {blocks} blocks, 0 dropped, 0 in flight, every block traced",
    ]


def test_by_source(sources):
    """Each by the name that it was given, the largest first; one source alone is allowed."""
    expected = {((name, 0),): [4096 + 1080 * sessions, 1 + 3 * sessions] for name, sessions in zip(names(sources), SESSIONS)}
    assert groups(coreanalyze_json("top", "--by", "source", *words(sources))) == expected
    first = coreanalyze("top", "--by", "source", "-n", 1, *words(sources)).stdout.splitlines()[1]
    assert first == f"process {sources[4][1]}: size=56.7 KiB, count=151, average=385 B"
    alone = coreanalyze("top", "--by", "source", *sources[0]).stdout.splitlines()
    assert alone[1] == f"{sources[0][0]}: size=14.5 KiB, count=31, average=481 B"
    assert alone[-1] == "coverage: 1 source, 31 blocks, 0 dropped, 0 in flight, every block traced"
    notes = coreanalyze_json("top", "--by", "source", "--max-size", 16, *words(sources))
    assert groups(notes) == {((name, 0),): [16 * sessions, sessions] for name, sessions in zip(names(sources), SESSIONS)}


def test_csv_and_folded(sources):
    answer = coreanalyze_json("top", "-n", 0, *words(sources))
    rows = coreanalyze("top", "-n", 0, "--format", "csv", *words(sources))
    assert [line.split(",")[:2] for line in rows.stdout.splitlines()[1:]] == \
        [[str(one["size"]), str(one["count"])] for one in answer["statistics"]]
    assert "coverage: 5 sources, " in rows.stderr
    folded = coreanalyze("top", "--format", "folded", *words(sources)).stdout.splitlines()
    assert sum(int(line.rsplit(" ", 1)[1]) for line in folded) == answer["total"]["size"]
    assert [line for line in folded if line.endswith(f"main;open_session;make_buffer {64 * sum(SESSIONS)}")]
    by_source = coreanalyze("top", "--format", "folded", "--by", "source", *words(sources)).stdout.splitlines()
    assert f"{sources[1][0]} {4096 + 1080 * SESSIONS[1]}" in by_source


def test_flames(sources):
    """Flame graphs of the sum, by whatever its table is grouped."""
    answer = coreanalyze_json("top", "-n", 0, *words(sources))
    flames = json.loads(coreanalyze("top", "--format", "speedscope", *words(sources)).stdout)
    assert sum(flames["profiles"][0]["weights"]) == answer["total"]["size"]
    page = coreanalyze("top", "--format", "html", "--by", "source", *words(sources)).stdout
    assert all(name in page for name in names(sources)) and "open_session" in page and "5 sources" in page


def test_fail_over(sources):
    total = 5 * 4096 + 1080 * sum(SESSIONS)
    coreanalyze("top", "--fail-over", total, *words(sources))
    coreanalyze("top", "--fail-over", total - 1, *words(sources), status=EXIT_OVER)


def test_threads_and_ages(program, directory):
    """What needs detail is asked of each source, and a source without it is named."""
    cores = [crash(program, directory, f"detail{sessions}", sessions, "-o", "detail=1") for sessions in (3, 4)]
    for options in (["--by", "thread"], ["--older", "0"], ["--newer", "100000"]):
        check_sum([[core] for core in cores], *options)
    thread = coreanalyze_json("top", "--by", "thread", cores[0])["statistics"][0]["traceback"][0]["filename"].split()[1]
    kept = coreanalyze_json("top", "--thread", thread, *cores)
    assert kept["total"] == coreanalyze_json("top", cores[0])["total"]
    plain = crash(program, directory, "plain", 5)
    for options in (["--by", "thread"], ["--older", "1"], ["--thread", "1"]):
        result = coreanalyze("top", *options, cores[0], plain, status=EXIT_USAGE)
        assert result.stdout == "" and f"{plain}: {options[0]}" in result.stderr and result.stderr.count("\n") == 1


def test_types(tmp_path):
    """By type each source's own memory is asked."""
    source = tmp_path / "typed.cpp"
    source.write_text("#include <cstdlib>\nstruct Session { virtual ~Session() {} long data[4]; };\nSession *kept[100];\n"
                      "int main(int, char **argv)\n{\n    for (int i = 0; i < std::atoi(argv[1]); i++) {\n"
                      "        kept[i] = new Session;\n    }\n    std::abort();\n}\n")
    program = harness.compile_program(source, tmp_path / "typed", "-g")
    cores = [crash(program, tmp_path, f"cores{sessions}", sessions) for sessions in (7, 5)]
    answer = check_sum([[core] for core in cores], "--by", "type")
    assert groups(answer)[(("Session", 0),)] == [12 * 40, 12]


def test_sampled(program, directory):
    """Estimates are added like exact numbers; the coverage line says of how many sources they are."""
    exact = crash(program, directory, "exact", 100)
    sampled = [crash(program, directory, f"sampled{size}", 150, "-o", f"sample={size}") for size in (256, 4096)]
    assert check_sum([[exact], [sampled[0]]])["coverage"]["sample_bytes"] == 256
    line = coreanalyze("top", exact, sampled[0]).stdout.splitlines()[-1]
    assert line.endswith(" 0 in flight, of 1 source one sample per 256 B") and "coverage: 2 sources, " in line
    line = coreanalyze("top", *sampled).stdout.splitlines()[-1]
    assert line.endswith(" 0 in flight, one sample per 256 B to 4096 B")
    check_sum([[core] for core in sampled], "--by", "traceback")
    merged = directory / "sampled.pb.gz"
    coreanalyze("save", *sampled, merged)
    assert coreanalyze("top", merged).stdout == coreanalyze("top", *sampled).stdout


# ------------------------------------------------------------------------------------------------------- files

@pytest.fixture(scope="session")
def merged(sources, directory):
    path = directory / "merged.pb.gz"
    assert coreanalyze("save", *words(sources[:4]), path).stdout == ""
    return path


def test_saved_sum(sources, merged, directory):
    """The file answers as its sources do, by source as well, and is the same when it is saved again."""
    for options in (["--by", "traceback"], ["--value", "total", "--by", "source"], ["--min-size", "65", "--by", "source"],
                    ["--format", "json", "-n", "0", "--value", "peak"]):
        assert coreanalyze("top", *options, merged).stdout == coreanalyze("top", *options, *words(sources[:4])).stdout, options
    coreanalyze("save", merged, directory / "again.pb.gz")
    assert (directory / "again.pb.gz").read_bytes() == merged.read_bytes()
    coreanalyze("top", "--format", "pprof", "-o", directory / "top.pb.gz", *words(sources[:4]))
    assert (directory / "top.pb.gz").read_bytes() == merged.read_bytes()
    traces = coreanalyze_json("traces", merged)
    assert len(traces["traces"]) == traces["coverage"]["blocks"] == 4 + 3 * sum(SESSIONS[:4])
    both = coreanalyze_json("top", "-n", 0, *sources[4], merged)
    assert groups(both) == groups(coreanalyze_json("top", "-n", 0, *words(sources))) and both["coverage"]["sources"] == 5


def test_difference_of_sums(sources, merged, directory):
    """Two days of a fleet: what grew, and by source."""
    later = directory / "later.pb.gz"
    coreanalyze("save", *words(sources), later)
    answer = coreanalyze_json("diff", "-n", 0, merged, later)
    assert answer["total"]["size_diff"] == 4096 + 1080 * SESSIONS[4]
    grown = coreanalyze_json("diff", "--by", "source", merged, later)
    assert [(one["traceback"][0]["filename"], one["size_diff"]) for one in grown["statistics"] if one["size_diff"]] == \
        [(names(sources)[4], 4096 + 1080 * SESSIONS[4])]
    result = coreanalyze("diff", "--by", "source", sources[0][0], sources[1][0], status=EXIT_USAGE)
    assert "sources are told apart where" in result.stderr


def test_profile(sources, merged):
    """One valid profile: each sample has its source, equal code is one location wherever the process had it."""
    profile = pprof_wire.read(merged)
    single = pprof_wire.read(sources[3][0])
    live, total = collections.Counter(), collections.Counter()
    for sample in profile.samples:
        source = sample["labels"]["source"]
        live[source] += sample["values"][3]
        total[source] += sample["values"][1]
        assert ("bytes" in sample["labels"]) == (sample["values"][2] > 0)
    expected = {name: 4096 + 1080 * sessions for name, sessions in zip(names(sources)[:4], SESSIONS)}
    assert live == expected and total == {name: size + (1 << 20) for name, size in expected.items()}
    assert len(profile.locations) == len(single.locations) and len(profile.functions) == len(single.functions)
    for location in profile.locations.values():
        mapping = profile.mappings[location["mapping"]]
        assert mapping["start"] <= location["address"] < mapping["limit"]
    assert f"sources=4 unread=0 sampled=0 least_sample_bytes=0" in profile.comments[2]


def pprof(tmp_path_factory, *arguments):
    home = tmp_path_factory.mktemp("home")
    environment = harness.clean_environment(HOME=home, PPROF_TMPDIR=home, GOFLAGS="-mod=mod", GOPROXY="off", GOTOOLCHAIN="local")
    return harness.run_ok(["go", "tool", "pprof", *arguments], env=environment).stdout


def test_go_tool_pprof(sources, merged, tmp_path_factory):
    if not harness.have("go"):
        pytest.skip("needs go")
    text = pprof(tmp_path_factory, "-tags", "-sample_index=inuse_space", "-unit=B", merged)
    found = dict(re.findall(r"^\s*(\d+)(?:\.0)?B \([^)]*\):\s+(\S+core\S*|\S+\.pb\.gz)$", text, re.MULTILINE))
    assert {name: int(size) for size, name in found.items()} == \
        {name: 4096 + 1080 * sessions for name, sessions in zip(names(sources)[:4], SESSIONS)}, text
    text = pprof(tmp_path_factory, "-top", "-sample_index=inuse_objects", f"-tagfocus=source={re.escape(names(sources)[1])}", merged)
    assert re.search(rf"^\s+{2 * SESSIONS[1]}\s.* open_session", text, re.MULTILINE) or \
        re.search(rf"^\s+{SESSIONS[1]}\s.* open_session", text, re.MULTILINE), text


def test_memory_is_bounded(tmp_path):
    """Two hundred files of equal programs need no more memory than five: each is closed before the next, what is equal is kept once."""
    if SANITIZED:
        pytest.skip("the sanitizer keeps what was freed")
    name = "f" * 100000
    data = pprof_wire.heap_profile(lambda strings: {"functions": pprof_wire.message((pprof_wire.FUNCTION, pprof_wire.message(
        (1, 1), (2, strings(name)), (3, strings(name)), (4, strings("main.c")))))})
    (tmp_path / "0.pb.gz").write_bytes(gzip.compress(data))
    copies = [tmp_path / f"{number}.pb.gz" for number in range(200)]
    for copy in copies[1:]:
        os.link(copies[0], copy)

    def peak(count):
        command = [str(harness.COREANALYZE), "top", "--format", "json", *map(str, copies[:count])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=harness.clean_environment()) as process:
            answer = json.loads(process.stdout.read())
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert status == 0 and answer["total"] == {"size": 300 * count, "count": 3 * count}
        return usage.ru_maxrss

    few, many = peak(5), peak(200)
    assert many < few + 4096, f"{few} and {many} KiB"


# ------------------------------------------------------------------------------------------------------- what goes wrong

def test_unreadable_among_many(sources, tmp_path, directory):
    """The rest is summed up: one line for each that is missing, the coverage line counts them, exit code 1."""
    text = tmp_path / "text"
    text.write_text("no core\n" * 1000)
    cut = tmp_path / "cut.pb.gz"
    cut.write_bytes(sources[3][0].read_bytes()[:-100])
    bad = [tmp_path / "missing", text, cut]
    result = coreanalyze("top", sources[0][0], *bad, sources[3][0], status=EXIT_PARTIAL)
    lines = result.stderr.splitlines()
    assert len(lines) == 3 and all(line.startswith("coreanalyze: ") and str(path) in line for path, line in zip(bad, lines))
    assert result.stdout.splitlines()[-1].startswith("coverage: 2 of 5 sources, ")
    answer = coreanalyze_json("top", sources[0][0], *bad, sources[3][0], status=EXIT_PARTIAL)
    assert (answer["coverage"]["sources"], answer["coverage"]["unread_sources"]) == (2, 3)
    assert answer["total"]["size"] == 2 * 4096 + 1080 * (SESSIONS[0] + SESSIONS[3])
    merged = tmp_path / "merged.pb.gz"
    coreanalyze("save", sources[0][0], *bad, sources[3][0], merged, status=EXIT_PARTIAL)
    assert coreanalyze("top", merged, status=EXIT_PARTIAL).stdout == result.stdout
    result = coreanalyze("top", *bad, status=EXIT_NOTHING)
    assert result.stdout == "" and result.stderr.splitlines()[-1] == "coreanalyze: none of the 3 sources could be read"


def test_truncated_among_many(program, directory, tmp_path):
    """It is summed up as far as it goes, and named."""
    whole, core = (crash(program, directory, f"cut{sessions}", sessions) for sessions in (8, 9))
    cut = tmp_path / "cut"
    cut.write_bytes(core.read_bytes()[:-4096])
    result = coreanalyze("top", whole, cut, status=EXIT_PARTIAL)
    assert "truncated core, tables complete" in result.stdout.splitlines()[-1]
    assert result.stderr.splitlines() == [
        f"coreanalyze: {cut}: coverage: 28 blocks, 0 dropped, 0 in flight, every block traced, truncated core, tables complete"]
    check_sum([[whole], [cut]], status=EXIT_PARTIAL)


def test_usage(sources, tmp_path, merged):
    first, second = sources[0][0], sources[1][0]
    for arguments, message in [
        (["save", first, second, merged], f"save: {merged} is there already; several sources are saved to a new file only"),
        (["traces", first, second], f"unexpected operand '{second}'"),
        (["info", first, "--pid", 1], "unexpected operand"),
        (["traces", "--pid", 1, "--pid", 2], "--pid: 2 processes, where 1 source is read"),
        (["top", "-o", first, first, second], f"{first} is what is read; write to another file"),
        (["traces", "--by", "source", first], "'--by'"),
        (["top", "--by", "source", "--cumulative", first, second], "--cumulative cannot be used with --by source"),
        (["leaks", "--by", "source", first], "leaks: --by: it reads one source; top tells several apart"),
    ]:
        result = coreanalyze(*arguments, status=EXIT_USAGE)
        assert result.stdout == "" and message in result.stderr and result.stderr.count("\n") == 1, (arguments, result.stderr)


def build_id_of(path):
    return re.search(r"Build ID: (\w+)", harness.run_ok(["readelf", "-n", path]).stdout)[1]


def test_different_builds(tmp_path):
    """Where addresses without names come from two builds, the answer warns, from cores' files as from cores."""
    files, build_ids = [], []
    for level in ("-O0", "-O2"):
        program = harness.compile_program(SOURCE, tmp_path / "fleet", level)
        harness.run_ok(["strip", program])
        build_ids.append(build_id_of(program))
        core = crash(program, tmp_path, f"cores{level}", 3)
        files.append(tmp_path / f"fleet{level}.pb.gz")
        coreanalyze("save", core, files[-1])
    first, second = build_ids
    warning = "equal addresses without names may be different code"
    expected = [f"coreanalyze: {program}: build-ids {first} and {second} among the sources: {warning}"]
    assert coreanalyze("top", *files).stderr.splitlines() == expected
    assert coreanalyze("top", files[0], files[0]).stderr == ""
    assert coreanalyze("top", "--by", "module", *files).stderr == ""
    assert coreanalyze("diff", *files).stderr.splitlines() == \
        [f"coreanalyze: {program}: build-id {first} in the old, {second} in the new: {warning}"]
    merged = tmp_path / "merged.pb.gz"
    coreanalyze("save", *files, merged)
    assert coreanalyze("top", merged).stderr.splitlines() == expected


# ------------------------------------------------------------------------------------------------------- set-ups

def with_tools(**changes):
    """The environment of a helper, with coreanalyze on its path."""
    return harness.clean_environment(PATH=f"{harness.COREANALYZE.parent}:{os.environ['PATH']}", **changes)


def test_core_on_standard_input(program, directory, tmp_path):
    """What a collector hands on, the helper keeps as a snapshot file, and nothing else."""
    core = crash(program, directory, "piped", 12)
    snapshots = tmp_path / "snapshots"
    snapshots.mkdir()
    with open(core, "rb") as data, subprocess.Popen(["cat"], stdin=data, stdout=subprocess.PIPE) as pipe:
        harness.run_ok([SETUPS / "core-to-snapshot", snapshots, "fleet", "4711", "1700000000"], stdin=pipe.stdout,
                       env=with_tools(TMPDIR=tmp_path))
    (snapshot,) = snapshots.iterdir()
    assert snapshot.name == "fleet.4711.1700000000.pb.gz" and snapshot.stat().st_mode & 0o777 == 0o600
    assert [path for path in tmp_path.iterdir()] == [snapshots]
    for options in ([], ["--value", "peak"], ["--by", "traceback"]):
        assert coreanalyze("top", *options, snapshot).stdout == coreanalyze("top", *options, core).stdout


def test_cores_of_systemd(program, directory, tmp_path):
    """Stored cores of traced programs become snapshots; those of others, and what is not whole, stay."""
    cores, snapshots = tmp_path / "coredump", tmp_path / "snapshots"
    cores.mkdir()
    core = crash(program, directory, "stored", 13)
    answer = coreanalyze("top", core).stdout
    stored = cores / "core.fleet.0.0123456789abcdef.4711.1700000000000000.zst"
    harness.run_ok(["zstd", "-q", "-1", core, "-o", stored])
    (cores / ".#core.half.written").write_bytes(b"\x28\xb5\x2f\xfd")
    untraced = cores / "core.sleep.0.0123456789abcdef.4712.1700000000000000"
    untraced.write_bytes(harness.crash([program, 1], directory / "untraced")[1].read_bytes())
    cut = cores / "core.cut.0.0123456789abcdef.4713.1700000000000000"
    cut.write_bytes(core.read_bytes()[:-4096])
    for round in range(2):  # the second time there is nothing to do
        result = harness.run_ok([SETUPS / "keep-snapshots", cores, snapshots], env=with_tools())
        assert result.stdout == "" and result.stderr.startswith(f"{cut.name}: kept, its snapshot is partial: ") == (round == 0)
        assert sorted(path.name for path in cores.iterdir()) == sorted([".#core.half.written", untraced.name, cut.name])
        assert sorted(path.name for path in snapshots.glob("*.pb.gz")) == \
            sorted(["core.fleet.0.0123456789abcdef.4711.1700000000000000.pb.gz", f"{cut.name}.pb.gz"])
    assert coreanalyze("top", snapshots / f"{stored.name.removesuffix('.zst')}.pb.gz").stdout == answer
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in snapshots.iterdir())


def test_units(tmp_path):
    """systemd takes the units as they are, but for the programs, which are not installed here."""
    if not harness.have("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    units = [path for path in SETUPS.iterdir() if path.suffix in (".service", ".path", ".timer")]
    assert len(units) == 4
    for path in units:
        text = path.read_text().replace("/usr/bin/coreanalyze", "/bin/true").replace("/usr/local/libexec/keep-snapshots", "/bin/true")
        (tmp_path / path.name).write_text(text)
        (tmp_path / path.name.replace("@", "@server")).write_text(text)
    names = sorted(path.name.replace("@", "@server") for path in units)
    result = harness.run_ok(["systemd-analyze", "--man=no", "verify", *[tmp_path / name for name in names]])
    assert result.stdout + result.stderr == ""
    pattern = re.search(r"^kernel.core_pattern=(.*)$", (SETUPS / "60-coreanalyze.conf").read_text(), re.MULTILINE)[1]
    assert pattern.startswith("|/") and len(pattern) <= 127


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, self.headers["Content-Type"], self.headers["Authorization"], json.loads(body)))
        self.send_response(self.server.answer)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def receiver(answer=200):
    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.posted, server.answer = [], answer
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def check_raw_profile(encoded, snapshot, tmp_path):
    """It is the snapshot with the time of its file."""
    received = tmp_path / "received.pb.gz"
    received.write_bytes(base64.b64decode(encoded))
    plain, sent = gzip.decompress(snapshot.read_bytes()), gzip.decompress(received.read_bytes())
    assert sent.startswith(plain) and pprof_wire.fields(sent[len(plain):]) == {9: [1700000000 * 10**9]}
    assert coreanalyze("top", received).stdout == coreanalyze("top", snapshot).stdout


def test_push(sources, tmp_path):
    """Both servers get what their documented interfaces ask for."""
    snapshot = tmp_path / "snapshot.pb.gz"
    shutil.copy(sources[3][0], snapshot)
    os.utime(snapshot, (1700000000, 1700000000))
    labels = [{"name": "__name__", "value": "memory"}, {"name": "service_name", "value": "fleet"}, {"name": "host", "value": "a"}]
    with receiver() as (server, address):
        harness.run_ok([SETUPS / "push-snapshot", "--pyroscope", address, "fleet", snapshot, "host=a"])
        harness.run_ok([SETUPS / "push-snapshot", "--parca", f"{address}/", "fleet", snapshot, "host=a"],
                       env=harness.clean_environment(PUSH_TOKEN="secret"))
    (path, kind, token, body), (parca_path, parca_kind, parca_token, parca_body) = server.posted
    assert (path, kind, token) == ("/push.v1.PusherService/Push", "application/json", None)
    (series,) = body["series"]
    assert series["labels"] == labels and len(series["samples"]) == 1 and series["samples"][0]["ID"]
    check_raw_profile(series["samples"][0]["rawProfile"], snapshot, tmp_path)
    assert (parca_path, parca_kind, parca_token) == ("/profiles/writeraw", "application/json", "Bearer secret")
    (series,) = parca_body["series"]
    assert series["labels"] == {"labels": labels} and len(series["samples"]) == 1
    check_raw_profile(series["samples"][0]["rawProfile"], snapshot, tmp_path)
    with receiver(answer=500) as (server, address):
        result = harness.run([SETUPS / "push-snapshot", "--pyroscope", address, "fleet", snapshot])
    assert result.returncode == 1 and "HTTP" in result.stderr and result.stderr.count("\n") == 1


def test_process_in_a_container(program, tmp_path):
    """A process with files of its own is read with the help of /proc/PID/root, as a sidecar container reads its neighbour."""
    if os.geteuid() != 0 or not harness.have("unshare"):
        pytest.skip("mount namespaces need root and unshare")
    hidden = tmp_path / "image"
    hidden.mkdir()
    script = (f"mount -t tmpfs none {hidden} && cp {program} {hidden}/fleet && exec {harness.TM_RUN} -- {hidden}/fleet 6 wait")
    process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env=harness.clean_environment())
    try:
        if process.stdout.readline() != "ready\n":
            pytest.skip("no mount namespace can be made here")
        assert not (hidden / "fleet").exists()
        saved = tmp_path / "saved.pb.gz"
        coreanalyze("save", "--pid", process.pid, "--sysroot", f"/proc/{process.pid}/root", saved)
        place = ((str(SOURCE), line_of("keep(malloc(1000));")),)
        assert groups(coreanalyze_json("top", saved))[place] == [6000, 6]
        coreanalyze("top", "--pid", process.pid, status=EXIT_PARTIAL)  # without it the names are missing, and it says so
    finally:
        process.stdin.close()
        process.wait(harness.TIMEOUT)
        process.stdout.close()


def test_guide_shows_the_set_ups_as_they_are():
    """The files that docs/fleet.md prints are those of docs/examples/fleet."""
    guide = (harness.REPO / "docs" / "fleet.md").read_text()
    for path in SETUPS.iterdir():
        assert path.name in guide, path.name
    for name, printed in re.findall(r"<!-- file: (\S+) -->\n```\w*\n(.*?)```\n", guide, re.DOTALL):
        assert (harness.REPO / "docs" / name).read_text() == printed, name
