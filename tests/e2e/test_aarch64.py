"""The tracer for aarch64: cross-compiled, run by qemu's user-mode emulator, its cores read here.

CC says whose cross compiler: gcc's, or clang with --target. TM_AARCH64=all runs the slow cases, too (minutes).
"""

import os
import pathlib
import re
import shutil

import harness
import pytest
from test_known_program import EXPECTED, SOURCES, lines_of_top

SYSROOT = pathlib.Path("/usr/aarch64-linux-gnu")
IS_CLANG = "clang" in pathlib.Path(harness.CC).name
TARGET = "--target=aarch64-linux-gnu"
CC = ["clang", TARGET] if IS_CLANG else ["aarch64-linux-gnu-gcc"]
CXX = ["clang++", TARGET] if IS_CLANG else ["aarch64-linux-gnu-g++"]
AR = "aarch64-linux-gnu-ar"
QEMU = "qemu-aarch64"
PACKAGES = {"aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu", "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
            QEMU: "qemu-user"}
SLOW = os.environ.get("TM_AARCH64") == "all"
SIGNED = "-mbranch-protection=standard"  # return addresses are signed; qemu's processor knows how
EVERY_INSTRUCTION = "-singlestep"  # of qemu: else signals come at the start of a block of instructions only

pytestmark = pytest.mark.skipif(not all(map(harness.have, PACKAGES)), reason="; ".join(
    f"{command} (Debian: {package}) is not installed" for command, package in PACKAGES.items() if not harness.have(command)))


def compile_for_aarch64(output, sources, *flags):
    """As harness.compile_program, for aarch64."""
    compiler = CXX if any(str(source).endswith(".cpp") for source in sources) else CC
    harness.run_ok([*compiler, "-o", output, *flags, *sources, "-pthread"])
    return output


def emulate(command, *qemu_options, preload=None, options=None, **more):
    """Runs a program of aarch64. TRACEMALLOC goes through the environment: qemu's -E takes a comma for an end."""
    preloads = ["-E", f"LD_PRELOAD={preload}"] if preload else []
    return harness.run([QEMU, "-L", SYSROOT, "-cpu", "max", *qemu_options, *preloads, *command],
                       env=harness.clean_environment(TRACEMALLOC=options), **more)


def emulate_ok(*arguments, **more):
    result = emulate(*arguments, **more)
    assert result.returncode == 0, f"{arguments}: {result.returncode}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    return result


def crash(command, directory, **more):
    """Runs a program that aborts; its core, written by qemu."""
    result = emulate(command, cwd=directory, preexec_fn=harness.unlimit_core, **more)
    assert result.returncode < 0 and "must" not in result.stderr, f"{command}: {result}"
    (core,) = directory.glob("qemu_*.core")
    (directory / "core").unlink(missing_ok=True)  # of qemu itself
    return core


@pytest.fixture(scope="session")
def tracer():
    """The library to preload."""
    build = harness.BUILD / "aarch64"
    result = harness.run(["make", "-C", harness.REPO, "--no-print-directory", f"BUILD={build}", f"CC={' '.join(CC)}", f"AR={AR}",
                          "CFLAGS=-Werror", "SANITIZER=", "tracer"],
                         env={key: value for key, value in harness.clean_environment().items() if not key.startswith("MAKE")})
    assert result.returncode == 0, result.stderr
    return build / "lib" / "libtm.so"


def test_needs_only_libc(tracer):
    described = harness.run_ok(["readelf", "-hdW", tracer]).stdout
    assert "Machine: " in described and "AArch64" in described
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", described)
    assert needed[0] == "libc.so.6" and set(needed[1:]) <= {"ld-linux-aarch64.so.1"}, needed


# ----------------------------------------------------------------------------------------------------------- walks

