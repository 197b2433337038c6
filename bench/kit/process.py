"""Running one program and saying what it used. Programs never outlive the benchmark."""

import ctypes
import dataclasses
import hashlib
import os
import resource
import select
import signal
import subprocess
import tempfile
import time

PR_SET_PDEATHSIG = 1
# What would change a run if the user had it set.
OURS = ("LD_PRELOAD", "TRACEMALLOC", "MALLOC_CONF", "HEAPPROFILE", "DUMP_HEAPTRACK_OUTPUT", "PYTHONMALLOC", "PYTHONTRACEMALLOC",
        "BENCH_CALLS", "BENCH_TABLES", "BENCH_FRAMES")


class Failure(Exception):
    """A program did not do what it should; the text says which one and how."""


class TimeLimit(Failure):
    """A program took longer than it may."""


@dataclasses.dataclass
class Sample:
    """One run: seconds of cpu time (user and system, with all children that ended), of wall time, and a digest of the output."""

    cpu: float
    wall: float
    output: bytes = b""
    digest: str = ""


_prctl = ctypes.CDLL(None, use_errno=True).prctl


def prepare(dumps_core):
    """For preexec_fn: the program dies with the benchmark, and leaves a core only where one is wanted."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    soft = resource.getrlimit(resource.RLIMIT_CORE)[1] if dumps_core else 0
    resource.setrlimit(resource.RLIMIT_CORE, (soft, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def environment(changes):
    """The user's environment without what influences allocators and tracers, with `changes` made."""
    clean = {name: value for name, value in os.environ.items() if name not in OURS}
    return {**clean, "LC_ALL": "C", **changes}


def start(arguments, changes, dumps_core=False, **options):
    """Popen in a process group of its own, which ends with the benchmark."""
    return subprocess.Popen([str(argument) for argument in arguments], env=environment(changes), start_new_session=True,
                            preexec_fn=lambda: prepare(dumps_core), **options)


def end(process):
    """Kills a process that was not waited for, with its group."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)


def wait(process, limit):
    """(exit code, cpu seconds) of a started process; after `limit` seconds it is killed."""
    watch = os.pidfd_open(process.pid)
    try:
        ready = select.select([watch], [], [], limit)[0]
    finally:
        os.close(watch)
    if not ready:
        end(process)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if not ready:
        raise TimeLimit(f"{process.args[0]} was ended after {limit:.0f} seconds")
    return process.returncode, usage.ru_utime + usage.ru_stime


def run(arguments, changes=None, stdin=None, limit=120, status=0, **options):
    """A Sample of one run. `stdin` is a path. Fails when the exit code is not `status` or the loader could not preload."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, open(stdin or os.devnull, "rb") as source:
        begin = time.perf_counter()
        process = start(arguments, changes or {}, stdin=source, stdout=output, stderr=errors, **options)
        code, cpu = wait(process, limit)
        wall = time.perf_counter() - begin
        text, complaint = (read_back(stream) for stream in (output, errors))
    if code != status or b"cannot be preloaded" in complaint:
        raise Failure(f"{' '.join(str(argument) for argument in arguments)} ended with {code}"
                      f" under {changes or 'nothing'}: {complaint[-400:].decode(errors='replace').strip()}")
    return Sample(cpu, wall, text, hashlib.sha256(text).hexdigest())


def read_back(stream):
    stream.seek(0)
    return stream.read()
