"""Forensics about addresses: classic bugs, each compiled plainly, optimised and stripped; the history of freed
blocks; block and blocks. What is expected is read from the programs' sources: lines are found by the comments
on them."""

import csv
import io
import json
import os
import re
import shutil

import pytest

import harness
from gdb_session import ask, gdb

BUGS = harness.PROGRAMS / "bugs"
FLAVOURS = {"plain": ["-g", "-O0"], "optimised": ["-g", "-O2"], "stripped": ["-O2", "-s"]}
OPTIONS = ["-o", "freed=1000,detail=1"]
QUIET = ["--no-source"]


def line_of(source, comment):
    """Number of the one line of a program that ends with /* comment */."""
    lines = (BUGS / source).read_text().splitlines()
    found = [number for number, line in enumerate(lines, 1) if line.endswith(f"/* {comment} */")]
    assert len(found) == 1, f"{source}: {comment} is at {found}"
    return found[0]


@pytest.fixture(scope="module")
def bug(program):
    def compiled(source, flavour):
        return program(f"bugs/{source}", "-w", *FLAVOURS[flavour])

    return compiled


def report(tmp_path, command, *options):
    """The report on the core of a traced program, which is deleted."""
    _, core = harness.crash(harness.traced(command, *(options or OPTIONS)), tmp_path / "run")
    text = harness.coreanalyze(*QUIET, core).stdout
    core.unlink()
    return text


def paragraph(text, start):
    """The lines from the one that begins so to the next empty one."""
    assert f"\n{start}" in text, f"no '{start}' in\n{text}"
    return text.split(f"\n{start}", 1)[1].split("\n\n")[0]


def tracebacks(part):
    """{heading: [line numbers]} of the tracebacks in a paragraph."""
    found, current = {}, None
    for line in part.splitlines():
        match = re.match(r'  File ".*", line (\d+)$', line)
        if match:
            found.setdefault(current, []).append(int(match.group(1)))
        else:
            current = line
    return found


def lines_under(part, heading):
    return next((lines for key, lines in tracebacks(part).items() if key and heading in key), [])


# ------------------------------------------------------------------------------------------- use after free

USES = [("use_after_free.c", "read", "freed", "read"),
        ("use_after_free.c", "write", "freed", "write"),
        ("use_after_free.c", "wild", "freed", "look"),
        ("use_after_free.c", "thread", "freed", "read"),
        ("use_after_free.c", "realloc", "moved", "read"),
        ("dead_vtable.cpp", "", "freed", "called")]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("source, argument, freed, used", USES, ids=[f"{use[0]}-{use[1]}" for use in USES])
def test_use_after_free(bug, tmp_path, source, argument, freed, used, flavour):
    text = report(tmp_path, [bug(source, flavour), *argument.split()])
    part = paragraph(text, "Use after free: ")
    assert text.count("free: ") == 1 and "erflow" not in text  # one finding, and no other
    assert " is the start of a freed block of 64 bytes\n" in part
    assert "which the program took for a pointer and which stands in it" in part
    if argument == "wild":  # the kernel gives no address: it is made of the registers
        wild = paragraph(text, "The faulting instruction touches ")
        assert re.match(r"0x[0-9a-f]{13,16} \(r\w+ \+ 16\), no address that a pointer can have$", wild)
    stack, allocated, released = (lines_under(text, "Stack of thread"), lines_under(part, "was allocated"),
                                  lines_under(part, "and freed"))
    assert stack and allocated and released
    if flavour == "plain":
        assert stack[-1] == line_of(source, used)
        assert allocated[-1] == line_of(source, "allocated")
        assert line_of(source, freed) in released
    threads = set(re.findall(r" by thread (\d+)", part))
    assert len(threads) == (2 if argument == "thread" else 1)
    assert len(re.findall(r"\d\.\d{3} s before the newest record", part)) == 2


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("argument, used, words", [("reused", "read", "touches 0x7878787878787888"),
                                                   ("called", "call", "goes to 0x7878787878787878"),
                                                   ("near", "read", None)])
