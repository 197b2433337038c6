"""Cores as they are in the field: cut short by a full disk or a limit, written by whatever tool, of programs that are no longer there.

TM_CUTS=all cuts at every 4 KiB of the part that holds the tables; by default at every 16th of them and at some places beside."""

import os
import random
import resource
import shutil
import signal
import struct
import subprocess

import harness
import pytest
import second_reader

PAGE = 4096


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    return harness.compile_program(harness.PROGRAMS / "oracle.c", tmp_path_factory.mktemp("oracle") / "oracle", "-O2", "-g",
                                   "-fno-builtin-malloc", f"-I{harness.REPO}")


@pytest.fixture(scope="module")
def core(oracle, tmp_path_factory):
    _, path = harness.crash(harness.traced([oracle, "abort"]), tmp_path_factory.mktemp("core"))
    yield path
    path.unlink()


def blocks_of(traces):
    return sorted((trace["domain"], int(trace["address"], 16), trace["size"]) for trace in traces["traces"])


def segments(core):
    """[(address, end in the file)] of the memory that a core holds."""
    with core.open("rb") as file:
        data = file.read(1 << 20)
    offset, = struct.unpack_from("<Q", data, 32)
    count, = struct.unpack_from("<H", data, 56)
    headers = [struct.unpack_from("<IIQQQQQQ", data, offset + 56 * i) for i in range(count)]
    return [(header[3], header[2] + header[5]) for header in headers if header[0] == 1]


def end_of_tables(core):
    """Offset in the file behind the last byte of the tables."""
    return max(end for address, end in segments(core) if second_reader.PREFERRED <= address < 0x3000000000)


def expected_size(core):
    return max(end for _, end in segments(core))


def look(path):
    """(exit code, answer of traces or None) of a core that may be cut anywhere; it must say what is wrong."""
    result = harness.coreanalyze("traces", "--no-skip", "--format", "json", path, status=None, timeout=60)
    assert result.returncode in (0, 1, 2), result
    if result.returncode == 2:
        assert result.stdout == "" and result.stderr.startswith(f"coreanalyze: {path}: ") and result.stderr.count("\n") == 1
        return 2, None
    return result.returncode, harness.json.loads(result.stdout)


def cuts_of(size, tables):
    numbers = random.Random(20)
    pages = range(0, tables + PAGE, PAGE)
    chosen = pages if os.environ.get("TM_CUTS") == "all" else [*pages[::16], pages[-1]]
    return sorted({size, *chosen, *(numbers.randrange(tables) for _ in range(8)), *(numbers.randrange(tables, size) for _ in range(8))},
                  reverse=True)


def test_every_truncation(core, tmp_path):
    """No crash, honest coverage, never a block that the whole core does not have, and all of them as soon as the tables are there."""
    whole = blocks_of(look(core)[1])
    size, tables = core.stat().st_size, end_of_tables(core)
    assert len(whole) > 500 and tables < size / 2
    cut = tmp_path / "cut"
    shutil.copy(core, cut)
    found = []
    for length in cuts_of(size, tables):
        os.truncate(cut, length)
        status, answer = look(cut)
        assert (status == 0) <= (length == size), (length, status)
        if answer is None:
            assert length < tables, length
            continue
        coverage = answer["coverage"]
        assert coverage["truncated"] == (length < size), (length, coverage)
        blocks = blocks_of(answer)
        assert set(blocks) <= set(whole), length
        assert blocks == whole or coverage["missing_bytes"], (length, coverage)
        assert not coverage["disagree"] and not coverage["rejected"], (length, coverage)
        if length >= tables:
            assert blocks == whole and coverage["missing_bytes"] == 0, (length, coverage)
        found.append(len(blocks))
    assert found == sorted(found, reverse=True) and found[0] == len(whole) and found[-1] < len(whole)


