"""Targets as people have them: cores that systemd compressed, cores that come by a pipe, processes that run, and crashes whose core
the kernel pipes to coreanalyze itself."""

import contextlib
import gzip
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time

import harness
import pytest

BLOCKS = 5000
SOURCE = harness.PROGRAMS / "sources.c"
LINE = next(number for number, line in enumerate(SOURCE.read_text().splitlines(), 1) if "/* HERE */" in line)
CLANG = "clang" in harness.CC
SANITIZED = "-fsanitize" in (harness.BUILD / "obj" / "flags").read_text()


@pytest.fixture(scope="session")
def binary(program):
    return program("sources.c")


@pytest.fixture(scope="session")
def core(binary, tmp_path_factory):
    return harness.crash(harness.traced([binary, BLOCKS]), tmp_path_factory.mktemp("core"), input="end\n")[1]


# ------------------------------------------------------------------------------------------------------ compressed, piped

COMPRESSORS = {"zst": ["zstd", "-q", "-c"], "lz4": ["lz4", "-q", "-c"], "xz": ["xz", "-0", "-c"], "gz": ["gzip", "-1", "-c"]}


@pytest.fixture(scope="session")
def compressed(core, tmp_path_factory):
    """compressed("zst"): the core as that program writes it, under a name that says nothing."""
    directory = tmp_path_factory.mktemp("compressed")

    def compress(kind):
        if not harness.have(COMPRESSORS[kind][0]):
            pytest.skip(f"needs {COMPRESSORS[kind][0]}")
        path = directory / f"file-{ord(kind[0])}"
        if not path.exists():
            path.write_bytes(harness.run_ok([*COMPRESSORS[kind], core], binary=True).stdout)
            assert path.stat().st_size < core.stat().st_size
        return path

    return compress


def answer(*arguments, **options):
    return harness.coreanalyze("traces", "--format", "json", *arguments, **options).stdout


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_compressed(core, compressed, kind):
    """Told by its content; the answer is that of the core itself, also where it comes by a pipe."""
    whole = answer(core)
    assert len(json.loads(whole)["traces"]) > BLOCKS
    assert answer(compressed(kind)) == whole
    with open(compressed(kind), "rb") as file:
        assert answer("-", stdin=file) == whole
    with subprocess.Popen(["cat", compressed(kind)], stdout=subprocess.PIPE) as pipe:  # coredumpctl dump | coreanalyze -
        assert answer("-", stdin=pipe.stdout) == whole


def test_plain_core_on_standard_input(core, tmp_path):
    whole = answer(core)
    with open(core, "rb") as file:
        assert answer("-", stdin=file) == whole
    with subprocess.Popen(["cat", core], stdout=subprocess.PIPE) as pipe:
        assert answer("-", stdin=pipe.stdout) == whole
    os.mkfifo(tmp_path / "fifo")
    writer = threading.Thread(target=lambda: shutil.copyfileobj(open(core, "rb"), open(tmp_path / "fifo", "wb")))
    with open(tmp_path / "fifo", "rb+", buffering=0):  # so that the reader finds a writer
        writer.start()
        got = subprocess.Popen([harness.COREANALYZE, "traces", "--format", "json", tmp_path / "fifo"], stdout=subprocess.PIPE,
                               text=True, errors="surrogateescape", env=harness.clean_environment())
        writer.join()
    assert got.communicate(timeout=harness.TIMEOUT)[0] == whole


def test_report_of_a_stream(core):
    """The first command, with the file's name alone different."""
    with open(core, "rb") as file:
        assert harness.coreanalyze("-", stdin=file).stdout == harness.coreanalyze(core).stdout