def test_use_after_free_and_reuse(bug, tmp_path, argument, used, words, flavour):
    """The stale pointer leads to a live block, a text, where the item was: it may be that, and all three are named."""
    text = report(tmp_path, [bug("use_after_free.c", flavour), argument])
    assert text.count("free: ") == 1 and "erflow" not in text
    if words:
        wild = paragraph(text, f"The faulting instruction {words}")
        assert wild.endswith(", no address that a pointer can have")
    part = paragraph(text, "Perhaps a use after free: ")
    assert re.match(r"0x[0-9a-f]+ is the start of a live block of 64 bytes, where a block of 64 bytes was freed before\n"
                    r"  found by: 0x(?:7878)?787878787878, which the program took for a pointer", part)
    if flavour == "plain":
        assert lines_under(text, "Stack of thread")[-1] == line_of("use_after_free.c", used)
        assert lines_under(part, "freed block was allocated")[-1] == line_of("use_after_free.c", "allocated")
        assert line_of("use_after_free.c", "freed") in lines_under(part, "and freed")
        assert lines_under(part, "live block was allocated")[-1] == line_of("use_after_free.c", "text")
    without = report(tmp_path, [bug("use_after_free.c", flavour), argument], "-n", "25")
    assert "free: " not in without and " was freed" not in without
    assert "\nWhether that pointer outlived its block is not known: " in without


FAULTS = {"deep": r"\nStack overflow: 0x[0-9a-f]+ is just below the stack of thread \d+\n",
          "mutual": r"\nStack overflow: 0x[0-9a-f]+ is just below the stack of thread \d+\n",
          "thread": r"\nStack overflow: 0x[0-9a-f]+ is just below the stack of thread \d+\n",
          "null": r"\n0xc is 12 bytes past a null pointer\n",
          "jump": r"\nThe program went to 0x0 for code, which is the null pointer\n",
          "constant": r"\n0x[0-9a-f]+ is in the variable constant\+5 of /",
          "unmapped": r"\nUse after free: 0x[0-9a-f]+ is 100 bytes inside a freed block of 1048576 bytes\n"
                      r"  found by: the address of the fault",
          "trap": r"\n\nIt holds "}


@pytest.mark.parametrize("fault", FAULTS)
def test_other_faults(bug, tmp_path, fault):
    """Each is explained, and none is put down to the freed block that the stack still points to."""
    text = report(tmp_path, [bug("faults.c", "plain"), fault])
    assert re.search(FAULTS[fault], text), text
    assert ("reed" in text) == (fault == "unmapped"), text
    without = report(tmp_path, [bug("faults.c", "plain"), fault], "-n", "25")
    assert ("outlived its block" in without) == (fault == "unmapped"), without
    stack = lines_under(text, "Stack of thread")
    assert stack and (fault != "deep" or re.search(r"\[the same \d{4,} more times\]", text))
    if fault in ("mutual", "thread"):
        assert re.search(r"\[these 2 calls \d{3,} more times\]", text), text
        assert {line_of("faults.c", "item"), line_of("faults.c", "list")} <= set(stack)


def test_use_after_free_without_history(bug, tmp_path):
    """Nothing is known, and nothing is claimed but that."""
    text = report(tmp_path, [bug("use_after_free.c", "plain"), "read"], "-n", "25")
    assert "SIGSEGV" in text and "reed block of" not in text and "se after free" not in text
    assert paragraph(text, "Whether that pointer outlived its block is not known: ").endswith(" (tm-run -o freed=COUNT).")


# ----------------------------------------------------------------------------------------------- bad frees

@pytest.mark.parametrize("flavour", FLAVOURS)
def test_double_free(bug, tmp_path, flavour):
    text = report(tmp_path, [bug("bad_free.c", flavour), "double"])
    assert "\nlibc's message: free(): double free detected in tcache 2\n" in text
    part = paragraph(text, "Double free: ")
    assert " is the start of a freed block of 100 bytes\n" in part
    if flavour == "plain":
        assert lines_under(part, "was allocated")[-1] == line_of("bad_free.c", "allocated")
        assert lines_under(part, "freed first")[-1] == line_of("bad_free.c", "first")
        assert line_of("bad_free.c", "second") in lines_under(text, "Stack of thread")


def test_double_free_without_history(bug, tmp_path):
    text = report(tmp_path, [bug("bad_free.c", "plain"), "double"], "-n", "25")
    part = paragraph(text, "Double free: free was given ")
    assert "freed block of" not in part and "no history of freed blocks was kept (tm-run -o freed=COUNT)" in part


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("where, words", [("inside", "32 bytes inside a live block of 100 bytes"),
                                          ("stack", "on the stack of thread "),
                                          ("global", "in the variable table+64 of ")])