@pytest.fixture(scope="module")
def walkcheck(tmp_path_factory):
    """The library to preload that compares every walk with libgcc's unwinder (walkcheck.c)."""
    library = tmp_path_factory.mktemp("walkcheck") / "walkcheck.so"
    walker = [harness.REPO / "tracer" / "unwind.c", *sorted((harness.REPO / "tracer" / "walk").glob("*.c"))]
    return compile_for_aarch64(library, [harness.PROGRAMS / "walkcheck.c", *walker], "-std=gnu17", "-D_GNU_SOURCE",
                               f"-I{harness.REPO}", "-O2", "-g", "-fPIC", "-shared", "-fvisibility=hidden",
                               "-ftls-model=initial-exec")


def walks_compared(walkcheck, command, tmp_path, *qemu_options):
    """The totals of a run in which every walk is compared; no walk was different."""
    out = tmp_path / "totals"
    emulate_ok(command, "-E", f"WALKCHECK={out}", *qemu_options, preload=walkcheck)
    text = out.read_text()
    totals = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", text.splitlines()[-1])}
    print(totals)
    for name in ("different", "shorter", "longer", "missed", "broken", "guessed", "trail_different"):
        assert totals[name] == 0, f"{totals}\n{text[:6000]}"
    return totals


@pytest.mark.parametrize("flags", ["-O0", f"-O2 -fomit-frame-pointer {SIGNED}", "-Os -fno-omit-frame-pointer -no-pie",
                                   *(["-O2", "-O3 -Wl,-z,now -march=armv8.2-a+sve"] if SLOW else [])])
def test_every_kind_of_stack(walkcheck, tmp_path, flags):
    plugin = compile_for_aarch64(tmp_path / "plugin.so", [harness.PROGRAMS / "walks_plugin.c"], "-shared", "-fPIC",
                                 *flags.replace("-no-pie", "").split())
    walks = compile_for_aarch64(tmp_path / "walks", [harness.PROGRAMS / "walks.cpp"], "-w", "-DDEEP=150", *flags.split())
    totals = walks_compared(walkcheck, [walks, 5, plugin], tmp_path)
    assert totals["walks"] > 8000 and totals["trails"] > totals["walks"] * .9, totals


@pytest.mark.parametrize("flags", ["-O2"])
def test_realigned_frames(walkcheck, tmp_path, flags):
    realigned = compile_for_aarch64(tmp_path / "realigned", [harness.PROGRAMS / "realigned.c"], "-w", *flags.split())
    assert walks_compared(walkcheck, [realigned], tmp_path)["walks"] > 10000


@pytest.mark.parametrize("flags", ["-O2 -Wl,-z,lazy", *([f"-O0 -Wl,-z,lazy {SIGNED}"] if SLOW else [])])
def test_interrupted_anywhere(walkcheck, tmp_path, flags):
    """Signals at random instructions: leaves, prologues, epilogues, linkage stubs."""
    ticks = 400 if SLOW else 25
    walks = compile_for_aarch64(tmp_path / "walks", [harness.PROGRAMS / "walks.cpp"], "-w", "-DDEEP=10", f"-DTICKS={ticks}",
                                *flags.split())
    if IS_CLANG:
        # clang 14 says nothing of epilogues here, where libgcc's walk leads astray, at times into unmapped memory
        emulate_ok([walks, 2], "-E", "WALKCHECK_ALONE=1", EVERY_INSTRUCTION, preload=walkcheck)
        return
    totals = walks_compared(walkcheck, [walks, 2], tmp_path, EVERY_INSTRUCTION)
    assert totals["walks"] - totals["trails"] > 2 * ticks, totals


# ---------------------------------------------------------------------------------------------------------- tables

@pytest.mark.parametrize("threads, options", [(1, "25"), (8, "25"), (8, "25,detail=1"), (8, "25,stats=0")])
def test_ledger(tracer, tmp_path_factory, threads, options):
    """Every block of every function of the malloc family, with its size, once; and all counters agree with the blocks."""
    ledger = tmp_path_factory.getbasetemp() / "aarch64-ledger"
    if not ledger.exists():
        compile_for_aarch64(ledger, [harness.PROGRAMS / "ledger.c"], "-g", "-O2")
    emulate_ok([ledger, threads, 2000, 5], preload=tracer, options=options)


CASES = ["sizes", "reallocs", "unrecorded", "control", "object_traceback", "requests", "domains", "domain_zero",
         "peak_of_threads", "signals", "signals_on_alternate_stack", "jumps_out", "dropped", "untraceable"]
