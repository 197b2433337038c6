"""The engine's statistics, filters, differences, patterns, source lines and texts against CPython's own, on random input.

TM_SOAK=N makes N requests of each kind instead of the usual number, from another seed each time; TM_SEED=S repeats a run."""

import os
import pathlib
import random
import re
import subprocess
import sys

import harness
import pytest

ORACLE = pathlib.Path(__file__).with_name("tracemalloc_oracle.py")
REQUESTS = {"statistics": 60_000, "texts": 60_000, "patterns": 60_000, "sources": 30_000}
SOAK = int(os.environ.get("TM_SOAK", 0))
SEED = int(os.environ.get("TM_SEED", random.SystemRandom().getrandbits(32) if SOAK else 20260101))


def sanitizer_environment():
    """What a Python needs to load an engine that was built with AddressSanitizer: its runtime must come first. Python's own
    leaks are not ours."""
    if b"libasan.so" not in harness.LIBCOREANALYZE.read_bytes():
        return {}
    runtime = harness.run_ok([harness.CC, "-print-file-name=libasan.so"]).stdout.strip()
    return {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0:exitcode=99"}


@pytest.mark.parametrize("part", sorted(REQUESTS))
def test_as_cpython(part):
    wanted = SOAK or REQUESTS[part]
    command = [sys.executable, "-B", str(ORACLE), str(harness.LIBCOREANALYZE), part, str(SEED), str(wanted)]
    result = subprocess.run(command, env=harness.clean_environment(**sanitizer_environment()), text=True, errors="replace",
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=None if SOAK else harness.TIMEOUT,
                            check=False)
    print(f"TM_SEED={SEED}: {result.stdout}")
    assert result.returncode == 0, f"repeat with TM_SEED={SEED}\n{result.stdout}"
    made = re.fullmatch(r"(\d+) requests\n", result.stdout)
    assert made and int(made[1]) >= wanted