def test_invalid_free(bug, tmp_path, where, words, flavour):
    text = report(tmp_path, [bug("bad_free.c", flavour), where])
    if flavour == "stripped" and where == "global":
        words = "in the data of "
    part = paragraph(text, "Invalid free: free was given ")
    assert f", which is {words}" in part and "invalid" in paragraph(text, "libc's message: ")
    if where == "inside" and flavour == "plain":
        assert lines_under(part, "was allocated")[-1] == line_of("bad_free.c", "allocated")


# ------------------------------------------------------------------------------------------------ overflows

@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("how, word", [("over-one", "0x841"), ("over-many", "0x4141414141414141"),
                                       ("under-one", "0x841"), ("under-many", "0x4141414141414141")])
def test_overflow(bug, tmp_path, how, word, flavour):
    """Of 2024 and 2040 bytes: malloc's word between them, for a chunk of 2048 bytes, is 0x801 before."""
    text = report(tmp_path, [bug("overflow.c", flavour), how])
    assert "\nlibc's message: " in text
    part = paragraph(text, "Overflow or underflow: ")
    assert re.search(rf"before the block of 2040 bytes at 0x[0-9a-f]+, was overwritten: it is {word}\n", part)
    assert re.search(r"\nBefore it: a live block of 2024 bytes at 0x[0-9a-f]+, which ends where that word begins", part)
    if flavour == "plain":
        assert lines_under(part, "Before it")[-1] == line_of("overflow.c", "first")
        assert lines_under(part, "behind that word")[-1] == line_of("overflow.c", "second")
        given = paragraph(text, "It happened while free was given ")
        assert lines_under(given, "was allocated")[-1] == line_of("overflow.c", "second")
        assert line_of("overflow.c", "dropped") in lines_under(text, "Stack of thread")


@pytest.mark.parametrize("flavour", ["plain", "stripped"])
def test_run_away(bug, tmp_path, flavour):
    text = report(tmp_path, [bug("overflow.c", flavour), "run-away"])
    assert " is where malloc's memory ends, " in paragraph(text, "Perhaps an overflow: ")
    assert "a live block of 2024 bytes" in paragraph(text, "Overflow or underflow: ")
    assert "\nMore such words at higher addresses are overwritten, too.\n" in text


# ------------------------------------------------------------------------------------------------ no memory

@pytest.mark.parametrize("source, words", [
    ("no_memory.c", "Out of memory: the last request of the thread, for 1048576 bytes, was refused.\n"),
    ("no_memory_new.cpp", "Out of memory: operator new threw std::bad_alloc, which nobody caught.\n")])
def test_out_of_memory(bug, tmp_path, source, words):
    limited = ["sh", "-c", 'ulimit -v 200000; exec "$0"', bug(source, "plain")]
    text = report(tmp_path, limited)
    assert f"\n{words}" in text
    part = text.split(words)[1]
    assert re.match(r"It held \d+ MiB, at most \d+ MiB; it had asked for \d+ MiB in all, in \d+\.\d{3} s: [\d.]+ \wiB per second", part)
    assert lines_under(part.split("\n\n")[0], " memory blocks: ")[-1] == line_of(source, "growing")


# ------------------------------------------------------------------------------------- the same in GDB, alarms

def environment(options="25,freed=1000,detail=1"):
    return [f"set environment LD_PRELOAD {harness.LIBTM}", f"set environment TRACEMALLOC {options}"]


@pytest.mark.parametrize("source, argument", [("use_after_free.c", "thread"), ("bad_free.c", "double"),
                                              ("overflow.c", "over-one"), ("dead_vtable.cpp", "")])