SLOW_CASES = ["generations", "clear_under_load", "many_tracked", "peak", "forks", "many_threads"]
# `plugins` waits for an address that is used again, and `address_space` for a limit: qemu gives neither.


@pytest.fixture(scope="module")
def semantics(tmp_path_factory):
    return compile_for_aarch64(tmp_path_factory.mktemp("semantics") / "semantics", [harness.PROGRAMS / "semantics.c"], "-g", "-O2",
                               "-D_GNU_SOURCE", "-fno-builtin", "-DSIGNAL_EVERY=500")


@pytest.mark.parametrize("case", CASES + (SLOW_CASES if SLOW else []))
def test_semantics(tracer, semantics, case):
    limits = {"dropped": "25,max=3M", "untraceable": "25,max=100K"}
    emulate_ok([semantics, case], preload=tracer, options=limits.get(case, "25"))


@pytest.mark.parametrize("level", ["-O2"])
def test_operators(tracer, tmp_path, level):
    operators = compile_for_aarch64(tmp_path / "operators", [harness.PROGRAMS / "operators.cpp"], level, "-g", "-std=c++17",
                                    "-fno-builtin", "-faligned-new", "-Wno-alloc-size-larger-than",
                                    *(["-Wno-unknown-warning-option", "-fsized-deallocation"] if IS_CLANG else []))
    emulate_ok([operators], preload=tracer, options="25")


def test_linked(tracer, tmp_path):
    linked = compile_for_aarch64(tmp_path / "linked", [harness.PROGRAMS / "linked.c", tracer.parent / "libtm.a"], "-O2")
    assert emulate_ok([linked], options="25").stdout == "1 0 1 25 1 1 0 0 1 0\n"


HIGH_ADDRESS = """
#include "tests/programs/root.h"
#include "tracer/tm.h"
static uint64_t sizes;
static void add(const struct root_block *block, void *context)
{
    sizes += block->address >> 40 ? block->size : 0;
    (void)context;
}
int main(void)
{
    REQUIRE(tm_track(0, 0xfffff7a01240, 100) == 0 && tm_track(0, 0x1fffff7a01240, 1000) == 0);
    root_each_live(add, NULL);
    REQUIRE(sizes == 100);
    root_each_wide(add, NULL);
    REQUIRE(sizes == 1100);
    root_check();
    REQUIRE(tm_untrack(0, 0xfffff7a01240) == 0 && tm_untrack(0, 0x1fffff7a01240) == 0);
    root_each_block(add, NULL);
    REQUIRE(sizes == 1100);
    return 0;
}
"""


def test_addresses_of_48_bits(tracer, tmp_path):
    """Linux on aarch64 puts heaps and mappings above 2^47; qemu cannot, so that a block is said to be there."""
    source = tmp_path / "high.c"
    source.write_text(HIGH_ADDRESS, encoding="utf-8")
    high = compile_for_aarch64(tmp_path / "high", [source], "-O2", "-g", "-D_GNU_SOURCE", f"-I{harness.REPO}")
    emulate_ok([high], preload=tracer, options="25")


# ----------------------------------------------------------------------------------------------------------- cores

def sysroot_make(directory, *programs):
    """A root in which the libraries and the programs are where the emulated process saw them."""
    root = directory / "root"
    (root / "lib").mkdir(parents=True)
    for library in ("ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"):
        shutil.copy(SYSROOT / "lib" / library, root / "lib")
    for program in programs:
        place = root / program.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, place)
    return root


@pytest.mark.parametrize("flags", ["-O0", f"-O2 -fomit-frame-pointer {SIGNED}"])
def test_known_lines(tracer, tmp_path, flags):
    """Every line of the program whose allocations are known; read on another machine than the one that wrote the core."""
    compile_for_aarch64(tmp_path / "known.o", [SOURCES[0]], "-c", "-g", "-D_GNU_SOURCE", *flags.split())
    known = compile_for_aarch64(tmp_path / "known", [SOURCES[1], tmp_path / "known.o"], "-g", "-std=c++17", *flags.split())
    core = crash([known], tmp_path, preload=tracer, options="25")
    root = sysroot_make(tmp_path, known)
    assert lines_of_top(core, "--sysroot", root) == EXPECTED
    report = harness.coreanalyze("--sysroot", root, core).stdout
    assert re.search(r"crashed with SIGABRT\n(.*\n)*  thread \d+ was in /lib/libc\.so\.6\(", report), report


