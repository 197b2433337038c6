"""What the end-to-end tests share: where things are, how to compile, run, crash and ask.

Environment: TM_BUILD (the build tree; default REPO/build), CC and CXX (default gcc and g++), TM_NO_GDB (why GDB with the
commands is not started: tests that need it are skipped).
"""

import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TM_BUILD") or REPO / "build").resolve()
CC = os.environ.get("CC") or "gcc"
CXX = os.environ.get("CXX") or "g++"

PROGRAMS = REPO / "tests" / "programs"
COREANALYZE = BUILD / "bin" / "coreanalyze"
TM_RUN = BUILD / "bin" / "tm-run"
LIBTM = BUILD / "lib" / "libtm.so"
LIBCOREANALYZE = BUILD / "lib" / "libcoreanalyze.so"
TM_GDB = BUILD / "share" / "tm" / "gdb" / "tm-gdb.py"

TIMEOUT = 240  # seconds, for one program


def clean_environment(**changes):
    """The environment without what would change the programs under test; a value of None takes a variable away."""
    environment = {key: value for key, value in os.environ.items()
                   if key not in ("LD_PRELOAD", "TRACEMALLOC", "DEBUGINFOD_URLS", "MALLOC_ARENA_MAX")}
    environment["LC_ALL"] = "C.UTF-8"
    for key, value in changes.items():
        if value is None:
            environment.pop(key, None)
        else:
            environment[key] = str(value)
    return environment


def run(arguments, **options):
    """subprocess.run with text output captured, a time limit and a clean environment."""
    if "TM_NO_GDB" in os.environ and any("tm-gdb.py" in str(argument) for argument in arguments):
        pytest.skip(os.environ["TM_NO_GDB"])
    options.setdefault("env", clean_environment())
    options.setdefault("timeout", TIMEOUT)
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    if options.pop("binary", False) is False:
        options.setdefault("text", True)
        options.setdefault("errors", "surrogateescape")
    return subprocess.run([str(argument) for argument in arguments], check=False, **options)


def run_ok(arguments, **options):
    """As run, and it must exit with 0."""
    result = run(arguments, **options)
    assert result.returncode == 0, f"{arguments} exits with {result.returncode}:\n{result.stdout}\n{result.stderr}"
    return result


def compile_program(sources, output, *flags, compiler=None):
    """Compiles and links; C++ when one of the sources is. Returns the output's path."""
    if isinstance(sources, (str, pathlib.Path)):
        sources = [sources]
    if compiler is None:
        compiler = CXX if any(str(source).endswith((".cpp", ".cc")) for source in sources) else CC
    run_ok([compiler, "-o", output, *flags, *sources, "-pthread"])
    return pathlib.Path(output)


def kernel_writes_core_here():
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    return "/" not in pattern and not pattern.startswith("|") and hard == resource.RLIM_INFINITY


def unlimit_core():
    """For preexec_fn. Signals that a shell has its background jobs ignore are none to be ignored by what is to die of them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def find_core(directory):
    """The one core file that the kernel left in `directory`, or None."""
    cores = sorted(path for path in pathlib.Path(directory).iterdir()
                   if path.name == "core" or path.name.startswith("core."))
    assert len(cores) <= 1, f"several core files: {cores}"
    return cores[0] if cores else None


def crash(arguments, directory, **options):
    """Runs a program that dies by a signal, in `directory` (made if need be), and returns (result, path of its core).

    The kernel writes the core where it can; where core_pattern sends cores elsewhere, GDB's generate-core-file does."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if kernel_writes_core_here():
        result = run(arguments, cwd=directory, preexec_fn=unlimit_core, **options)
        assert result.returncode < 0, f"{arguments} did not crash: {result.returncode}\n{result.stdout}\n{result.stderr}"
        core = find_core(directory)
        assert core is not None, f"{arguments} died by signal {-result.returncode} and left no core in {directory}"
        return result, core
    core = directory / "core"
    result = run(["gdb", "-q", "-nx", "-batch", "-ex", "set startup-with-shell off", "-ex", "handle SIGPIPE nostop",
                  "-ex", "run", "-ex", f"generate-core-file {core}", "--args", *arguments], cwd=directory, **options)
    assert core.exists(), f"no core of {arguments}:\n{result.stdout}\n{result.stderr}"
    return result, core


def traced(arguments, *tm_run_options):
    """The command line that runs `arguments` under the tracer."""
    return [TM_RUN, *tm_run_options, "--", *arguments]


def coreanalyze(*arguments, status=0, **options):
    """Runs coreanalyze; its exit code must be `status` (None = any)."""
    result = run([COREANALYZE, *arguments], **options)
    if status is not None:
        assert result.returncode == status, \
            f"coreanalyze {arguments} exits with {result.returncode}:\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
    return result


def coreanalyze_json(*arguments, status=0, **options):
    """The parsed answer of a coreanalyze command with --format json."""
    return json.loads(coreanalyze(*arguments, "--format", "json", status=status, **options).stdout)


def gdb(commands, *arguments, status=None, **options):
    """Runs GDB in batch mode with the tm commands loaded, then `commands`; returns the result."""
    command_line = ["gdb", "-q", "-nx", "-batch", "-ex", f"source {TM_GDB}"]
    for command in commands:
        command_line += ["-ex", command]
    result = run([*command_line, *arguments], **options)
    assert status is None or result.returncode == status, f"gdb {commands}: {result.stdout}\n{result.stderr}"
    return result


def have(command):
    """Whether a command is installed."""
    return shutil.which(command) is not None


def redis_server(directory):
    """redis-server as a link in `directory`: redis-tools brings its program under another name, and no system service with it."""
    server = pathlib.Path(directory) / "redis-server"
    server.symlink_to(shutil.which("redis-check-rdb"))
    return server