def test_same_words_in_gdb(bug, tmp_path, source, argument):
    """GDB on the process, GDB on its core and coreanalyze on the core print the same bytes."""
    binary, core = bug(source, "plain"), tmp_path / "core"
    questions = [*ask("report", "tm-report"), *ask("block", "tm-block $rdi"), *ask("stack", "tm-block $rsp"),
                 *ask("code", "tm-block $pc"), *ask("blocks", "tm-blocks -n 0")]
    live = gdb([*environment(), f"run {argument}", *questions, *ask("rdi", "output/x $rdi"), *ask("rsp", "output/x $rsp"),
                *ask("pc", "output/x $pc"), f"generate-core-file {core}"], binary)
    dead = gdb(questions, binary, core)
    addresses = {"block": live["rdi"].decode(), "stack": live["rsp"].decode(), "code": live["pc"].decode()}
    for label in ("report", "block", "stack", "code", "blocks"):
        command = {"report": ["report", core], "blocks": ["blocks", "-n", "0", core]}.get(label) or \
            ["block", core, addresses[label]]
        expected = harness.run([harness.COREANALYZE, *command], binary=True).stdout
        assert expected and dead[label] + b"\n" == expected, f"{label}: GDB on the core\n{dead.stderr.decode()}"
        assert live[label] + b"\n" == expected, f"{label}: GDB on the process\n{live.stderr.decode()}"


def test_core_of_another_machine(bug, tmp_path):
    """The program's and its libraries' files lie below a sysroot alone: the same answers, and the same bytes in GDB."""
    binary = shutil.copy(bug("use_after_free.c", "plain"), tmp_path / "moved")
    _, core = harness.crash(harness.traced([binary, "thread"], *OPTIONS), tmp_path / "run")
    frozen = re.search(r"found by: .* stands in it at (0x\w+)", harness.coreanalyze(core).stdout).group(1)
    live = harness.coreanalyze_json("blocks", core)["blocks"][0]["address"]
    commands = {"report": [], "freed": ["block", frozen], "live": ["block", live], "blocks": ["blocks"], "leaks": ["leaks"],
                "refs": ["refs", live], "chain": ["refs", "--chain", live], "dangling": ["refs", frozen]}

    def answers(*options):
        found = {}
        for label, (command, *rest) in ((label, words or ["report"]) for label, words in commands.items()):
            operands = [word for word in rest if word.startswith("0x")]
            switches = [word for word in rest if word.startswith("--")]
            found[label] = harness.coreanalyze(command, *switches, *options, core, *operands, status=None)
        return found

    here = answers()
    root = tmp_path / "root"
    for module in harness.coreanalyze_json("info", core)["modules"]:
        copy = root / module["path"].lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module["path"], copy)
    os.unlink(binary)
    without = answers()
    assert without["freed"].returncode == 1 and f"{binary}: not found" in without["freed"].stderr
    there = answers("--sysroot", root, "--debug-dir", "/usr/lib/debug")
    for label, answer in there.items():
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, here[label].stdout, ""), label
    asked = [line for label, words in commands.items() for line in ask(label, "tm-" + " ".join(words or ["report"]))]
    session = gdb([f"set sysroot {root}", "set debug-file-directory /usr/lib/debug", f"core-file {core}", *asked])
    for label in commands:
        assert session[label].decode() + "\n" == there[label].stdout, f"{label}\n{session.stderr.decode()}"


def test_no_false_alarm(bug):
    """A healthy program that is stopped, with stale pointers in plenty, and after it has freed them."""
    session = gdb([*environment(), "break item_drop", "run read", *ask("before", "tm-report"), "finish",
                   *ask("after", "tm-report"), "signal SIGQUIT", "kill"], bug("use_after_free.c", "plain"))
    for label in ("before", "after"):
        text = session[label].decode()
        assert "is stopped, it has not crashed" in text and "coverage: " in text
        for alarm in ("free:", "erflow", "freed", "Stack of", "Perhaps"):
            assert alarm not in text, text


def test_block_that_is_being_freed_is_not_used_after_that(tmp_path):
    """glibc's own word says that the block is of another arena, which it looks for where nothing is: an overflow, nothing else."""
    source = tmp_path / "smashed.c"
    source.write_text("#include <stdlib.h>\n#include <string.h>\n"
                      "int main(void) { char *volatile a = malloc(2024), *volatile b = malloc(2040);\n"
                      "    memset(a, 'E', 2048);\n    free(b);\n    return *a; }\n")
    text = report(tmp_path, [harness.compile_program([source], tmp_path / "smashed", "-g", "-O0", "-w", "-fno-builtin")])
    assert "SIGSEGV" in text and re.search(r"It happened while free was given 0x\w+, a block of 2040 bytes", text), text
    assert "Overflow or underflow" in text and "use after free" not in text.lower(), text


