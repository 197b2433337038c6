"""Whose line it is: the default list of allocator frames on real programs and libraries, and what docs/allocator-frames.md says of it."""

import os
import pathlib
import re
import signal
import subprocess

import harness
import pytest

RUST = harness.PROGRAMS / "allocations.rs"
GLIB = harness.PROGRAMS / "allocations_glib.c"


def marked_lines(source):
    lines = list(enumerate(source.read_text().splitlines(), 1))
    marked = {number for number, line in lines if "HERE" in line and "marked HERE" not in line}
    assert len(marked) > 30
    return marked, {number for number, line in lines if "MAYBE" in line}


def recent_frames(core, *options):
    """{(filename, lineno)} of the most recent frames of all live blocks."""
    traces = harness.coreanalyze_json("traces", *options, core, status=None)["traces"]
    return {tuple(trace["frames"][-1]) for trace in traces}


def assert_lines(core, source):
    """Every marked line has blocks, and no line that is not marked."""
    marked, maybe = marked_lines(source)
    got = {line for name, line in recent_frames(core) if name == str(source)}
    assert got - maybe == marked


@pytest.mark.parametrize("flags", [("-g",), ("-g", "-O")], ids=" ".join)
def test_rust(tmp_path, flags):
    """Blocks that Rust's alloc and std make for a line are the line's."""
    if not harness.have("rustc"):
        pytest.skip("needs rustc")
    source = tmp_path / "allocations.rs"
    source.write_text(RUST.read_text())
    built = harness.run(["rustc", "--edition", "2021", *flags, "-o", tmp_path / "program", source])
    if built.returncode != 0:
        pytest.skip("an older rustc: " + built.stderr.splitlines()[0])
    core = harness.crash(harness.traced([tmp_path / "program"], "-n", "100"), tmp_path / "work")[1]
    assert_lines(core, source)
    shown = {name for name, _ in recent_frames(core)}
    assert not any("/library/alloc/" in name for name in shown), shown


def test_glib(tmp_path):
    """Debian's GLib, without debug information: its helpers without names are skipped with the function that called them."""
    flags = harness.run(["pkg-config", "--cflags", "--libs", "gobject-2.0"])
    if flags.returncode != 0:
        pytest.skip("needs GLib's headers (libglib2.0-dev)")
    program = tmp_path / "program"
    harness.run_ok([harness.CC, "-g", "-O1", GLIB, "-o", program, *flags.stdout.split()])
    core = harness.crash(harness.traced([program], "-n", "100"), tmp_path / "work", env=harness.clean_environment(G_SLICE="always-malloc"))[1]
    assert_lines(core, GLIB)


def test_asprintf_without_names(tmp_path):
    """libc's blocks for asprintf, getline and their like, whether or not libc's debug information is there."""
    source = tmp_path / "texts.c"
    source.write_text("#define _GNU_SOURCE\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <wchar.h>\n"
                      "char *a, *b, *c, *d, *e; wchar_t *w; size_t size;\n"
                      "int main(void)\n{\n"
                      '    if (asprintf(&a, "%0500d", 1) < 0) return 1; /* HERE */\n'
                      '    b = strdup("text"); /* HERE */\n'
                      "    if (getline(&c, &size, stdin) < 0) return 1; /* HERE */\n"
                      '    d = realpath("/", NULL); /* HERE */\n'
                      "    e = get_current_dir_name(); /* HERE */\n"
                      '    w = wcsdup(L"wide"); /* HERE */\n'
                      "    abort();\n}\n")
    program = harness.compile_program(source, tmp_path / "texts", "-g", "-O2")
    core = harness.crash(harness.traced([program]), tmp_path / "work", input="a line\n")[1]
    marked = {number for number, line in enumerate(source.read_text().splitlines(), 1) if "HERE" in line}
    for options in ((), ("--debug-dir", tmp_path / "nowhere")):
        assert {line for name, line in recent_frames(core, *options) if name == str(source)} == marked
    saved = tmp_path / "saved.pb.gz"  # and in a snapshot file without those names
    harness.coreanalyze("save", "--debug-dir", tmp_path / "nowhere", core, saved, status=None)
    assert {line for name, line in recent_frames(saved) if name == str(source)} == marked


