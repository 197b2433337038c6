"""Every reader gives the same: GDB on the process, GDB on its core, coreanalyze on that core, the second reader, and all of them again after
save and load. In the places where it is hardest: inside an operation, after a clear, with other domains, with and without counters."""

import json

import harness
import pytest
import second_reader
from gdb_session import ask, gdb

# tm-run's options, oracle.c's arguments
CASES = {
    "in-malloc": ((), ("malloc",)),
    "in-realloc-detail": (("-o", "detail=1"), ("realloc",)),
    "in-handler": (("-n", "60"), ("handler",)),
    "cleared-without-stats": (("-o", "stats=0"), ("free", "clear")),
}
QUESTIONS = {
    "traces": ("tm-traces --format json", ["traces", "--format", "json"]),
    "top": ("tm-top 0 --by traceback --format json", ["top", "-n", "0", "--by", "traceback", "--format", "json"]),
    "domains": ("tm-top 0 --by domain", ["top", "-n", "0", "--by", "domain"]),
    "info": ("tm-info", ["info"]),
}


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    return harness.compile_program(harness.PROGRAMS / "oracle.c", tmp_path_factory.mktemp("oracle") / "oracle", "-O2", "-g",
                                   "-fno-builtin-malloc", f"-I{harness.REPO}")


def ask_all():
    return [line for label, (command, _) in QUESTIONS.items() for line in ask(label, command)]


def without_place(traces):
    """The traces as they are in a snapshot file, which knows no addresses."""
    return [(trace["domain"], trace["size"], trace["frames"], trace["total_nframe"], trace["thread"])
            for trace in json.loads(traces)["traces"]]


@pytest.mark.parametrize("case", CASES)
def test_readers_agree(oracle, case, tmp_path):
    options, arguments = CASES[case]
    core, saved = tmp_path / "core", tmp_path / "by-gdb.tm"
    wrapper = " ".join(str(word) for word in (harness.TM_RUN, *options, "--"))
    live = gdb([f"set exec-wrapper {wrapper}", f"run {' '.join(arguments)}", *ask_all(), f"tm-save {saved}",
                f"generate-core-file {core}"], oracle)
    dead = gdb(ask_all(), oracle, core)
    for label, (_, command) in QUESTIONS.items():
        answer = harness.run([harness.COREANALYZE, *command, core], binary=True).stdout
        assert live[label] + b"\n" == answer == dead[label] + b"\n", label
    image = second_reader.read(second_reader.Core(core))
    traces = json.loads(live["traces"])["traces"]
    assert sorted((trace["domain"], int(trace["address"], 16), trace["size"]) for trace in traces) == \
        [(block.domain, block.address, block.size) for block in image.blocks]
    assert len(image.flights) == 1 and len(traces) > 500

    again = tmp_path / "by-coreanalyze.tm"
    harness.coreanalyze("save", core, again)
    for path in (saved, again):
        loaded = harness.run_ok([harness.COREANALYZE, "traces", "--format", "json", path]).stdout
        assert without_place(loaded) == without_place(live["traces"]), path
        top = json.loads(harness.run_ok([harness.COREANALYZE, *QUESTIONS["top"][1], path]).stdout)
        assert top["statistics"] == json.loads(live["top"])["statistics"] and top["total"] == json.loads(live["top"])["total"]
    core.unlink()