@pytest.mark.parametrize("signal", ["SEGV", "QUIT", "ABRT"])
def test_a_signal_from_outside_is_no_bug(bug, tmp_path, signal):
    source = tmp_path / "killed.c"
    source.write_text("#include <stdlib.h>\n#include <signal.h>\n"
                      f"int main(void) {{ char *volatile p = malloc(40); free(p); raise(SIG{signal}); return *p; }}\n")
    text = report(tmp_path, [harness.compile_program([source], tmp_path / "killed", "-w")])
    assert f"SIG{signal}" in text and "Stack of thread" in text
    for alarm in ("free:", "erflow", "freed", "Perhaps", "libc's message", "memory:"):
        assert alarm not in text, text


# --------------------------------------------------------------------------------------- history, block, blocks

HISTORY = """
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <pthread.h>
static char *kept[2000];
static void drop(int from, int to) { for (int i = from; i < to; i++) { free(kept[i]); kept[i] = NULL; } }
static void *work(void *unused) { (void)unused; drop(1000, 1500); return NULL; }
int main(void)
{
    char *old[2000];
    for (int i = 0; i < 2000; i++) { kept[i] = malloc(100 + i); old[i] = kept[i]; }
    drop(0, 1000);
    pthread_t thread;
    pthread_create(&thread, NULL, work, NULL);
    pthread_join(thread, NULL);
    char *grown = realloc(kept[1999], 1 << 20);
    for (int i = 0; i < 2000; i++) { printf("%d %p\\n", i, (void *)old[i]); }
    printf("main %p local %p grown %p\\n", (void *)(size_t)main, (void *)&thread, (void *)grown);
    fflush(stdout);
    abort();
}
"""


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """(addresses by number, other addresses by name, core)"""
    directory = tmp_path_factory.mktemp("history")
    source = directory / "history.c"
    source.write_text(HISTORY)
    binary = harness.compile_program([source], directory / "history", "-g", "-O0")
    result, core = harness.crash(harness.traced([binary], "-o", "freed=400,detail=1"), directory)
    *numbered, named = result.stdout.splitlines()
    addresses = {int(number): int(address, 16) for number, address in (line.split() for line in numbered)}
    return addresses, dict(zip(named.split()[::2], named.split()[1::2])), core


def block_of(core, address, **options):
    return harness.coreanalyze_json("block", core, hex(address) if isinstance(address, int) else address, **options)


def test_history_is_a_ring_of_each_thread(history):
    """The newest 400 blocks of each of the two threads, and no others of theirs. Each frees a few more than the
    program does."""
    addresses, _, core = history
    for number, state in ((500, "gone"), (640, "freed"), (999, "freed"), (1050, "gone"), (1140, "freed"), (1499, "freed"),
                          (1500, "live"), (1998, "live")):
        answer = block_of(core, addresses[number] + 7)
        if state == "gone":
            assert answer["state"] != "freed", number  # its memory may be in use again
            continue
        assert (answer["state"], int(answer["base"], 16), answer["offset"], answer["size"]) == \
            (state, addresses[number], 7, 100 + number)
        assert (answer["freed"] is not None) == (state == "freed")


def test_block_json(history):
    addresses, _, core = history
    answer = block_of(core, addresses[1700] + 99)
    assert list(answer) == ["address", "state", "base", "offset", "size", "domain", "allocated", "freed", "previous", "next"]
    assert list(answer["allocated"]) == ["thread", "age_seconds", "traceback"]
    assert (answer["address"], answer["state"], answer["domain"]) == (hex(addresses[1700] + 99), "live", 0)
    assert answer["previous"]["address"] == hex(addresses[1699]) and answer["previous"]["size"] == 1799
    assert answer["next"]["address"] == hex(addresses[1701]) and answer["next"]["size"] == 1801
    assert answer["allocated"]["traceback"][-1]["function"] == "main" and answer["allocated"]["age_seconds"] >= 0
    freed = block_of(core, addresses[1400])["freed"]
    assert freed["thread"] != answer["allocated"]["thread"]
    assert [frame["function"] for frame in freed["traceback"][-2:]] == ["work", "drop"]


