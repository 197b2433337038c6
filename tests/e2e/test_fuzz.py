"""The engine on hostile bytes: what fuzzers found before, and a short hunt for more (make fuzz is the long one).

TM_FUZZ_SECONDS: for each target, 15 by default."""

import os
import sys

import harness
import pytest

TARGETS = ("table", "core", "snapshot")


def have_fuzzer(directory):
    """Whether clang comes with libFuzzer and its sanitizers."""
    source = directory / "empty.c"
    source.write_text("int LLVMFuzzerTestOneInput(const unsigned char *b, unsigned long n) { (void)b; (void)n; return 0; }\n")
    return harness.have("clang") and \
        harness.run(["clang", "-fsanitize=fuzzer,address,undefined", "-o", directory / "empty", source]).returncode == 0


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """The folder of the compiled targets."""
    if not have_fuzzer(tmp_path_factory.mktemp("fuzzer")):
        pytest.skip("clang has no libFuzzer (package libclang-rt-14-dev)")
    environment = harness.clean_environment(MAKEFLAGS=None, MAKELEVEL=None, MFLAGS=None)
    harness.run_ok(["make", "-C", harness.REPO, "--no-print-directory", "-j2", f"BUILD={harness.BUILD}", "fuzz-targets"],
                   env=environment)
    return harness.BUILD / "fuzz" / "tests" / "fuzz"


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(targets, name, tmp_path):
    seconds = os.environ.get("TM_FUZZ_SECONDS", "15")
    result = harness.run([sys.executable, harness.REPO / "tests" / "fuzz" / "run", "--seconds", seconds, "--keep", tmp_path,
                          targets, name], timeout=int(seconds) + harness.TIMEOUT)
    assert result.returncode == 0, result.stdout + result.stderr
