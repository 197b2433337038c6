"""The tracer by itself: programs look into their own tables and hold them against what they did."""

import os
import pathlib
import re
import subprocess

import harness
import pytest

ALLOCATORS = {"glibc": None, "jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4",
              "mimalloc": "libmimalloc.so.2.0"}


def preload(options, allocator="glibc"):
    """Environment for a run under the tracer, on top of an allocator."""
    library = ALLOCATORS[allocator]
    if library and not list(pathlib.Path("/usr/lib").rglob(library)):
        pytest.skip(f"{library} is not installed")
    libraries = f"{harness.LIBTM}:{library}" if library else harness.LIBTM
    return harness.clean_environment(LD_PRELOAD=libraries, TRACEMALLOC=options)


# ---------------------------------------------------------------------------------------------------------- tables

# With each option below glibc; below the others those that their behaviour may matter to.
@pytest.mark.parametrize("options, allocator", [
    *((options, "glibc") for options in ("25", "25,detail=1", "25,stats=0", "1", "300", "25,freed=50,detail=1")),
    *((options, allocator) for allocator in ALLOCATORS if allocator != "glibc" for options in ("25", "25,freed=50,detail=1"))])
@pytest.mark.parametrize("threads", [1, 8])
def test_ledger(program, threads, options, allocator):
    """Every block of every function of the malloc family, with its size, once; and all counters agree with the blocks."""
    key_shift = 5 if allocator == "glibc" else 4  # only glibc's blocks are known to begin 32 bytes apart
    harness.run_ok([program("ledger.c", "-g", "-O2"), threads, 40000, key_shift], env=preload(options, allocator))


SEMANTICS_FLAGS = ("-g", "-O2", "-D_GNU_SOURCE", "-fno-builtin")
SEMANTICS_OPTIONS = {"dropped": "25,max=3M", "untraceable": "25,max=100K"}


def semantics_cases():
    """The names that the table at the end of semantics.c has."""
    return re.findall(r"^    {\"(\w+)\", \w+},$", (harness.PROGRAMS / "semantics.c").read_text(), re.MULTILINE)


@pytest.fixture(scope="session")
def plugins(tmp_path_factory):
    """Directory with plugin_a.so and plugin_b.so."""
    directory = tmp_path_factory.mktemp("plugins")
    for name, size in (("plugin_a", 11), ("plugin_b", 12)):
        harness.compile_program(harness.PROGRAMS / "plugin.c", directory / f"{name}.so", "-shared", "-fPIC", "-O2",
                                f"-DPLUGIN_SIZE={size}")
    return directory


@pytest.mark.parametrize("allocator", ALLOCATORS)
@pytest.mark.parametrize("case", semantics_cases())
def test_semantics(program, plugins, case, allocator):
    """tracemalloc's rules, drops, forks, signals, unloaded code: tests/programs/semantics.c says each."""
    environment = preload(SEMANTICS_OPTIONS.get(case, "25"), allocator)
    environment["PLUGINS"] = str(plugins)
    harness.run_ok([program("semantics.c", *SEMANTICS_FLAGS), case], env=environment)


@pytest.mark.parametrize("case", ["reallocs", "generations", "clear_under_load", "domain_zero", "peak", "forks", "signals"])
def test_semantics_with_detail(program, case):
    harness.run_ok([program("semantics.c", *SEMANTICS_FLAGS), case], env=preload("25,detail=1"))


def test_before_constructors(tmp_path):
    """Allocations from preinit functions, constructors, and resolvers that run before the tracer itself is relocated."""
    source = harness.PROGRAMS / "early.c"
    harness.compile_program(source, tmp_path / "libearly.so", "-shared", "-fPIC", "-fno-builtin", "-DLIBRARY")
    early = harness.compile_program(source, tmp_path / "early", "-fno-builtin", f"-L{tmp_path}", f"-Wl,-rpath,{tmp_path}",
                                    "-Wl,--no-as-needed", "-learly")
    for now in (None, "1"):
        environment = preload("25") | ({"LD_BIND_NOW": now} if now else {})
        assert harness.run_ok([early], env=environment).stdout.split() == ["2001", "2002", "2003"]