def test_moved_by_realloc(history):
    addresses, named, core = history
    answer = block_of(core, addresses[1999])
    assert (answer["state"], answer["size"]) == ("freed", 2099)
    assert answer["freed"]["traceback"][-1]["lineno"] == 1 + HISTORY.splitlines().index(
        next(line for line in HISTORY.splitlines() if "realloc(" in line))
    assert block_of(core, named["grown"])["size"] == 1 << 20


def test_block_in_words(history):
    addresses, named, core = history

    def first(address):
        address = address if isinstance(address, str) else hex(address)
        line, rest = harness.coreanalyze("block", core, address).stdout.split("\n", 1)
        assert rest.endswith("every block traced\n")
        assert line.startswith(f"{address} is ")
        return line[len(address) + 4:]

    size = 100 + 1800
    assert first(addresses[1800]) == f"the start of a live block of {size} bytes"
    assert first(addresses[1800] + 1) == f"1 byte inside a live block of {size} bytes"
    assert first(addresses[1800] + size) == f"one past the end of a live block of {size} bytes at {addresses[1800]:#x}"
    assert first(addresses[1800] + size + 1).startswith("1 byte past the end of a live block")
    assert first(addresses[1801] - 1) == f"1 byte before a live block of {size + 1} bytes at {addresses[1801]:#x}"
    assert first(addresses[1400] + 16) == "16 bytes inside a freed block of 1500 bytes"
    assert first(named["main"]).startswith("in the function main of /")
    assert re.match(r"on the stack of thread \d+, in the frame of main, \d+ bytes above", first(named["local"]))
    assert first("0x2000000000") == "in the tracer's own memory"
    assert first("0x0") == "the null pointer" and first("0x18") == "24 bytes past a null pointer"
    assert first("0xdead00000000beef") == "no address that a pointer can have"
    assert first("0x10000") == "not mapped"


def test_what_was_there_before(tmp_path):
    """malloc gives the same memory out again: a stale pointer then points into the new block."""
    source = tmp_path / "again.c"
    source.write_text("#include <stdlib.h>\n#include <stdio.h>\nint main(void)\n{\n"
                      "    char *volatile first = malloc(60);\n    free(first);\n    char *volatile second = malloc(58);\n"
                      '    printf("%p %p\\n", (void *)first, (void *)second);\n    fflush(stdout);\n    abort();\n}\n')
    binary = harness.compile_program([source], tmp_path / "again", "-g", "-O0", "-Wno-use-after-free")
    result, core = harness.crash(harness.traced([binary], *OPTIONS), tmp_path / "run")
    first, second = result.stdout.split()
    assert first == second
    text = harness.coreanalyze("block", *QUIET, core, hex(int(first, 16) + 8)).stdout
    assert text.startswith(f"{int(first, 16) + 8:#x} is 8 bytes inside a live block of 58 bytes\n")
    assert f"\nBefore that it was in a block of 60 bytes at {first}, which is freed\n" in text
    assert lines_under(text, "Allocated by")[-1] == 7
    assert lines_under(text, "That was allocated")[-1] == 5 and lines_under(text, "and freed")[-1] == 6


def test_block_usage(history):
    core = history[2]
    for words, message in (([core], "an address expected"), ([core, "main"], "is not an address"), ([core, "0x"], "is not"),
                           ([core, "1", "2"], "unexpected operand"), ([core, "0x10000000000000000"], "is not an address")):
        assert message in harness.coreanalyze("block", *words, status=64).stderr
    saved = core.parent / "saved.pb.gz"
    harness.coreanalyze("save", core, saved)
    assert "not the memory itself" in harness.coreanalyze("block", saved, "0x10", status=64).stderr
    assert harness.coreanalyze("blocks", saved, "-n", "1").stdout.splitlines()[1].split()[:2] == ["-", str(1 << 20)]


