"""The harness of test_tracer_steps.py notices a tracer that was broken on purpose, and reads cores of processes that died in it."""

import re
import shutil

import harness
import pytest
import stepping


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    return stepping.build(tmp_path_factory.mktemp("steps"))


@pytest.mark.skipif(not harness.kernel_writes_core_here(), reason="the kernel sends cores elsewhere")
@pytest.mark.parametrize("scenario, readings", [("family", 350), ("family", 1700), ("family", 3333), ("tracks", 1500),
                                                ("threads", 900), ("forks", 700)])
def test_crash_inside(steps, tmp_path, scenario, readings):
    """A core of a process that died in the tracer's own code, or in the allocator below it."""
    result = stepping.step_through(steps, scenario, "-c", readings, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"a core with \d+ blocks and [012] in flight .*\n", result.stdout)


# ------------------------------------------------------------------------------------------------- broken on purpose

# Name: text that one file of the tracer has once, what comes in its place (or behind which text it moves), and the scenario
# that must notice.
PUBLISH = "    tm_publish(&operation->code, code);\n"
DONE = "        tm_done(&call);\n"
MUTANTS = {
    "published too early": (PUBLISH, None, "    struct tm_operation *operation = call->operation;\n", "family"),
    "address not told": ("    tm_publish(&operation->new_address, address);\n", "", None, "family"),
    "done before it is counted": (DONE, None, "        tm_totals_before_fall(&call, record.size);\n", "family"),
    "freed block shown while it is written": (" || !tm_swap_if(&element->check, before, TM_FREED_BUSY)", "", None, "history"),
    "moved block not kept": ("        tm_freed_keep(call, &going);\n    }\n    if (!result && size) {", "    }\n    if (!result && size) {", None,
                             "history"),
    "counted before it is there": (
        "    if (TM_LIKELY(block) && TM_LIKELY(tm_block_add(&call, (uintptr_t)block))) {\n        tm_block_count_added(&call);\n",
        "    if (TM_LIKELY(block)) {\n        tm_block_count_added(&call);\n        tm_block_add(&call, (uintptr_t)block);\n", None, "family"),
    "abandoned for ever": ("return sp >= operation->stack_pointer;", "return false;", None, "jumps"),
}


def break_tracer(directory, what, instead, behind):
    """Changes the one file below `directory` that has `what` (and `behind`)."""
    found = [path for path in directory.rglob("*.[ch]") if what in path.read_text() and (behind or "") in path.read_text()]
    assert len(found) == 1, (what, found)
    text = found[0].read_text()
    assert text.count(what) == 1 and (behind is None or text.count(behind) == 1), (what, behind, found)
    text = text.replace(what, instead or "")
    found[0].write_text(text if behind is None else text.replace(behind, behind + what))
    return found[0]


def broken_tracer(directory, *changes):
    """The tracer with these changes: a copy of its sources, of which those are compiled anew that have them."""
    shutil.copytree(harness.REPO / "tracer", directory / "tracer")
    changed = {break_tracer(directory / "tracer", *change) for change in changes}
    objects = directory / "objects"
    objects.mkdir()
    harness.run_ok(["ar", "x", harness.LIBTM.parent / "libtm.a"], cwd=objects)
    users = {"record": ("record", "entry"), "entry": ("entry",)}  # of the headers there
    sources = {path for path in changed if path.suffix == ".c"}
    for folder in {folder for path in changed - sources for folder in users[path.parent.name]}:
        sources |= set((directory / "tracer" / folder).glob("*.c"))
    for source in sources:
        harness.run_ok([harness.CC, "-std=gnu17", "-O2", "-g", "-D_GNU_SOURCE", '-DTM_VERSION="0"', f"-I{directory}", "-fPIC",
                        "-fvisibility=hidden", "-fno-stack-protector", "-ftls-model=initial-exec", "-c",
                        "-o", objects / f"{source.stem}.o", source])
    harness.run_ok([harness.CC, "-shared", "-Wl,-soname,libtm.so", "-Wl,-z,defs", "-Wl,-z,now", "-o", directory / "libtm.so",
                    *objects.glob("*.o")])
    return directory / "libtm.so"


@pytest.mark.parametrize("name", MUTANTS)
def test_broken_tracer_is_caught(steps, tmp_path, name):
    *change, scenario = MUTANTS[name]
    result = stepping.step_through(steps, scenario, tracer=broken_tracer(tmp_path, change))
    assert result.returncode == 1 and result.stderr.startswith("steps: "), (result.stdout, result.stderr)


def test_broken_tracer_is_caught_by_stops(tmp_path):
    """A block that is freed before its record goes: another thread may have got it by then."""
    stepping.build_stops(tmp_path)
    find = "    if (TM_LIKELY(tm_block_find(0, (uintptr_t)block, call.generation, &record))) {\n"
    end = ("        tm_done(&call);\n    } else {\n        call.operation->address = (uintptr_t)block; "
           "/* for whoever explains what real() says of it */\n    }\n")
    tracer = broken_tracer(tmp_path, (end + "    real(request);\n", end, None), (find, "    real(request);\n" + find, None))
    slots = tmp_path / "slots"
    result = harness.run([tmp_path / "stops", 2000, slots, tmp_path / "hammer", slots, 600], timeout=400,
                         env=harness.clean_environment(STEPS_PRELOAD=tracer, TRACEMALLOC="8"))
    assert result.returncode == 1, result.stdout
