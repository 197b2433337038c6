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
    assert re.fullmatch(r"a core with \d+ blocks and [01] in flight .*\n", result.stdout)


# ------------------------------------------------------------------------------------------------- broken on purpose

def moved(text, what, behind):
    """The one place of `what` taken out, and put behind the one place of `behind`."""
    assert text.count(what) == 1 and text.count(behind) == 1, (what, text.count(what), text.count(behind))
    return text.replace(what, "").replace(behind, behind + what)


def left_out(text, what):
    assert text.count(what) == 1, (what, text.count(what))
    return text.replace(what, "")


# Name: file, what is done to it, the scenario that must notice.
MUTANTS = {
    "published too early": ("record/operation.h", lambda text: moved(
        text, "    tm_publish(&operation->code, code);\n", "    struct tm_operation *operation = call->operation;\n"), "family"),
    "address not told": ("record/blocks.c", lambda text: left_out(
        text, "    tm_publish(&operation->new_address, address);\n"), "family"),
    "done before it is counted": ("entry/call.h", lambda text: moved(
        text, "        tm_done(&call);\n", "        tm_totals_before_fall(&call, record.size);\n"), "family"),
    "abandoned for ever": ("record/operation.c", lambda text: text.replace(
        "return sp >= operation->stack_pointer;", "return false;"), "jumps"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_broken_tracer_is_caught(steps, tmp_path, name):
    file, change, scenario = MUTANTS[name]
    shutil.copytree(harness.REPO / "tracer", tmp_path / "tracer")
    path = tmp_path / "tracer" / file
    before = path.read_text()
    path.write_text(change(before))
    assert path.read_text() != before
    objects = tmp_path / "objects"
    objects.mkdir()
    harness.run_ok(["ar", "x", harness.LIBTM.parent / "libtm.a"], cwd=objects)
    for source in [*(tmp_path / "tracer").glob("record/*.c"), *(tmp_path / "tracer").glob("entry/*.c")]:
        harness.run_ok([harness.CC, "-std=gnu17", "-O2", "-g", "-D_GNU_SOURCE", '-DTM_VERSION="0"', f"-I{tmp_path}", "-fPIC",
                        "-fvisibility=hidden", "-fno-stack-protector", "-ftls-model=initial-exec", "-c",
                        "-o", objects / f"{source.stem}.o", source])
    tracer = tmp_path / "libtm.so"
    harness.run_ok([harness.CC, "-shared", "-Wl,-soname,libtm.so", "-Wl,-z,defs", "-Wl,-z,now", "-o", tracer,
                    *objects.glob("*.o")])
    result = stepping.step_through(steps, scenario, tracer=tracer)
    assert result.returncode == 1 and result.stderr.startswith("steps: "), (result.stdout, result.stderr)
