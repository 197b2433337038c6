"""Leaks of programs of Debian's that know nothing of it, at their exit, against LeakSanitizer preloaded."""

import functools
import pathlib
import re
import shutil

import harness
import pytest

CHECKPOINT = harness.PROGRAMS / "leaks" / "checkpoint.c"
PROGRAMS = {
    "compiler driver": ["gcc", "--version"],
    "preprocessor": ["cpp", "--version"],
    "sort": ["sort", "/etc/passwd"],
    "tar": ["tar", "cf", "/dev/null", "/etc/hostname"],
    "ls": ["ls", "-l", "/usr"],
    "make": ["make", "--version"],
    "jq": ["jq", "-n", "[range(1000)] | map({a: tostring}) | length"],
    "git": ["git", "--version"],
    "xz": ["xz", "--version"],
}


@functools.lru_cache(maxsize=None)
def leak_sanitizer():
    """Path of the library; None if there is none to be preloaded."""
    path = harness.run(["gcc", "-print-file-name=liblsan.so"]).stdout.strip() if harness.have("gcc") else ""
    return path if path.startswith("/") else None


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return harness.compile_program(CHECKPOINT, tmp_path_factory.mktemp("checkpoint") / "checkpoint.so", "-shared", "-fPIC")


@pytest.mark.parametrize("name", PROGRAMS)
def test_equal_to_leak_sanitizer(name, checkpoint, tmp_path):
    if not leak_sanitizer():
        pytest.skip("gcc brings no liblsan.so")
    program = shutil.which(PROGRAMS[name][0], path="/usr/bin:/bin")
    if program is None:
        pytest.skip(f"{PROGRAMS[name][0]} is not installed")
    command = [program, *PROGRAMS[name][1:]]
    log = tmp_path / "log"
    environment = harness.clean_environment(LD_PRELOAD=f"{leak_sanitizer()} {checkpoint}", LSAN_OPTIONS=f"exitcode=0:log_path={log}")
    if harness.run(command, env=environment).returncode != 0:
        pytest.skip("LeakSanitizer does not run in it")
    report = "".join(path.read_text() for path in tmp_path.glob("log.*"))
    if "fatal error" in report:
        pytest.skip("LeakSanitizer does not run here")
    counts = {"Direct": [0, 0], "Indirect": [0, 0]}
    for kind, size, count in re.findall(r"^(Direct|Indirect) leak of (\d+) byte\(s\) in (\d+) object", report, re.MULTILINE):
        counts[kind][0] += int(count)
        counts[kind][1] += int(size)
    _, core = harness.crash(harness.traced(command), tmp_path / "run", env=harness.clean_environment(LD_PRELOAD=checkpoint))
    total = harness.coreanalyze_json("leaks", "--roots", "lsan", core, status=None)["total"]
    assert {kind: [total[kind.lower()]["count"], total[kind.lower()]["size"]] for kind in counts} == counts
    assert pathlib.Path(core).exists()