def test_blocks(history):
    addresses, named, core = history
    live = [addresses[number] for number in range(1500, 1999)] + [int(named["grown"], 16)]
    answer = harness.coreanalyze_json("blocks", "-n", "0", "--sort", "address", "--function", "main", core)
    assert [int(block["address"], 16) for block in answer["blocks"]] == sorted(live)
    assert answer["total"]["count"] == 500 and answer["other"] == {"size": 0, "count": 0}
    assert {block["function"] for block in answer["blocks"]} == {"main"}
    three = harness.coreanalyze_json("blocks", "-n", "3", "--function", "main", core)
    assert [block["size"] for block in three["blocks"]] == [1 << 20, 2098, 2097]
    assert three["other"]["count"] == 497 and three["total"] == answer["total"]
    oldest = harness.coreanalyze_json("blocks", "-n", "2", "--sort", "age", "--function", "main", core)["blocks"]
    assert [int(block["address"], 16) for block in oldest] == [addresses[1500], addresses[1501]]
    assert oldest[0]["age_seconds"] >= oldest[1]["age_seconds"]
    limited = harness.coreanalyze_json("blocks", "--min-size", "2090", "--max-size", "1M", "-n", "0", "--function", "main", core)
    assert sorted(block["size"] for block in limited["blocks"]) == [*range(2090, 2099), 1 << 20]
    rows = list(csv.reader(io.StringIO(harness.coreanalyze("blocks", "--format", "csv", "--function", "main", core).stdout)))
    assert rows[0] == ["address", "size", "domain", "thread", "age_seconds", "filename", "lineno", "function"]
    assert [row[1] for row in rows[1:3]] == ["1048576", "2098"] and len(rows) == 11
    text = harness.coreanalyze("blocks", "-n", "1", "--function", "main", core).stdout.splitlines()
    assert re.match(rf"{named['grown']} +1048576 +\d+\.\d+ +\d+  /.*history.c:\d+$", text[1])
    assert text[2].startswith("499 other: ") and text[3].endswith(" in 500 blocks")


def test_ages_need_detail(bug, tmp_path):
    _, core = harness.crash(harness.traced([bug("bad_free.c", "plain"), "double"]), tmp_path)
    for option in (["--newer", "1"], ["--older", "1"], ["--sort", "age"], ["--thread", "1"]):
        assert "detail=1" in harness.coreanalyze("blocks", *option, core, status=64).stderr
    answer = harness.coreanalyze_json("blocks", core)["blocks"][0]
    assert answer["age_seconds"] is None and answer["thread"] is None
    assert block_of(core, answer["address"])["allocated"]["thread"] is None


def test_info_counts_the_history(history):
    info = harness.coreanalyze_json("info", history[2])
    assert info["freed_capacity"] == 400 and 800 <= info["freed_blocks"] <= 16 * 400 and "freed" in info["features"]
    assert re.search(r"\nfreed blocks remembered: \d+, at most 400 of each shard of threads\n",
                     harness.coreanalyze("info", history[2]).stdout)


def test_expressions_in_gdb(bug):
    session = gdb([*environment(), "break item_read", "run read",
                   *ask("pointer", "tm-block item"), *ask("member", "tm-block &item->name[4]"),
                   *ask("structure", "tm-block *item"), *ask("register", "tm block $rdi"),
                   *ask("json", "tm-block (char *) item + 3 --format json"), *ask("before", "tm-block -nframe 1 item"),
                   *ask("function", "tm-block main"), *ask("unknown", "tm-block nothing_of_that_name"),
                   *ask("variables", "complete tm-block share"), *ask("members", "complete tm-block item->na"),
                   *ask("options", "complete tm-block -for"), *ask("values", "complete tm-block -format "),
                   *ask("help", "help tm-block"), *ask("usage", "tm-block --help")], bug("use_after_free.c", "plain"))
    start = session["pointer"].decode().splitlines()[0]
    assert start.endswith(" is the start of a freed block of 64 bytes")
    assert session["structure"].decode().splitlines()[0] == session["register"].decode().splitlines()[0] == start
    assert session["member"].decode().splitlines()[0].endswith(" is 20 bytes inside a freed block of 64 bytes")
    assert json.loads(session["json"])["offset"] == 3
    assert session["before"].count(b"File ") < session["pointer"].count(b"File ")
    assert b" is in the function main of " in session["function"]
    assert session["unknown"] == b"" and b'No symbol "nothing_of_that_name"' in session.stderr
    assert b"Traceback" not in session.stderr and b"Python Exception" not in session.stderr
    assert b"tm-block shared" in session["variables"] and b"tm-block item->name" in session["members"]
    assert session["options"].strip() == b"tm-block -format"
    assert session["values"].split() == b"tm-block -format json tm-block -format text".split()
    assert b"Usage: tm-block [OPTION...] EXPRESSION" in session["help"] and b"EXPRESSION" in session["usage"]
