"""Whatever instruction the tracer is at, the engine reads what the calls so far left (tests/programs/steps).

With TM_STEPS=all the engine is asked after every instruction, every instruction is interrupted, and there are more options:
that takes hours."""

import re

import pytest
import stepping

SCENARIOS = ["family", "tracks", "threads", "forks", "fork_alone", "plugins", "growth", "signals", "jumps", "history", "throws"]
VARIABLES = ["8", "8,detail=1", "8,stats=0", "1"] if stepping.LONG else ["8"]


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    return stepping.build(tmp_path_factory.mktemp("steps"))


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_any_instruction(steps, scenario, variable):
    result = stepping.step_through(steps, scenario, variable=variable)
    assert result.returncode == 0, result.stderr
    calls, instructions, readings, signals, jumps, thrown = map(int, re.findall(r"\d+", result.stdout))
    assert calls > 3 and instructions > 3000 and readings > 100
    assert scenario not in ("signals", "jumps") or signals > 50
    assert (scenario == "jumps") == (jumps > 0)
    assert thrown == (scenario == "throws")
