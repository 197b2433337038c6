"""Eight threads that come and go and free each other's blocks, stopped anywhere: what is there is shown, once, and nothing else.

TM_STOPS=1000 stops a thousand times, TM_CORES=100 reads a hundred cores."""

import os
import re

import harness
import pytest
import stepping

STOPS = int(os.environ.get("TM_STOPS", "150"))
CORES = int(os.environ.get("TM_CORES", "6"))


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    return stepping.build_stops(tmp_path_factory.mktemp("stops"))


@pytest.mark.parametrize("variable", ["8", "25,detail=1"])
def test_random_stops(programs, tmp_path, variable):
    slots = tmp_path / "slots"
    environment = harness.clean_environment(STEPS_PRELOAD=harness.LIBTM, TRACEMALLOC=variable)
    result = harness.run_ok([programs / "stops", STOPS, slots, programs / "hammer", slots, 600], env=environment, timeout=550)
    stops, settled, _, in_flight, _, untold = map(int, re.findall(r"\d+", result.stdout))
    assert stops == STOPS and settled > 50 * stops and in_flight > 0
    assert untold <= stops / 4


@pytest.mark.skipif(not harness.kernel_writes_core_here(), reason="the kernel sends cores elsewhere")
@pytest.mark.parametrize("number", range(CORES))
def test_random_cores(programs, tmp_path, number):
    """One thread aborts while the others are anywhere."""
    slots = tmp_path / "slots"
    _, core = harness.crash(harness.traced([programs / "hammer", slots, 600, "crash"], "-n", "8"), tmp_path)
    result = harness.run_ok([programs / "stops", "-c", core, slots])
    assert re.match(r"a core, [1-9]\d* settled", result.stdout)
    core.unlink()


LOOKS = """import gdb, tm
for _ in range({stops}):
    snapshot = tm.take_snapshot()
    print("traces", len(snapshot.traces), sum(trace.size for trace in snapshot.traces))
    gdb.execute("tm-top -n 1 --no-source")
    gdb.execute("continue 37", to_string=True)
gdb.execute("kill")
"""


def test_stops_by_gdb(programs, tmp_path):
    """GDB stops it by a breakpoint in the allocator below, in whichever thread comes first; its snapshot and its totals agree."""
    slots, script, stops = tmp_path / "slots", tmp_path / "looks.py", max(10, STOPS // 15) if STOPS < 1000 else STOPS
    script.write_text(LOOKS.format(stops=stops))
    result = harness.gdb(["set breakpoint pending on", "set startup-with-shell off",
                          f"set environment LD_PRELOAD={harness.LIBTM}", "set environment TRACEMALLOC=8",
                          "set print thread-events off", "break main", "run", "break _int_malloc", "continue 500", f"source {script}"],
                         "--args", programs / "hammer", slots, 3600, timeout=3000)
    traces = re.findall(r"^traces (\d+) (\d+)$", result.stdout, re.MULTILINE)
    covered = re.findall(r"coverage: (\d+) blocks, 0 dropped, (\d+) in flight", result.stdout)
    assert len(traces) == len(covered) == stops, result.stdout[-3000:] + result.stderr[-1000:]
    assert [int(count) for count, _ in traces] == [int(count) for count, _ in covered]
    assert all(int(in_flight) >= 1 for _, in_flight in covered)