def lines_above(core, root, size, source):
    """The lines of `source` in the traceback of the one block of this size, most recent last."""
    traces = harness.coreanalyze_json("traces", "--sysroot", root, core, status=None)["traces"]
    (frames,) = [trace["frames"] for trace in traces if trace["size"] == size]
    return [line for path, line in (frame[:2] for frame in frames) if path == str(source)]


def line_numbers(source, *marks):
    lines = source.read_text(encoding="utf-8").splitlines()
    return [next(number for number, line in enumerate(lines, 1) if mark in line) for mark in marks]


LAZY_LIBRARY = """
#include <stdlib.h>
void *kept;
static int twice_here(int x) { return 2 * x; }
static void *choose(void) { kept = malloc(4321); return (void *)twice_here; }
int twice(int) __attribute__((ifunc("choose")));
"""

LAZY = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int twice(int);
__attribute__((noinline)) static int inner(int x, int y)
{
    volatile char buffer[96];
    memset((char *)buffer, x, sizeof(buffer));
    return twice(x) + buffer[y]; /* INNER */
}
__attribute__((noinline)) static int middle(int x)
{
    volatile int kept[5] = {x, 1, 2, 3, 4};
    return inner(kept[x & 3], x) + kept[2]; /* MIDDLE */
}
int main(int argc, char **argv)
{
    int x = middle(argc) + argv[0][0]; /* MAIN */
    abort();
    return x;
}
"""


def test_below_the_lazy_resolver(tracer, tmp_path):
    """An allocation while the loader binds a call, for which it came through a linkage stub and _dl_runtime_resolve."""
    library_source, source = tmp_path / "library.c", tmp_path / "lazy.c"
    library_source.write_text(LAZY_LIBRARY, encoding="utf-8")
    source.write_text(LAZY, encoding="utf-8")
    library = compile_for_aarch64(tmp_path / "libtwice.so", [library_source], "-O2", "-g", "-shared", "-fPIC")
    lazy = compile_for_aarch64(tmp_path / "lazy", [source, library], "-O2", "-g", "-fomit-frame-pointer", "-Wl,-z,lazy",
                               f"-Wl,-rpath,{tmp_path}")
    core = crash([lazy], tmp_path, preload=tracer, options="25")
    root = sysroot_make(tmp_path, lazy, library)
    assert lines_above(core, root, 4321, source) == line_numbers(source, "/* MAIN */", "/* MIDDLE */", "/* INNER */")


NULL_CALL = """
#include <signal.h>
#include <stdlib.h>
static void *volatile kept;
static void on_fault(int number)
{
    kept = malloc(4000 + (size_t)number); /* HANDLER */
    abort();
}
__attribute__((noinline)) static int call(int (*volatile *function)(int), int x)
{
    volatile int local[20] = {x};
    return (*function)(local[0]) + local[3]; /* CALL */
}
int main(int argc, char **argv)
{
    int (*volatile function)(int) = NULL;
    signal(SIGSEGV, on_fault);
    (void)argv;
    return call(&function, argc) + 1; /* MAIN */
}
"""


def test_call_through_null(tracer, tmp_path):
    """No code, no frame: the caller is in the link register."""
    source = tmp_path / "null.c"
    source.write_text(NULL_CALL, encoding="utf-8")
    null = compile_for_aarch64(tmp_path / "null", [source], "-O2", "-g", "-fomit-frame-pointer")
    core = crash([null], tmp_path, preload=tracer, options="25")
    assert lines_above(core, sysroot_make(tmp_path, null), 4011, source) == \
        line_numbers(source, "/* MAIN */", "/* CALL */", "/* HANDLER */")
