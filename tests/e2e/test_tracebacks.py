"""Tracebacks of real programs: each equals GDB's backtrace at the allocation function (compare_tracebacks.py does it, in GDB)."""

import json

import pytest
from harness import CC, LIBTM, PROGRAMS, clean_environment, have, run, run_ok

SQL = """
create table t(a, b, c); insert into t values (1, 2, 3), (4, 5, 6); create index i on t(b);
select * from t where b in (select a from t) order by c;
with recursive n(x) as (select 1 union all select x + 1 from n where x < 2000) select group_concat(x) from n group by x % 7;
create view v as select a, sum(b) over (order by c) from t; select * from v; select json_group_array(a) from t;
select printf('%s %d', b, a) from t; update t set a = a + 1 where b > 2; delete from t where a = 2; vacuum; analyze;
"""

SCRIPT = """
import ctypes, json, re, sqlite3, threading

def work(count):
    return [json.loads(json.dumps({"a": list(range(count)), "b": "x" * count})) for _ in range(3)]

threads = [threading.Thread(target=work, args=(5,)) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
values = (ctypes.c_int * 20)(*[i * 7919 % 211 for i in range(20)])
ctypes.CDLL(None).qsort(values, 20, 4, compare(lambda a, b: (str(a[0] * 1000), a[0] - b[0])[1]))
connection = sqlite3.connect(":memory:")
connection.create_function("f", 1, lambda x: str(x) * 3)
print(connection.execute("select f(12)").fetchall())

def recurse(depth):
    return [depth] + recurse(depth - 1) if depth else []

recurse(60)
sorted(map(str, range(50)), key=lambda text: re.sub("1", "2", text))
"""

SOURCE = """
#include <algorithm>
#include <map>
#include <string>
#include <vector>
int main()
{
    std::map<std::string, std::vector<int>> map;
    for (int i = 0; i < 10; i++) { map[std::to_string(i)].push_back(i); }
    for (auto &pair : map) { std::sort(pair.second.begin(), pair.second.end()); }
    return static_cast<int>(map.size());
}
"""


def compare(tmp_path, command, count, batch=0, **environment):
    """Runs `command` in GDB, compares `count` allocations and returns the outcome."""
    out = tmp_path / "outcome.json"
    settings = {"LD_PRELOAD": LIBTM, "TRACEMALLOC": "1000", **environment}
    arguments = ["gdb", "-q", "-nx", "-batch"]
    for name, value in settings.items():
        arguments += ["-ex", f"set environment {name} {value}"]
    arguments += ["-x", PROGRAMS / "compare_tracebacks.py", "--args", *command]
    result = run(arguments, cwd=tmp_path, env=clean_environment(TM_COMPARE_COUNT=count, TM_COMPARE_BATCH=batch,
                                                                TM_COMPARE_OUT=out))
    assert out.exists(), f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    return json.loads(out.read_text())


def assert_equal(outcome):
    examples = json.dumps(outcome.pop("examples"), indent=1)
    print(outcome)
    assert outcome["errors"] == [], outcome
    assert outcome["different"] == 0, f"{outcome}\n{examples}"
    assert outcome["unrecorded"] == 0, outcome
    assert outcome["started"] <= 8, f"calls that were not seen to return: {outcome}"
    assert outcome["broken"] == 0 and outcome["guessed"] == 0 and outcome["truncated"] == 0, outcome


def sqlite_command(tmp_path):
    (tmp_path / "statements.sql").write_text(SQL)
    return ["sqlite3", "-batch", "-init", "statements.sql", ":memory:", ".quit"]


def python_command(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    return ["/usr/bin/python3", "script.py"]


def clang_command(tmp_path):
    (tmp_path / "source.cpp").write_text(SOURCE)
    return ["clang++", "-O2", "-c", "source.cpp", "-o", "source.o"]


# count: how many at most, least: how many at least, as versions of the programs differ. clang allocates
# millions of times: some at each growth of its heap, so that they come from its whole run.
@pytest.mark.parametrize("program, make_command, count, least, batch, distinct, environment", [
    ("sqlite3", sqlite_command, 2500, 2500, 0, 300, {}),
    ("/usr/bin/python3", python_command, 6000, 3000, 0, 400, {"PYTHONMALLOC": "malloc"}),
    ("clang++", clang_command, 4000, 3000, 25, 1500, {}),
])
def test_tracebacks_equal_gdbs(tmp_path, record_property, program, make_command, count, least, batch, distinct,
                               environment):
    if not have(program):
        pytest.skip(f"{program} is not installed")
    outcome = compare(tmp_path, make_command(tmp_path), count, batch, **environment)
    record_property("outcome", {name: value for name, value in outcome.items() if name != "examples"})
    assert_equal(outcome)
    assert outcome["compared"] >= least, outcome
    assert outcome["distinct"] >= distinct, outcome
    assert outcome["bottomless"] < least / 2, f"GDB's backtrace says nothing about most of them: {outcome}"


def test_code_that_takes_the_place_of_other_code(tmp_path, program):
    libraries = []
    for padding in (200, 400):
        libraries.append(tmp_path / f"plugin{padding}.so")
        run_ok([CC, "-O1", f"-DPADDING={padding}", "-shared", "-fPIC", "-o", libraries[-1], PROGRAMS / "walks_plugin.c"])
    command = [program("reloads.c", "-O2", "-Wl,-z,now"), "20", *libraries]
    run_ok(command)
    outcome = compare(tmp_path, command, 4000)
    assert_equal(outcome)
    assert outcome["compared"] >= 20 * 4, outcome