@pytest.mark.parametrize("kind", ["plain", *COMPRESSORS])
def test_cut_streams(core, compressed, kind, tmp_path):
    """A stream that ends early: exit 1 and what there is; tables that came whole are answered whole."""
    contents = core.read_bytes() if kind == "plain" else compressed(kind).read_bytes()
    whole = json.loads(answer(core))
    for tenths in (9, 5):
        cut = tmp_path / "cut"
        cut.write_bytes(contents[:len(contents) * tenths // 10])
        with open(cut, "rb") as file:
            result = harness.coreanalyze("traces", "--format", "json", "-", stdin=file, status=None)
        if result.returncode == 2:  # so much is lost that there are no tables
            assert kind != "plain" and "truncated" in result.stderr
            continue
        got = json.loads(result.stdout)
        assert result.returncode == 1 and got["coverage"]["truncated"]
        sizes = [trace["size"] for trace in got["traces"]]
        assert len(sizes) <= len(whole["traces"]) and set(sizes) <= {trace["size"] for trace in whole["traces"]}
        if got["coverage"]["missing_bytes"] == 0:
            assert got["traces"] == whole["traces"]


def test_not_kept_behind(core, tmp_path):
    """The copy of a stream has no name in TMPDIR, and takes no room for zeros."""
    with open(core, "rb") as file, subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) as pipe:
        harness.coreanalyze("top", "-", stdin=pipe.stdout, env=harness.clean_environment(TMPDIR=tmp_path))
    assert list(tmp_path.iterdir()) == []


def small_file_system(directory, size):
    """The words before a command that is to find a tmpfs of this size at `directory`; it ends with the command."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
            f'mount -t tmpfs -o size={size} tmpfs "{directory}"; exec "$@"', "sh"]


def may_mount():
    return harness.have("unshare") and harness.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).returncode == 0


def test_full_file_system(core, tmp_path):
    """The error names the directory, its file system and the way out; zeros need no room there."""
    if not may_mount():
        pytest.skip("may not mount a small file system")
    (tmp_path / "small" / "below").mkdir(parents=True)
    words = small_file_system(tmp_path / "small", "64k")
    with open(core, "rb") as file:
        result = harness.run([*words, "sh", "-c", f'mkdir "{tmp_path}/small/below"; cat | TMPDIR="{tmp_path}/small/below" "$0" top -',
                              harness.COREANALYZE], stdin=file)
    assert result.returncode == 2 and result.stdout == ""
    assert re.fullmatch(rf"coreanalyze: -: cannot be kept in {tmp_path}/small/below, on the file system mounted at {tmp_path}/small: "
                        r"No space left on device after \d+ bytes; set TMPDIR to .*\n", result.stderr)
    # an ELF header, and 64 MiB of nothing
    result = harness.run([*words, "sh", "-c", f'TMPDIR="{tmp_path}/small" "$0" top -', harness.COREANALYZE],
                         input=core.read_bytes()[:64] + bytes(64 << 20), binary=True)
    assert result.returncode == 2 and b"no tm tracer found" in result.stderr


def test_snapshot_file_on_standard_input(core, tmp_path):
    saved = tmp_path / "saved.pb.gz"
    harness.coreanalyze("save", core, saved)
    for contents in (saved.read_bytes(), gzip.decompress(saved.read_bytes())):
        result = harness.run([harness.COREANALYZE, "top", "-"], input=contents, binary=True)
        assert (result.returncode, result.stdout) == (0, harness.coreanalyze("top", saved).stdout.encode())
    harness.coreanalyze("diff", saved, "-", stdin=open(core, "rb"))


@pytest.mark.parametrize("contents, words", [
    (b"", "nothing comes from it"),
    (b"hello", "is no core file: ELF magic"),
    (b"\x28\xb5\x2f\xfd", "is no whole zstd file"),
    (b"\xfd7zXZ\0garbage", "is no whole xz file"),
    (b"\x04\x22\x4d\x18garbage", "is no whole lz4 file|is no core file"),
], ids=["empty", "text", "zstd", "xz", "lz4"])
def test_no_core_on_standard_input(contents, words):
    result = harness.run([harness.COREANALYZE, "-"], input=contents, binary=True)
    assert (result.returncode, result.stdout) == (2, b"")
    assert re.search(words, result.stderr.decode()) and result.stderr.count(b"\n") == 1


# ------------------------------------------------------------------------------------------------------ processes

class Process:
    """The program, running under the tracer, with its answers."""

    def __init__(self, binary, *arguments, **options):
        self.process = subprocess.Popen([str(word) for word in harness.traced([binary, *arguments])], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=harness.clean_environment(),
                                        preexec_fn=lambda: os.nice(10), **options)
        self.pid = self.process.pid
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return [int(number) for number in self.process.stdout.readline().split()]

    def threads(self):
        return {int(path.name): path for path in pathlib.Path(f"/proc/{self.pid}/task").iterdir()}

    def assert_untouched(self):
        """It runs, and nobody traces it."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        assert re.search(r"^TracerPid:\t0$", status, re.MULTILINE)
        assert re.search(r"^State:\t[RSD] ", status, re.MULTILINE), status
        before = self.ask("counts")
        while any(now == then for now, then in zip(self.ask("counts"), before)):
            assert self.process.poll() is None


@pytest.fixture
def process(binary):
    """process(BLOCKS, THREADS): ended with the test."""
    with contextlib.ExitStack() as stack:
        def start(*arguments, **options):
            started = Process(binary, *arguments, **options)
            stack.callback(started.process.communicate)
            stack.callback(started.process.kill)
            return started
        yield start


def test_readers_of_a_process_agree(process, tmp_path):
    """--pid, GDB attached to it, its core and tm.open(pid) say the same, byte for byte."""
    target = process(BLOCKS, 0)
    target.ask("counts")  # so that stdin has its buffer
    commands = [["report"], ["top"], ["top", "--by", "traceback", "--format", "json"], ["traces", "--format", "csv"], ["info"]]
    live = [harness.coreanalyze(*command, "--pid", target.pid).stdout for command in commands]
    assert f"{SOURCE}:{LINE}: size={BLOCKS * 100 / 1024:.0f} KiB, count={BLOCKS}, average=100 B" in live[1]
    assert f"process {target.pid}" in live[0]
    gdb = harness.run(["gdb", "-q", "-nx", "-batch", "-p", target.pid, "-ex", f"generate-core-file {tmp_path}/core", "-ex",
                       f"source {harness.TM_GDB}", "-ex", f"pipe tm-top | cat >{tmp_path}/top"])
    assert (tmp_path / "core").exists(), gdb.stderr
    for command, text in zip(commands, live):
        assert harness.coreanalyze(*command, tmp_path / "core").stdout == text, command
    if not SANITIZED:
        assert (tmp_path / "top").read_text() == live[1]
    harness.coreanalyze("save", "--pid", target.pid, tmp_path / "saved.pb.gz")
    assert harness.coreanalyze("top", tmp_path / "saved.pb.gz").stdout == live[1]
    assert "Total allocated size" in harness.coreanalyze("diff", "--fail-over", "0", tmp_path / "core", "--pid", target.pid).stdout
    target.assert_untouched()


def test_memory_of_a_process_is_of_one_moment(program):
    """Pointers that are moved about all the time: each block is held at each moment, whenever that is."""
    with contextlib.ExitStack() as stack:
        target = Process(program("moving.c"))
        stack.callback(target.process.communicate)
        stack.callback(target.process.kill)
        for _ in range(3):
            answer = harness.coreanalyze_json("leaks", "--pid", target.pid)
            assert answer["leaks"] == [] and answer["missing_bytes"] == 0, answer["total"]
        block, = harness.coreanalyze_json("blocks", "--min-size", "4321", "--max-size", "4321", "--pid", target.pid)["blocks"]
        for _ in range(5):
            references = harness.coreanalyze_json("refs", "--pid", target.pid, block["address"])["references"]
            assert {word["symbol"] for word in references if word["kind"] == "data"} == {"arrays"}, references
            found = harness.coreanalyze_json("block", "--pid", target.pid, block["address"])
            assert (found["state"], found["size"]) == ("live", 4321)
        assert re.search(r"^TracerPid:\t0$", pathlib.Path(f"/proc/{target.pid}/status").read_text(), re.MULTILINE)


@pytest.mark.skipif(SANITIZED, reason="Python would have to run under the sanitizer")
def test_python_opens_a_process(process):
    """Each function looks at the process as it is then; it is never changed."""
    target = process(BLOCKS, 2)
    script = textwrap.dedent("""
        import os, sys, tm
        with tm.open(int(sys.argv[1])):
            snapshot = tm.take_snapshot()
            first = snapshot.statistics("lineno")[0]
            print(first.size, first.count, first.traceback[0].lineno, tm.is_tracing(), tm.get_traceback_limit())
            for change in (lambda: tm.start(3) or tm.stop(), tm.stop, tm.clear_traces):
                try:
                    change()
                    print("changed")
                except tm.EngineError as error:
                    print(error)
            os.kill(int(sys.argv[1]), 9)
            sys.stdin.readline()
            print(tm.is_tracing(), len(snapshot.traces) > 5000)
        for wrong in (0, 1 << 40):
            try:
                tm.open(wrong)
            except ValueError as error:
                print(error)
        """)
    python = subprocess.Popen(["/usr/bin/python3", "-c", script, str(target.pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True, env=harness.clean_environment(PYTHONPATH=harness.BUILD / "share/tm/python"))
    target.process.wait(harness.TIMEOUT)
    lines = python.communicate("gone\n", timeout=harness.TIMEOUT)[0].splitlines()
    assert lines == [f"{BLOCKS * 100} {BLOCKS} {LINE} True 25", *["this process cannot be changed"] * 3, "False True",
                     "a process id expected, found 0", f"a process id expected, found {1 << 40}"]


def test_busy_process(process):
    """Threads that allocate at any moment, and signals a thousand times a second: what is read is of one moment each time, no
    signal is lost and nothing is left behind."""
    target = process(BLOCKS, 3)
    sent = 0
    while min(target.ask("counts")) < 256:
        pass
    for _ in range(8):
        for _ in range(3):
            os.kill(target.pid, signal.SIGUSR1)
            sent += 1
            while target.ask("signals")[0] < sent:
                pass
        traces = harness.coreanalyze_json("traces", "--pid", target.pid, status=None)
        sizes = [trace["size"] for trace in traces["traces"]]
        assert sizes.count(100) == BLOCKS and traces["coverage"]["rejected"] == 0
        assert {sizes.count(200 + thread) for thread in range(3)} <= {256, 257}
        assert traces["coverage"]["in_flight"] <= 4
    assert target.ask("signals")[0] == sent
    target.assert_untouched()


def test_signal_while_it_stands(process):
    """A signal that comes at that moment is delivered afterwards, once."""
    target = process(BLOCKS, 1)
    stop = threading.Event()
    asked = threading.Thread(target=lambda: [harness.coreanalyze("top", "--pid", target.pid) for _ in range(5)] and stop.set())
    asked.start()
    sent = 0
    while not stop.is_set():
        os.kill(target.pid, signal.SIGUSR1)
        sent += 1
        while target.ask("signals")[0] < sent:
            pass
    asked.join()
    assert target.ask("signals")[0] == sent > 10


def test_stopped_process_stays_stopped(process):
    target = process(BLOCKS, 0)
    os.kill(target.pid, signal.SIGSTOP)
    assert os.waitid(os.P_PID, target.pid, os.WSTOPPED | os.WNOWAIT).si_status == signal.SIGSTOP
    assert f"count={BLOCKS}" in harness.coreanalyze("top", "--pid", target.pid).stdout
    assert pathlib.Path(f"/proc/{target.pid}/stat").read_text().rsplit(")")[1].split()[0] == "T"
    os.kill(target.pid, signal.SIGCONT)
    target.assert_untouched()


def test_resumed_when_coreanalyze_is_killed(process):
    """Killed at any moment, at many: the process runs on."""
    target = process(BLOCKS, 2)
    stood = 0
    for attempt in range(24):
        reader = subprocess.Popen([harness.COREANALYZE, "traces", "--format", "csv", "--pid", str(target.pid)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=harness.clean_environment())
        held = False
        while reader.poll() is None and not held:
            held = "TracerPid:\t0\n" not in pathlib.Path(f"/proc/{target.pid}/status").read_text() or attempt % 4 == 3
        reader.kill()
        reader.wait()
        stood += held and attempt % 4 != 3
    assert stood > 2, "it was never seen to stand"
    target.assert_untouched()


def test_standing_time(process):
    """Short: it does not wait for names to be found or answers to be written. Its budget is measured in bench/reading."""
    target = process(20000, 1)
    times = []
    for _ in range(6):
        target.ask("stand")
        begin = time.monotonic_ns()
        harness.coreanalyze("traces", "--format", "csv", "--pid", target.pid, status=None)
        times.append((target.ask("stand")[0], time.monotonic_ns() - begin))
    stood, took = min(times)
    assert stood * 3 < took, times


def copy_for_others(directory):
    """coreanalyze where every user may run it."""
    directory.chmod(0o755)
    for parent in directory.parents:
        if parent != pathlib.Path("/tmp") and pathlib.Path("/tmp") in parent.parents:
            parent.chmod(parent.stat().st_mode | 0o055)
    for name in ("bin/coreanalyze", "lib/libcoreanalyze.so"):
        (directory / name).parent.mkdir(exist_ok=True)
        shutil.copy(harness.BUILD / name, directory / name)
        (directory / name).parent.chmod(0o755)
        (directory / name).chmod(0o755)
    return directory / "bin" / "coreanalyze"


def test_processes_that_may_not_be_read(process, tmp_path):
    """One line each: which process, why, and what would help."""
    none = 1 << 22  # above the largest that Linux gives
    assert "there is no such process" in harness.coreanalyze("top", "--pid", none, status=2).stderr
    for wrong in ("0", "x", "-5", "99999999999"):
        assert "process id" in harness.coreanalyze("top", f"--pid={wrong}", status=64).stderr
    assert "no tm tracer found in it; run the program with: tm-run" in harness.coreanalyze("top", "--pid", os.getpid(), status=2).stderr
    if os.geteuid() != 0 or not harness.have("setpriv"):
        pytest.skip("only root can try what others may not do")
    target = process(10, 0)
    others = [*"setpriv --reuid=65534 --regid=65534 --clear-groups".split(), copy_for_others(tmp_path)]
    result = harness.run([*others, "top", "--pid", target.pid])
    assert result.returncode == 2
    assert result.stderr == f"coreanalyze: process {target.pid}: belongs to user 0: permission denied; try with sudo\n"
    # one's own, but undumpable, as set-user-ID programs are
    script = ("import ctypes, os, subprocess, sys; ctypes.CDLL(None).prctl(4, 0); "
              "sys.exit(subprocess.run(sys.argv[1:] + [str(os.getpid())]).returncode)")
    result = harness.run([*others[:-1], "/usr/bin/python3", "-c", script, others[-1], "top", "--pid"])
    assert result.returncode == 2 and "although it is yours" in result.stderr and "CAP" not in result.stdout.upper()


def test_process_of_a_debugger(process):
    """One that a debugger has stopped is read as it stands, one that runs under it is not."""
    target = process(BLOCKS, 0)
    with subprocess.Popen(["gdb", "-q", "-nx", "-p", str(target.pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as gdb:
        gdb.stdin.write("echo standing\\n\n")
        gdb.stdin.flush()
        while "standing" not in gdb.stdout.readline():
            pass
        assert f"count={BLOCKS}" in harness.coreanalyze("top", "--pid", target.pid).stdout
        gdb.stdin.write("continue&\necho running\\n\n")
        gdb.stdin.flush()
        while "running" not in gdb.stdout.readline():
            pass
        result = harness.coreanalyze("top", "--pid", target.pid, status=None)
        if result.returncode:
            assert re.search(rf"is traced by process {gdb.pid} \(gdb\); stop it there", result.stderr)
        gdb.stdin.write("kill\nquit\n")
        gdb.stdin.close()
        gdb.stdout.read()


def test_pid_and_gdb(process):
    """In GDB the process is GDB's."""
    if SANITIZED:
        pytest.skip("GDB would have to run under the sanitizer")
    output = harness.gdb([f"tm-top --pid {os.getpid()}", "help tm-top", "complete tm-top --p"]).stdout
    assert "--pid" not in output.replace(f"tm-top --pid {os.getpid()}", "")


# ------------------------------------------------------------------------------------------------------ the kernel's pipe

def kernel_pipe(*arguments, **options):
    return harness.run([harness.COREANALYZE, "--kernel-pipe", *arguments], stdin=subprocess.DEVNULL, **options)


def wait_for(directory, pattern="*.pb.gz"):
    """The files, once they are there: they come when the crash is over."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = sorted(directory.glob(pattern))
        if found and not list(directory.glob(".coreanalyze.*")):
            return found
        time.sleep(0.02)  # no event tells of it
    raise AssertionError(f"no {pattern} in {directory}: {list(directory.iterdir())}")


def test_pipe_by_hand(process, tmp_path):
    """On a process that runs: what it writes, where, and for whom."""
    target = process(BLOCKS, 0)
    assert kernel_pipe(target.pid, "-o", tmp_path).returncode == 0
    (snapshot,) = wait_for(tmp_path)
    assert snapshot.name == f"sources.{target.pid}.pb.gz" and snapshot.stat().st_mode & 0o7777 == 0o600
    assert harness.coreanalyze("top", snapshot).stdout == harness.coreanalyze("top", "--pid", target.pid).stdout
    assert kernel_pipe(target.pid, "--output", tmp_path / "a name").returncode == 0
    assert wait_for(tmp_path, "a name") == [tmp_path / "a name"]
    target.assert_untouched()


def test_pipe_replaces_nothing(process, tmp_path):
    """A link or a file that somebody has put there is left alone."""
    target = process(10, 0)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    snapshots = tmp_path / "snapshots"
    snapshots.mkdir()
    (snapshots / "x.pb.gz").symlink_to(victim)
    kernel_pipe(target.pid, "-o", snapshots / "x.pb.gz")
    wait_for(snapshots, "x.1.pb.gz")
    kernel_pipe(target.pid, "-o", snapshots / "x.pb.gz")
    wait_for(snapshots, "x.2.pb.gz")
    assert victim.read_text() == "precious" and (snapshots / "x.pb.gz").is_symlink()
    assert len(list(snapshots.iterdir())) == 3


def test_pipe_runs_the_next_handler(process, tmp_path):
    """It gets standard input untouched, whatever became of the snapshot."""
    target = process(10, 0)
    for pid, expected in ((target.pid, 1), (1 << 22, 0), (os.getpid(), 0)):
        snapshots = tmp_path / str(pid)
        snapshots.mkdir()
        result = harness.run([harness.COREANALYZE, "--kernel-pipe", pid, "-o", snapshots, "--", "/bin/sh", "-c",
                              'echo "$0 $1"; cat; exit 7', "one", "two words"], input="the core")
        assert (result.returncode, result.stdout) == (7, "one two words\nthe core")
        if expected:
            wait_for(snapshots)
    deadline = time.monotonic() + 30
    while list((tmp_path / str(os.getpid())).iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not list((tmp_path / str(os.getpid())).iterdir()), "an untraced program leaves nothing"


@pytest.mark.parametrize("arguments, words", [
    ([], "a process id expected: %P"), (["x"], "a process id expected"), (["1", "--wrong"], "found --wrong"),
    ([str(os.getpid()), "-o", "relative"], "an absolute path"), ([str(os.getpid()), "-o", "/nowhere/at/all"], "/nowhere/at"),
], ids=["none", "text", "option", "relative", "missing"])
def test_pipe_usage(arguments, words):
    result = kernel_pipe(*arguments)
    assert words in result.stderr and result.stdout == "" and result.stderr.count("\n") <= 2


KERNEL = pathlib.Path("/proc/sys/kernel")

# Everybody else's core goes where the pattern "core" puts it.
HANDLER = """#!/bin/sh
case $(readlink "/proc/$1/exe") in
{program}) exec {coreanalyze} --kernel-pipe "$1" -o {snapshots}/%p{marker} {more} ;;
esac
[ "$2" = 0 ] && exit 0
core=/proc/$1/cwd/core
rm -f "$core"
(umask 077 && cat >"$core" && chown "$3:$4" "$core")
"""

RESTORE = """import pathlib, sys
sys.stdin.read()
for name, value in zip(("core_pattern", "core_pipe_limit"), sys.argv[1:]):
    pathlib.Path("/proc/sys/kernel", name).write_text(value)
"""


@contextlib.contextmanager
def core_pattern(pattern):
    """Set for this long, and restored by a process that outlives us."""
    before = [(KERNEL / name).read_text().rstrip("\n") for name in ("core_pattern", "core_pipe_limit")]
    guard = subprocess.Popen([sys.executable, "-c", RESTORE, *before], stdin=subprocess.PIPE, start_new_session=True)
    try:
        (KERNEL / "core_pipe_limit").write_text("16")  # the others' cores are to be whole when they have died
        (KERNEL / "core_pattern").write_text(pattern)
        yield
    finally:
        guard.stdin.close()
        guard.wait()
    assert [(KERNEL / name).read_text().rstrip("\n") for name in ("core_pattern", "core_pipe_limit")] == before


def test_the_kernels_own_pipe(binary, tmp_path):
    """The program dies of SIGABRT, as root and as another user, and leaves a snapshot file that only its user can read."""
    if not os.access(KERNEL / "core_pattern", os.W_OK):
        pytest.skip("core_pattern cannot be set here")
    if (KERNEL / "core_pattern").read_text() != "core\n":
        pytest.skip("core_pattern is in use")
    program = tmp_path / "crasher"
    shutil.copy(binary, program)
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if pathlib.Path("/tmp") in parent.parents:
            parent.chmod(parent.stat().st_mode | 0o055)
    snapshots, work, tools = (tmp_path / name for name in ("snapshots", "work", "tools"))
    for directory in (snapshots, work, tools):
        directory.mkdir()
    work.chmod(0o777)
    for name in ("tm-run", "coreanalyze"):
        (tools / "bin").mkdir(exist_ok=True)
        shutil.copy(harness.BUILD / "bin" / name, tools / "bin" / name)
    for name in ("libtm.so", "libcoreanalyze.so"):
        (tools / "lib").mkdir(exist_ok=True)
        shutil.copy(harness.BUILD / "lib" / name, tools / "lib" / name)
    handler = tmp_path / "handler"
    more = f"-- /bin/sh -c 'head -c 4 >{tmp_path}/magic'"
    handler.write_text(HANDLER.format(program=program, coreanalyze=tools / "bin" / "coreanalyze", snapshots=snapshots,
                                      marker="", more=more).replace("/%p", ""))
    handler.chmod(0o755)
    if len(f"|{handler} %P %c %u %g") > 127:
        pytest.skip("the path of the test is too long for core_pattern")
    users = [0, 65534] if harness.have("setpriv") else [0]
    with core_pattern(f"|{handler} %P %c %u %g"):
        for user in users:
            begin = time.monotonic()
            result = harness.run([*f"setpriv --reuid={user} --regid={user} --clear-groups".split() * (user > 0), tools / "bin" / "tm-run", "--",
                                  program, BLOCKS], input="end\n", cwd=work, preexec_fn=harness.unlimit_core)
            assert result.returncode == -signal.SIGABRT, result.stderr
            assert time.monotonic() - begin < 30
    found = wait_for(snapshots)
    while len(found) < len(users):
        found = wait_for(snapshots)
    assert sorted(path.stat().st_uid for path in found) == users
    assert (tmp_path / "magic").read_bytes() == b"\x7fELF", "the next handler gets the core from its start"
    for path in found:
        assert path.stat().st_mode & 0o7777 == 0o600 and path.stat().st_size < 100000
        assert re.fullmatch(r"crasher\.\d+\.pb\.gz", path.name)
        text = harness.coreanalyze("top", path).stdout
        assert f"{SOURCE}:{LINE}: size={BLOCKS * 100 / 1024:.0f} KiB, count={BLOCKS}, average=100 B" in text
        assert "every block traced" in text
    assert not list(work.glob("core*")), "no core of gigabytes"