def crash_when(words, arguments, tmp_path, text):
    """The core of a traced program that is killed when it has printed `words`."""
    work = tmp_path / "work"
    work.mkdir()
    if not harness.kernel_writes_core_here():
        pytest.skip("core_pattern sends core files elsewhere")
    with subprocess.Popen([str(word) for word in harness.traced(arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=work,
                          preexec_fn=harness.unlimit_core, env=harness.clean_environment()) as process:
        process.stdin.write(text)
        process.stdin.flush()
        while words not in process.stdout.readline():
            assert process.poll() is None
        os.kill(process.pid, signal.SIGABRT)
    return harness.find_core(work)


def functions(core, *options):
    """{label: bytes} by function."""
    answer = harness.coreanalyze_json("top", "-n", "0", "--by", "function", *options, core, status=None)
    return {item["traceback"][0]["filename"]: item["size"] for item in answer["statistics"]}


def test_python(tmp_path):
    """Debian's python3, stripped: what hands out objects is never whose memory it is."""
    core = crash_when("ready", ["/usr/bin/python3", "-c",
                                "a = [str(i) * 20 for i in range(20000)]; b = {i: bytes(1000) for i in range(2000)}; print('ready', flush=True); input()"],
                      tmp_path, "")
    handing_out = {"PyObject_Malloc", "PyMem_Malloc", "PyUnicode_New", "PyBytes_FromStringAndSize", "PyDict_New", "PyList_New",
                   "PyMem_RawMalloc", "PyObject_Realloc", "_PyObject_GC_New", "PyTuple_New"}
    everything = functions(core, "--no-skip")
    skipped = functions(core)
    assert not handing_out & set(skipped)
    assert sum(everything.values()) == sum(skipped.values())
    # The interpreter's own arenas apart, everything has found another place.
    assert set(everything) != set(skipped)


def test_sqlite3(tmp_path):
    """Debian's sqlite3, stripped: no allocator of its own, with a name or without, is in its top ten."""
    if not harness.have("sqlite3"):
        pytest.skip("needs sqlite3")
    core = crash_when("20000", ["sqlite3", ":memory:"], tmp_path,
                      "create table t(a, b); with recursive c(x) as (select 1 union all select x + 1 from c where x < 20000) "
                      "insert into t select x, hex(randomblob(20)) from c; select count(*) from t;\n")
    everything, skipped = functions(core, "--no-skip"), functions(core)
    assert sum(everything.values()) == sum(skipped.values()) > 500000
    top = sorted(skipped, key=skipped.get)[-10:]
    assert not any(re.match(r"sqlite3(Db)?(Malloc|Realloc)|sqlite3_(malloc|realloc)", name) for name in top), top


def test_skip_extends_the_list(tmp_path):
    """--skip for a program's own allocators, in every front end: see test_gdb_snapshots.py for `set tm skip`."""
    source = tmp_path / "arena.c"
    source.write_text("#include <stdlib.h>\nvoid *p;\n__attribute__((noinline)) void *arena_push(size_t size)\n{\n    return malloc(size);\n}\n"
                      "int main(void)\n{\n    p = arena_push(777);\n    abort();\n}\n")
    program = harness.compile_program(source, tmp_path / "arena", "-g", "-O0")
    core = harness.crash(harness.traced([program]), tmp_path / "work")[1]
    assert (str(source), 5) in recent_frames(core) and (str(source), 9) not in recent_frames(core)
    assert (str(source), 9) in recent_frames(core, "--skip", "arena_*")
    gdb = harness.gdb(["set tm skip arena_*", "tm-top -no-source"], program, core)
    if "error" not in gdb.stderr.lower() and "tm-top" not in gdb.stderr:
        assert f"{source}:9: size=777 B" in gdb.stdout


# ------------------------------------------------------------------------------------------------------ the document

def sections_of_the_source():
    """{title: [glob, ...]} as allocators.c has them."""
    text = (harness.REPO / "coreanalyze" / "symbols" / "allocators.c").read_text()
    body = text[text.index("default_globs[] = {"):text.index("};", text.index("default_globs[] = {"))]
    sections, title = {}, None
    for comment, string in re.findall(r'/\* (.*?) \*/|"((?:[^"\\]|\\.)*)"', body, re.DOTALL):
        if comment:
            title = " ".join(comment.split())
            sections[title] = []
        else:
            sections[title].append(string)
    return sections


def sections_of_the_document():
    text = (harness.REPO / "docs" / "allocator-frames.md").read_text()
    found = {}
    for title, body in re.findall(r"^### (.*)\n((?:(?!^#).*\n)*)", text, re.MULTILINE):
        found[title] = re.findall(r"^    (\S.*)$", body, re.MULTILINE)
    return found


def test_the_document_lists_what_the_source_has():
    source, document = sections_of_the_source(), sections_of_the_document()
    assert list(document) == list(source)
    for title, globs in source.items():
        assert document[title] == globs, f"docs/allocator-frames.md, {title}: run docs/allocator-frames"
        assert len(set(globs)) == len(globs), title
