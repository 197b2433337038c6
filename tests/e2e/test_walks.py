"""The stack walker against libunwind's: every walk of programs with every kind of stack, compiled in many ways (walkcheck.c)."""

import re

import pytest
from harness import CC, PROGRAMS, REPO, clean_environment, have, run, run_ok

WALKER = ["tracer/unwind.c", *sorted(f"tracer/walk/{path.name}" for path in (REPO / "tracer" / "walk").glob("*.c"))]
FLAGS = ["-O0", "-O2", "-O2 -fomit-frame-pointer -fcf-protection -no-pie", "-O2 -fno-omit-frame-pointer", "-O3 -march=native",
         "-Os"]


@pytest.fixture(scope="module")
def walkcheck(tmp_path_factory):
    """The library to preload."""
    library = tmp_path_factory.mktemp("walkcheck") / "walkcheck.so"
    result = run([CC, "-std=gnu17", "-D_GNU_SOURCE", "-I", REPO, "-O2", "-g", "-fPIC", "-shared", "-fvisibility=hidden",
                  "-fno-omit-frame-pointer", "-ftls-model=initial-exec", "-o", library, PROGRAMS / "walkcheck.c",
                  *(REPO / source for source in WALKER), "-l:libunwind.so.8"])
    if result.returncode != 0 and "libunwind.so.8" in result.stderr:
        pytest.skip("libunwind (Debian: libunwind8) is not installed")
    assert result.returncode == 0, result.stderr
    return library


def walk(walkcheck, tmp_path, command, **environment):
    """Runs `command` with every walk compared; the totals of its processes, added up, and what was different."""
    out = tmp_path / "totals"
    result = run(command, cwd=tmp_path, env=clean_environment(LD_PRELOAD=walkcheck, WALKCHECK=out, **environment))
    assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
    text = out.read_text()
    totals = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            for name, value in re.findall(r"(\w+)=(\d+)", line):
                totals[name] = totals.get(name, 0) + int(value)
    print(f"{command[0]}: {totals}")
    return totals, text


def assert_equal(totals, text, walks, kept=True):
    """No difference; and, unless all of it happens in signal handlers, most walks were kept and gone on with."""
    for name in ("different", "shorter", "longer", "missed", "trail_different"):
        assert totals[name] == 0, f"{totals}\n{text[:6000]}"
    assert totals["walks"] >= walks, totals
    if kept:
        assert totals["trails"] > totals["walks"] / 2, totals
        assert totals["trail_kept"] > totals["trail_frames"] / 2, totals


@pytest.mark.parametrize("flags", FLAGS)
def test_every_kind_of_stack(walkcheck, program, tmp_path, flags):
    # one library only: libunwind keeps what it knows of unloaded code (test_tracebacks.py has two that take turns)
    plugin = tmp_path / "plugin.so"
    run_ok([CC, *flags.replace("-no-pie", "").split(), "-shared", "-fPIC", "-o", plugin, PROGRAMS / "walks_plugin.c"])
    totals, text = walk(walkcheck, tmp_path, [program("walks.cpp", "-w", *flags.split()), "20", plugin])
    assert_equal(totals, text, 40000)
    assert totals["broken"] == 0 and totals["guessed"] == 0, totals


@pytest.mark.parametrize("flags", FLAGS)
def test_realigned_frames(walkcheck, program, tmp_path, flags):
    totals, text = walk(walkcheck, tmp_path, [program("realigned.c", "-w", *flags.split())])
    assert_equal(totals, text, 10000)
    assert totals["broken"] == 0 and totals["guessed"] == 0, totals


@pytest.mark.parametrize("flags", ["-O0 -Wl,-z,lazy", "-O2 -Wl,-z,lazy", "-O2 -Wl,-z,lazy -fcf-protection -no-pie",
                                   "-O2 -fno-omit-frame-pointer -Wl,-z,now"])
def test_every_instruction(walkcheck, program, tmp_path, flags):
    stepped = program("stepped.c", "-w", *flags.split())
    totals, text = walk(walkcheck, tmp_path, [stepped])
    assert_equal(totals, text, 1500, kept=False)
    assert totals["broken"] == 0 and totals["guessed"] == 0, totals


def test_wrong_unwind_information_is_survived(walkcheck, program, tmp_path):
    stepped = program("stepped.c", "-w", "-O2", "-Wl,-z,lazy")
    totals, _ = walk(walkcheck, tmp_path, [stepped, "realigned"], WALKCHECK_ALONE=1)
    assert totals["walks"] > 1500, totals


@pytest.mark.parametrize("command, walks", [
    (["sqlite3", ":memory:", "with recursive n(x) as (select 1 union all select x + 1 from n where x < 5000) "
      "select group_concat(x) from n group by x % 7 order by random();"], 3000),
    (["/usr/bin/python3", "-c", "import json, re, sqlite3, decimal; json.loads(json.dumps([{'a': [1] * 99}] * 99))"], 20000),
    (["git", "log", "-5", "-p", "--stat"], 1000),
])
def test_real_programs(walkcheck, tmp_path, command, walks):
    if not have(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    if command[0] == "git":
        if not (REPO / ".git").exists():
            pytest.skip("the project is no git checkout here")
        command = [command[0], "-C", REPO, *command[1:]]
    totals, text = walk(walkcheck, tmp_path, command, PYTHONMALLOC="malloc")
    assert_equal(totals, text, walks)