# clang has operators with a size only when asked for them
OPERATORS_FLAGS = ("-g", "-std=c++17", "-fno-builtin", "-faligned-new", "-fsized-deallocation", "-w")


# mimalloc as Debian builds it aborts where operator new is to throw: it is compiled as C
WITH_OPERATORS = [name for name in ALLOCATORS if name != "mimalloc"]


@pytest.mark.parametrize("allocator", WITH_OPERATORS)
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_operators(program, level, allocator):
    """new and delete, whether the operators below call malloc or are the allocator's own."""
    harness.run_ok([program("operators.cpp", level, *OPERATORS_FLAGS)], env=preload("25", allocator))


@pytest.mark.parametrize("allocator", WITH_OPERATORS)
def test_operators_of_a_loaded_library(program, tmp_path, allocator):
    """A C program has no operators when it starts; a library that it loads brings the C++ library with it, out of sight."""
    library = harness.compile_program(harness.PROGRAMS / "operators.cpp", tmp_path / "operators.so", "-O2", "-shared", "-fPIC",
                                      "-DLIBRARY", *OPERATORS_FLAGS)
    harness.run_ok([program("operators_host.c", "-O2"), library], env=preload("25", allocator))


def test_operators_of_the_program(tmp_path):
    """A program's own operators stay its own, also with the tracer linked in."""
    source = tmp_path / "own.cpp"
    source.write_text("""#include <cstdio>
#include <cstdlib>
static int calls;
void *operator new(std::size_t size) { calls++; return std::malloc(size); }
void operator delete(void *block) noexcept { calls++; std::free(block); }
int main() { volatile int *number = new int(3); delete number; std::printf("%d\\n", calls); }
""")
    plain = harness.compile_program(source, tmp_path / "plain", "-O0", "-std=c++17")
    assert harness.run_ok([plain], env=preload("25")).stdout == "2\n"
    linked = tmp_path / "linked"
    harness.run_ok([harness.CXX, "-O0", "-std=c++17", "-o", linked, source, harness.LIBTM.parent / "libtm.a"])
    assert harness.run_ok([linked], env=harness.clean_environment(TRACEMALLOC="25")).stdout == "2\n"


def test_no_data_races(tmp_path):
    """ThreadSanitizer over the tables and all that counts, without the hooks, which would be its own allocator's."""
    sources = [path for path in (harness.REPO / "tracer").rglob("*.c") if path.name not in ("tm-run.c", "hooks.c", "mapping.c")]
    race = harness.compile_program([harness.PROGRAMS / "race.c", *sources], tmp_path / "race", "-std=gnu17", "-O1", "-g", "-w",
                                   "-D_GNU_SOURCE", '-DTM_VERSION="0"', f"-I{harness.REPO}", "-fsanitize=thread")
    result = harness.run([race, 3000])
    if "unexpected memory mapping" in result.stderr:
        pytest.skip("ThreadSanitizer cannot run with this kernel's address space randomisation")
    assert (result.returncode, result.stdout) == (0, "0 left\n"), result.stderr[:4000]


# --------------------------------------------------------------------------------------------------------- library

def test_needs_only_libc():
    dynamic = harness.run_ok(["readelf", "-d", harness.LIBTM]).stdout
    assert re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic) in (["libc.so.6"], ["libc.so.6", "ld-linux-x86-64.so.2"])


