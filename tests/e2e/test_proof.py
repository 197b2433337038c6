"""Walks that the tracer recalls or keeps, against full ones: a build that compares them and aborts (tracer/record/proof.h)."""

import os
import re
import shutil

import harness
import pytest

REPO = harness.REPO


@pytest.fixture(scope="module")
def proof(tmp_path_factory):
    """A function that runs a command under the build that compares; its totals, added up over its processes."""
    build = tmp_path_factory.mktemp("proof")
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    harness.run_ok(["make", "-s", "-C", REPO, "-j2", f"BUILD={build}", f"CC={harness.CC}", "CPPFLAGS=-DTM_PROVE_WALKS", "OPT=-O1",
                    f"{build}/lib/libtm.so", f"{build}/bin/tm-run"], env=environment)

    def prove(nframe, command, options="max=0", **variables):
        totals = build / "totals"
        totals.unlink(missing_ok=True)
        command = [build / "bin" / "tm-run", "-n", nframe, "-o", options, "--", *command]
        # the deepest stacks need more than 8 MiB
        result = harness.run(["sh", "-c", 'ulimit -c 0; ulimit -s 65532; exec "$@"', "sh", *command],
                             env=harness.clean_environment(TM_PROOF=totals, **variables))
        assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout[-1000:]}\n{result.stderr[:6000]}"
        found = {}
        for name, value in re.findall(r"(\w+)=(\d+)", totals.read_text()):
            found[name] = found.get(name, 0) + int(value)
        print(command, found)
        return found
    return prove


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """The program of stacks that look like others, and its plugin."""
    directory = tmp_path_factory.mktemp("twins")
    plugin = directory / "plugin.so"
    harness.run_ok([harness.CC, "-O2", "-shared", "-fPIC", "-o", plugin, harness.PROGRAMS / "walks_plugin.c"])
    return harness.compile_program(harness.PROGRAMS / "proof.c", directory / "proof", "-O2", "-I", REPO), plugin


@pytest.mark.parametrize("nframe, what, options", [
    (25, "twins", "max=0"), (1, "twins", "stats=0"), (2, "twins", "freed=100"), (25, "frames", "max=0"),
    (25, "limits", "max=0"), (25, "threads", "max=0"), (25, "reloads", "max=0"), (300, "fork", "max=0"), (25, "jumps", "max=0"),
    (25, "deep", "max=0"), (65535, "deep", "max=0"), (25, "twins", "sample=64"),
])
def test_stacks_that_look_like_others(proof, twins, nframe, what, options):
    program, plugin = twins
    found = proof(nframe, [program, what, 10000, plugin], options)
    assert found["unknown"] == 0, found
    assert found["kept"] + found["recalled"] > 0.9 * (sum(found.values()) - found["frames"]), found


@pytest.mark.parametrize("most", ["3M", "6M", "8M"])
def test_no_memory_left(proof, twins, most):
    found = proof(25, [twins[0], "twins", 40000], f"max={most}")
    assert found["unknown"] > 1000 and found["kept"] > 1000, found


@pytest.mark.parametrize("name, flags", [("walks.cpp", "-O2"), ("walks.cpp", "-O0"), ("realigned.c", "-O2 -march=native")])
def test_every_kind_of_stack(proof, twins, program, name, flags):
    found = proof(25, [program(name, "-w", *flags.split()), "5", twins[1]])
    assert found["recalled"] > 100 and found["kept"] > 1000 and found["unknown"] == 0, found


LONG = int(os.environ.get("TM_PROOF_ROUNDS", "1"))  # 20: millions of walks


@pytest.mark.parametrize("command", [
    ["sqlite3", ":memory:", f"with recursive n(x) as (select 1 union all select x + 1 from n where x < {5000 * LONG}) "
     "select group_concat(x) from n group by x % 7 order by random();"],
    ["/usr/bin/python3", "-c",
     f"import ast, json\nfor _ in range({LONG}): ast.dump(ast.parse(open(json.decoder.__file__).read()))"],
    ["git", "-C", REPO, "log", f"-{5 * LONG}", "-p", "--stat"],
    ["clang", "-x", "c++" if LONG > 1 else "c", "-O2", "-c", "-o", "/dev/null", "-"],
])
def test_real_programs(proof, tmp_path, command):
    if not shutil.which(command[0]) or (command[0] == "git" and not (REPO / ".git").exists()):
        pytest.skip(f"{command[0]} is not installed, or there is no checkout")
    if command[0] == "clang":
        source = tmp_path / "source"
        source.write_text('#include <regex>\nstd::regex r("a*");\n' if LONG > 1 else '#include <stdio.h>\nint main(void) { return puts(""); }\n')
        command = [*command[:-1], source]
    found = proof(25, command, PYTHONMALLOC="malloc")
    assert found["recalled"] + found["kept"] > 1000 * LONG and found["unknown"] == 0, found