def test_second_reader_agrees_on_what_is_left(core, tmp_path):
    """Both readers take the same blocks out of the same part."""
    tables = end_of_tables(core)
    cut = tmp_path / "cut"
    shutil.copy(core, cut)
    compared = 0
    for length in range(tables, 0, -tables // 12):
        os.truncate(cut, length)
        try:
            image = second_reader.read(second_reader.Core(cut))
        except (second_reader.NotTables, second_reader.Unreadable):
            continue
        _, answer = look(cut)
        assert blocks_of(answer) == sorted((block.domain, block.address, block.size) for block in image.blocks), length
        compared += 1
    assert compared > 3


@pytest.mark.parametrize("limit", [4096, 100_000, 1_500_000, 2_500_000, 1 << 40])
def test_core_limit(oracle, tmp_path, limit):
    """ulimit -c: the kernel itself cuts the core."""
    if not harness.kernel_writes_core_here():
        pytest.skip("the kernel hands cores to a program (core_pattern)")

    def limited():
        resource.setrlimit(resource.RLIMIT_CORE, (limit, resource.RLIM_INFINITY))

    harness.run(harness.traced([oracle, "abort"]), cwd=tmp_path, preexec_fn=limited)
    core = harness.find_core(tmp_path)
    assert core is not None and (core.stat().st_blocks * 512 <= limit + 16 * PAGE or limit == 1 << 40)  # holes are free
    status, answer = look(core)
    whole = core.stat().st_size >= expected_size(core)
    assert status == 2 or answer["coverage"]["truncated"] == (status == 1) == (not whole)
    assert status == {4096: 2, 1 << 40: 0}.get(limit, status)


def waiting(program, directory):
    """stops.c under the tracer, waiting for a line."""
    process = subprocess.Popen([str(word) for word in harness.traced([program, "wait"], "-o", "detail=1")], cwd=directory,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=harness.clean_environment(),
                               preexec_fn=harness.unlimit_core)
    assert process.stdout.readline() == "waiting\n"
    return process


def test_cores_of_three_writers(program, tmp_path):
    """gcore, GDB's generate-core-file and the kernel write the same process: the answers are the same, byte for byte."""
    if not harness.kernel_writes_core_here():
        pytest.skip("the kernel hands cores to a program (core_pattern)")
    process = waiting(program("stops.c"), tmp_path)
    try:
        harness.run_ok(["gcore", "-o", tmp_path / "gcore", str(process.pid)])
        harness.gdb([f"generate-core-file {tmp_path}/by-gdb"], "-p", str(process.pid), status=0)
        process.send_signal(signal.SIGQUIT)
        process.wait(timeout=harness.TIMEOUT)
    finally:
        process.kill()
        process.communicate()
    cores = [tmp_path / f"gcore.{process.pid}", tmp_path / "by-gdb", harness.find_core(tmp_path)]
    for command in ("traces", "top"):
        answers = {harness.coreanalyze(command, "--no-source", "--format", "json", core).stdout for core in cores}
        assert len(answers) == 1 and '"size": 4096' in answers.pop() if command == "traces" else len(answers) == 1
    for core in cores:
        info = harness.coreanalyze_json("info", core)
        assert info["pid"] == process.pid and len(info["threads"]) == 2 and info["in_flight"] == []
        core.unlink()


def rows(core, *options, status=0):
    """(filename, lineno, count) of the groups, and the messages."""
    result = harness.coreanalyze("top", "-n0", "--format", "json", *options, core, status=status)
    return {(item["traceback"][0]["filename"], item["traceback"][0]["lineno"]): item["count"]
            for item in harness.json.loads(result.stdout)["statistics"]}, result.stderr


@pytest.mark.parametrize("build_id", ["sha1", "none"])
def test_program_that_was_replaced(tmp_path, build_id):
    """Another program stands in its place: reported, and not used for names. With no build-ids, the size and place of its code tell."""
    flags = ("-O1", "-g", f"-Wl,--build-id={build_id}")
    program = harness.compile_program(harness.PROGRAMS / "stops.c", tmp_path / "program", *flags)
    _, core = harness.crash(harness.traced([program, "crash"]), tmp_path / "run")
    before, messages = rows(core)
    source = str(harness.PROGRAMS / "stops.c")
    assert {count for (name, _), count in before.items() if name == source} == {5} and messages == ""
    harness.compile_program(harness.PROGRAMS / "oracle.c", program, *flags, f"-I{harness.REPO}")
    after, messages = rows(core, status=1)
    assert not [name for name, _ in after if name.endswith(".c") and "/tests/programs/" in name], after
    assert str(program) in messages and len(messages.splitlines()) == 1
    assert [count for (name, _), count in after.items() if name.startswith(f"{program}(+0x")] == [5]
    core.unlink()


def test_moved_to_another_machine(tmp_path):
    """The program's files are elsewhere: without them addresses and exit code 1, with --sysroot the answer of before."""
    program = harness.compile_program(harness.PROGRAMS / "stops.c", tmp_path / "program", "-O1", "-g")
    _, core = harness.crash(harness.traced([program, "crash"]), tmp_path / "run")
    there = harness.coreanalyze("top", "-n0", "--format", "json", core).stdout
    root = tmp_path / "root"
    for path in {program, *(module["path"] for module in harness.coreanalyze_json("info", core)["modules"])}:
        copy = root / str(path).lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    program.unlink()
    moved, messages = rows(core, status=1)
    assert [name for name, _ in moved if name.startswith(f"{program}(+0x")] and f"{program}: not found" in messages
    away = harness.coreanalyze("top", "-n0", "--format", "json", "--sysroot", root, core, status=None)
    ours = [[item for item in harness.json.loads(text)["statistics"] if "/tests/programs/" in item["traceback"][0]["filename"]]
            for text in (there, away.stdout)]
    assert ours[0] == ours[1] != []
    core.unlink()