def test_note_leads_to_the_beacon():
    """The descriptor of the note is the distance from itself to tm_table, and it lies in the first page."""
    symbols = harness.run_ok(["readelf", "--dyn-syms", "-W", harness.LIBTM]).stdout
    beacon = int(re.search(r"([0-9a-f]+) +40 OBJECT +GLOBAL DEFAULT +\d+ tm_table$", symbols, re.MULTILINE).group(1), 16)
    sections = harness.run_ok(["readelf", "-SW", harness.LIBTM]).stdout
    address, offset = (int(word, 16) for word in re.search(r"\.note\.tm +NOTE +(\w+) +(\w+)", sections).groups())
    assert address == offset and address + 24 <= 4096 and address % 8 == 0
    image = harness.LIBTM.read_bytes()
    assert image[offset:offset + 16] == bytes.fromhex("03000000 08000000 01006d74 746d0000")
    distance = int.from_bytes(image[offset + 16:offset + 24], "little", signed=True)
    assert address + 16 + distance == beacon
    segments = harness.run_ok(["readelf", "-lW", harness.LIBTM]).stdout
    assert re.search(r"NOTE +0x0*%x " % offset, segments)


PRESENT = "0 0 1 7 1 1 0 0 1 0\n"
PRESENT_AND_TRACING = "1 0 1 25 1 1 0 0 1 0\n"
ABSENT = "0 -2 0 1 0 0 -2 -2 0 0\n"


@pytest.mark.parametrize("flags", [("-O0",), ("-O2",), ("-O2", "-no-pie"), ("-O2", "-static"), ("-O2", "-fno-plt")])
@pytest.mark.parametrize("language", ["c", "c++"])
def test_header_without_tracer(tmp_path, flags, language):
    """A program with the calls in it runs without a tracer; with one preloaded, it is traced."""
    compiler = harness.CXX if language == "c++" else harness.CC
    linked = harness.compile_program([harness.PROGRAMS / "linked.c"], tmp_path / "linked", "-Wall", "-Wextra", "-Werror",
                                     *flags, "-x", language, compiler=compiler)
    assert harness.run_ok([linked]).stdout == ABSENT
    if "-static" not in flags:
        assert harness.run_ok([linked], env=preload("25")).stdout == PRESENT_AND_TRACING
        assert harness.run_ok([linked], env=preload("0")).stdout == PRESENT


@pytest.mark.parametrize("how", ["shared", "archive"])
def test_linked(tmp_path, how):
    """Linked in, the tracer waits for tm_start, or for TRACEMALLOC."""
    library = harness.LIBTM.parent
    link = [f"-L{library}", f"-Wl,-rpath,{library}", "-Wl,--no-as-needed", "-ltm"] if how == "shared" \
        else [library / "libtm.a"]
    linked = tmp_path / "linked"
    harness.run_ok([harness.CC, "-O2", "-o", linked, harness.PROGRAMS / "linked.c", *link])
    assert harness.run_ok([linked]).stdout == PRESENT
    assert harness.run_ok([linked], env=harness.clean_environment(TRACEMALLOC="25")).stdout == PRESENT_AND_TRACING
    assert harness.run_ok([linked], env=preload("0")).stdout == PRESENT


def test_preloaded_without_the_variable(program):
    linked = program("linked.c", "-O2")
    environment = harness.clean_environment(LD_PRELOAD=harness.LIBTM)
    assert harness.run_ok([linked], env=environment).stdout == PRESENT_AND_TRACING
    assert harness.run_ok([linked], env=environment | {"TRACEMALLOC": ""}).stdout == PRESENT_AND_TRACING


@pytest.mark.parametrize("options", ["x", "25x", "-1", "65536", "25,", "25,detail=2", "25,foo=1", "25,max=1T", "25,sample=x",
                                     "25,freed=x", ",detail=1", "99999999999999999999", "25,max=99999999999G"])
def test_malformed_variable(program, options):
    """One line on stderr, and the program runs untraced."""
    result = harness.run_ok([program("linked.c", "-O2")], env=preload(options))
    assert result.stdout == PRESENT
    assert re.fullmatch(r"tm: not tracing: TRACEMALLOC: .*'\n", result.stderr) and result.stderr.count("\n") == 1


# ---------------------------------------------------------------------------------------------------------- limits

def test_address_space_limit_before_start(program):
    """Where the host's limit leaves no room for tables, the host runs all the same."""
    linked = program("linked.c", "-O2")
    for kilobytes in range(2000, 12000, 500):
        command = f"ulimit -v {kilobytes}; exec {linked}"
        plain = harness.run(["sh", "-c", command])
        traced = subprocess.run(["sh", "-c", f"ulimit -v {kilobytes}; LD_PRELOAD={harness.LIBTM} exec {linked}"],
                                capture_output=True, text=True, check=False, env=harness.clean_environment())
        if plain.returncode == 0 and "while loading shared libraries" not in traced.stderr:  # else the loader itself had no room
            assert traced.returncode == 0, (kilobytes, traced)


# ---------------------------------------------------------------------------------------------------------- tm-run

def tm_run(*arguments, **environment):
    return harness.run([harness.TM_RUN, *arguments], env=harness.clean_environment(**environment))


@pytest.mark.parametrize("arguments", [["-n", "x", "true"], ["-n", "65536", "true"], ["-n", "-1", "true"], ["-n", "", "true"],
                                       ["-o", "foo=1", "true"], ["-o", "detail", "true"], ["-o", "", "true"],
                                       ["-o", "sample=4k", "true"], ["-o", "max=1KB", "true"]])
def test_tm_run_refuses(arguments):
    result = tm_run(*arguments)
    assert result.returncode == 64 and result.stdout == ""
    assert re.fullmatch(r"tm-run: -[no]: .*\n", result.stderr)


def test_tm_run_usage():
    assert tm_run().returncode == 64
    assert tm_run("--no-such-option", "true").returncode == 64
    assert tm_run("true", TRACEMALLOC="many").returncode == 64
    assert tm_run("-n", "5", "true", TRACEMALLOC="many").returncode == 64
    help_text = tm_run("--help")
    assert help_text.returncode == 0 and "-n" in help_text.stdout and "TRACEMALLOC" in help_text.stdout


def test_tm_run_cannot_run(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("no program")
    assert tm_run(tmp_path / "missing").returncode == 127
    assert tm_run(plain).returncode == 126
    assert tm_run("false").returncode == 1


@pytest.mark.parametrize("arguments, variable, expected", [
    ([], None, {"": "25", "detail": "0", "stats": "1", "max": "0"}),
    ([], "7,detail=1", {"": "7", "detail": "1"}),
    (["-n", "9"], "7,detail=1", {"": "9", "detail": "1"}),
    (["-o", "max=2M"], "7,detail=1,max=1K", {"": "7", "detail": "1", "max": str(2 << 20)}),
    (["-n", " +012", "-o", "stats=0,stats=1,detail=1,detail=0"], None, {"": "12", "stats": "1", "detail": "0"}),
    (["-n", "0"], "7", {"": "0"}),
])
def test_tm_run_passes_on(arguments, variable, expected):
    """An option wins over the variable, which wins over 25."""
    result = tm_run(*arguments, "--", "sh", "-c", "echo $TRACEMALLOC", TRACEMALLOC=variable)
    assert result.returncode == 0
    nframe, *keys = result.stdout.strip().split(",")
    given = {"": nframe} | dict(key.split("=") for key in keys)
    assert {key: given[key] for key in expected} == expected


def test_tm_run_keeps_other_preloads():
    result = tm_run("--", "sh", "-c", "echo $LD_PRELOAD", LD_PRELOAD="libc.so.6")
    assert result.stdout.strip() == f"{harness.LIBTM}:libc.so.6"


def test_tm_run_leaves_the_programs_options_alone():
    assert tm_run("echo", "-n", "-o", "--help").stdout == "-o --help"
    assert tm_run("-n", "3", "--", "echo", "-n", "x").stdout == "x"


def test_tm_run_is_found_by_a_link(tmp_path):
    """libtm.so is looked for beside the program itself, not beside the link to it."""
    link = tmp_path / "tm-run"
    os.symlink(harness.TM_RUN, link)
    assert harness.run([link, "sh", "-c", "echo $LD_PRELOAD"]).stdout.strip() == str(harness.LIBTM)
