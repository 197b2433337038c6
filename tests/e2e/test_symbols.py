"""The symbolizer against other people's: file, line and function of every call site of compiled programs, inlined calls included;
separate debug files wherever they may lie; what it says when there is none."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import harness
import pytest

CLANG = "clang" in harness.CC
ENGINE = harness.BUILD / "obj" / "engine.a"

LINES, NAMES, NO_FILE, WRONG_BUILD_ID, UNREADABLE = 1, 2, 3, 4, 5  # enum ca_module_symbols


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """tests/programs/symbolize.c, linked with the engine as it was built."""
    assert ENGINE.exists(), f"{ENGINE} is missing: run make unit"
    flags = (harness.BUILD / "obj" / "flags").read_text().split()
    sanitizers = [flag for flag in flags if flag.startswith("-fsanitize")]
    output = tmp_path_factory.mktemp("symbolize") / "symbolize"
    harness.run_ok([harness.CC, "-std=gnu17", f"-I{harness.REPO}", *sanitizers, harness.PROGRAMS / "symbolize.c", ENGINE,
                    "-ldw", "-lelf", "-lz", "-liberty", "-o", output])
    return output


class Answer:
    """What the driver printed: frames by address, innermost first, as (function, filename, lineno, aliases)."""

    def __init__(self, text):
        self.frames = {}
        self.status, self.problem = None, ""
        for line in text.splitlines():
            if line.startswith("status "):
                self.status = int(line.split()[1])
            elif line.startswith("problem "):
                self.problem = line[len("problem "):]
            elif line:
                address, function, filename, lineno, *aliases = line.split("\t")
                self.frames.setdefault(int(address, 16), []).append((function, filename, int(lineno), aliases))

    def chains(self):
        """By address: [(filename, lineno), ...], with ("?", 0) for a frame without line."""
        return {address: [(frame[1], frame[2]) if frame[2] else ("?", 0) for frame in frames]
                for address, frames in self.frames.items()}


@pytest.fixture(scope="session")
def symbolize(driver):
    def ask(binary, addresses, *options, build_id="", environment=None):
        text = "".join(f"{address:x}\n" for address in addresses)
        result = harness.run_ok([driver, *options, binary, *([build_id] if build_id else [])], input=text,
                                env=environment or harness.clean_environment())
        answer = Answer(result.stdout)
        assert list(answer.frames) == list(dict.fromkeys(addresses))
        return answer

    return ask


def call_sites(binary):
    """Return address - 1 of every call in .text."""
    text = harness.run_ok(["objdump", "-d", "--section=.text", "--no-show-raw-insn", binary]).stdout
    sites, after_call = [], False
    for match in re.finditer(r"^\s*([0-9a-f]+):\t(\S+)", text, re.MULTILINE):
        if after_call:
            sites.append(int(match.group(1), 16) - 1)
        after_call = match.group(2).startswith("call")
    assert len(sites) > 10
    return sites


# ------------------------------------------------------------------------------------------------------ oracles

def normal(path):
    return os.path.normpath(path) if "/" in path else path


def ask_llvm(binary, addresses):
    text = "".join(f"{address:#x}\n" for address in addresses)
    output = harness.run_ok(["llvm-symbolizer", "--inlines", "--no-demangle", f"--obj={binary}"], input=text).stdout
    answers = []
    for block in output.split("\n\n"):
        lines = block.splitlines()
        frames = []
        for function, place in zip(lines[::2], lines[1::2]):
            filename, lineno, _ = place.rsplit(":", 2)
            frames.append((function, normal(filename), int(lineno)))
        if frames:
            answers.append(frames)
    return dict(zip(addresses, answers, strict=True))


def ask_addr2line(binary, addresses):
    text = "".join(f"{address:x}\n" for address in addresses)
    lines = harness.run_ok(["addr2line", "-a", "-f", "-i", "-e", binary], input=text).stdout.splitlines()
    answers, at = {}, 0
    while at < len(lines):
        address = int(lines[at], 16)
        answers[address] = []
        at += 1
        while at < len(lines) and not lines[at].startswith("0x"):
            filename, _, lineno = lines[at + 1].split(" (")[0].rpartition(":")
            answers[address].append((lines[at], normal(filename), int(lineno) if lineno.isdigit() else 0))
            at += 2
    return answers


def oracle(binary, addresses, dwarf_version):
    if harness.have("llvm-symbolizer"):
        return ask_llvm(binary, addresses)
    if dwarf_version == 5:
        pytest.skip("needs llvm-symbolizer (package llvm): addr2line of binutils 2.40 takes some of DWARF 5's files for others")
    return ask_addr2line(binary, addresses)


def demangle(names):
    text = harness.run_ok(["c++filt", "-p", "-i"], input="".join(f"{name}\n" for name in names)).stdout
    return dict(zip(names, text.splitlines(), strict=True))


def bare(name):
    """The oracle's name without the suffixes of clones."""
    return re.sub(r"(\.(part|constprop|isra|cold|lto_priv|llvm)(\.\d+)*)+$", "", name)


def assert_agrees(answer, expected):
    """Same file and line for each frame of each address; the same function, by the oracle's mangled name."""
    want = {address: [frame[1:] if frame[2] else ("?", 0) for frame in frames] for address, frames in expected.items()}
    got = answer.chains()
    wrong = [(hex(address), got[address], want[address]) for address in want if got[address] != want[address]]
    assert not wrong, f"{len(wrong)} of {len(want)}: {wrong[:3]}"
    names = demangle(sorted({bare(frame[0]) for frames in expected.values() for frame in frames}))
    for address, frames in expected.items():
        for ours, theirs in zip(answer.frames[address], frames):
            wanted = names[bare(theirs[0])]
            if theirs[2] == 0 or wanted == "??":
                continue  # oracles name the nearest symbol
            # where there is no linkage name, llvm-symbolizer gives the last part only
            assert any(name == wanted or name.endswith("::" + wanted) for name in (ours[0], *ours[3])), (hex(address), ours, theirs)


# ------------------------------------------------------------------------------------------------------ lines and inlining

VARIANTS = {
    "O0": ("-O0", 5, ()),
    "O2-dwarf4": ("-O2", 4, ()),
    "O2-dwarf5": ("-O2", 5, ()),
    "O3-no-pie": ("-O3", 5, ("-no-pie", "-fno-pie")),
    "O2-gz": ("-O2", 5, ("-gz",)),
    "O2-gz-gnu": ("-O2", 4, ("-gz=zlib-gnu",)),
    "O2-types": ("-O2", 4, ("-fdebug-types-section",)),
    "O2-types5": ("-O2", 5, ("-fdebug-types-section",)),
    "O2-gc-sections": ("-O2", 5, ("-ffunction-sections", "-Wl,--gc-sections")),
    "O2-lto": ("-O2", 5, ("-flto",)),
    "O2-minimal": ("-O2", 5, ("-g1",)),
}


def compiled(directory, source, optimize, dwarf_version, flags, name="program"):
    standard = "-std=gnu++17" if source.endswith(".cpp") else "-std=gnu17"
    if "-flto" in flags and CLANG:
        flags = (*flags, "-fuse-ld=lld")
    return harness.compile_program(harness.PROGRAMS / source, directory / name, standard, "-g", optimize,
                                   f"-gdwarf-{dwarf_version}", *flags)


@pytest.mark.parametrize("source", ["symbols.c", "symbols.cpp"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_lines_and_inlined_calls(tmp_path, symbolize, source, variant):
    optimize, dwarf_version, flags = VARIANTS[variant]
    if CLANG and "-gz=zlib-gnu" in flags:
        pytest.skip("clang has no -gz=zlib-gnu")
    if CLANG and "-flto" in flags and not harness.have("ld.lld"):
        pytest.skip("clang -flto needs lld")
    binary = compiled(tmp_path, source, optimize, dwarf_version, flags)
    sites = call_sites(binary)
    answer = symbolize(binary, sites)
    assert answer.status == LINES
    assert_agrees(answer, oracle(binary, sites, dwarf_version))
    with_line = [frames for frames in answer.frames.values() if frames[0][2] > 0]
    assert len(with_line) * 10 > len(sites) * 6
    if optimize != "-O0":
        assert any(len(frames) > 2 for frames in with_line) or "-g1" in flags


@pytest.mark.parametrize("source", ["symbols.c", "symbols.cpp"])
def test_every_instruction(tmp_path, symbolize, source):
    """First bytes of lines and of inlined calls, too; the positions of registers are such addresses."""
    binary = compiled(tmp_path, source, "-O2", 5, ())
    text = harness.run_ok(["objdump", "-d", "--section=.text", "--no-show-raw-insn", binary]).stdout
    addresses = [int(address, 16) for address in re.findall(r"^\s*([0-9a-f]+):\t", text, re.MULTILINE)]
    assert len(addresses) > 200
    assert_agrees(symbolize(binary, addresses), oracle(binary, addresses, 5))


def test_names(tmp_path, symbolize):
    """Functions are demangled, without parameters, and qualified also where the DWARF has no linkage name."""
    binary = compiled(tmp_path, "symbols.cpp", "-O2", 5, ())
    answer = symbolize(binary, call_sites(binary))
    names = {frame[0] for frames in answer.frames.values() for frame in frames}
    for name in ("main", "innermost", "middle<long, 3>", "outer::version::outermost", "(anonymous namespace)::hidden::inlined",
                 "(anonymous namespace)::hidden::called", "(anonymous namespace)::hidden::nested::member",
                 "(anonymous namespace)::local_function", "converts::converts", "converts::operator void*",
                 "converts::operator[]", "converts::operator()", "converts::as<char*>", "variadic<int, double, long>",
                 "throws", "with_c_linkage", "std::vector<int, std::allocator<int> >::push_back"):
        assert name in names, name
    assert any("lambda" in name or "$_" in name for name in names)


def test_last_instruction_of_a_call(tmp_path, symbolize):
    """A position is the call's also where the next line begins right behind it (hence return address - 1)."""
    source = tmp_path / "two.c"
    source.write_text("#include <stdlib.h>\nvoid *a, *b;\nint main(void)\n{\n    a = malloc(1);\n    abort();\n}\n")
    binary = harness.compile_program(source, tmp_path / "two", "-g", "-O0")
    sites = call_sites_of(binary, "main")
    answer = symbolize(binary, sites)
    assert [answer.frames[site][0][1:3] for site in sites] == [(str(source), 5), (str(source), 6)]


def call_sites_of(binary, function):
    text = harness.run_ok(["objdump", "-d", f"--disassemble={function}", "--no-show-raw-insn", binary]).stdout
    instructions = re.findall(r"^\s*([0-9a-f]+):\t(\S+)", text, re.MULTILINE)
    size = int(re.search(rf"^[0-9a-f]+ ([0-9a-f]+) \S+ {function}$",
                         harness.run_ok(["nm", "-S", binary]).stdout, re.MULTILINE).group(1), 16)
    starts = [int(address, 16) for address, _ in instructions]
    end = starts[0] + size
    return [(starts[i + 1] if i + 1 < len(starts) else end) - 1
            for i, (_, name) in enumerate(instructions) if name.startswith("call") and starts[i] < end]


def test_split_dwarf(tmp_path, symbolize):
    """.dwo files beside the objects; without them, lines and symbols remain."""
    for dwarf_version in (4, 5):
        directory = tmp_path / str(dwarf_version)
        directory.mkdir()
        source = directory / "symbols.c"
        shutil.copy(harness.PROGRAMS / "symbols.c", source)
        flags = ["-g", "-O2", f"-gdwarf-{dwarf_version}", "-gsplit-dwarf", "-std=gnu17", *(["-fno-split-dwarf-inlining"] if CLANG else [])]
        harness.run_ok([harness.CC, *flags, "-c", "symbols.c", "-o", "symbols.o"], cwd=directory)
        binary = harness.compile_program(directory / "symbols.o", directory / "program")
        whole = compiled(directory, "symbols.c", "-O2", dwarf_version, (), name="whole")
        sites = call_sites(binary)
        assert sites == call_sites(whole)
        relocated = {address: [(name.replace(str(harness.PROGRAMS), str(directory)), line) for name, line in chain]
                     for address, chain in symbolize(whole, sites).chains().items()}
        dwo = list(directory.glob("*.dwo"))
        assert len(dwo) == 1
        answer = symbolize(binary, sites)
        assert answer.chains() == relocated
        assert any(len(frames) > 2 for frames in answer.frames.values())
        dwo[0].unlink()
        answer = symbolize(binary, sites)
        assert {site: frames[0] for site, frames in answer.chains().items()} == {site: chain[0] for site, chain in relocated.items()}
        assert {frames[0][0] for frames in answer.frames.values()} >= {"main", "list_create"}


def test_dwz(tmp_path, symbolize):
    """Entries that dwz has moved to partial units, and to a file that several programs share."""
    if not harness.have("dwz"):
        pytest.skip("needs dwz")
    version = 4 if CLANG else 5
    one, two = (compiled(tmp_path, "symbols.cpp", optimize, version, (), name)
                for optimize, name in (("-O2", "one"), ("-O3", "two")))
    sites = call_sites(one)
    before = symbolize(one, sites)
    harness.run_ok(["dwz", "-m", tmp_path / "shared.debug", one, two])
    assert ".gnu_debugaltlink" in harness.run_ok(["readelf", "-SW", one]).stdout
    assert symbolize(one, sites).frames == before.frames
    (tmp_path / "shared.debug").unlink()
    assert symbolize(one, sites).chains().keys() == before.chains().keys()


def test_rust(tmp_path, symbolize):
    if not harness.have("rustc"):
        pytest.skip("needs rustc")
    source = tmp_path / "program.rs"
    source.write_text("""
use std::collections::HashMap;
trait Grow { fn grow(&self, count: usize) -> Vec<String>; }
struct Word { text: String }
impl Grow for Word {
    #[inline(never)]
    fn grow(&self, count: usize) -> Vec<String> { (0..count).map(|i| format!("{}{}", self.text, i)).collect() }
}
#[inline(never)]
fn fill<T: Clone>(value: T, count: usize) -> Vec<T> { let mut all = Vec::new(); for _ in 0..count { all.push(value.clone()); } all }
fn main() {
    let word = Word { text: std::env::args().next().unwrap() };
    let mut table = HashMap::new();
    for (i, s) in word.grow(10).into_iter().enumerate() { table.insert(s, i); }
    println!("{} {}", table.len(), fill(word.text, 3).len());
}
""")
    for mangling in ("legacy", "v0"):
        binary = tmp_path / mangling
        result = harness.run(["rustc", "-g", "-O", "-C", f"symbol-mangling-version={mangling}", "-o", binary, source])
        if result.returncode != 0 and mangling == "legacy":
            continue  # newer compilers have v0 only
        assert result.returncode == 0, result.stderr
        sites = [site for site in call_sites(binary)][:20000]
        answer = symbolize(binary, sites)
        if harness.have("llvm-symbolizer"):
            want = {address: [frame[1:] if frame[2] else ("?", 0) for frame in frames]
                    for address, frames in ask_llvm(binary, sites).items()}
            assert answer.chains() == want
        names = {frame[0] for frames in answer.frames.values() for frame in frames}
        assert any(name.endswith("program::fill") or name.startswith("program::fill::<") for name in names)
        assert any(name.startswith("<program::Word as program::Grow>::grow") for name in names)
        assert not any(re.search(r"::h[0-9a-f]{16}$|\$LT\$", name) for name in names)


# ------------------------------------------------------------------------------------------------------ separate files

@pytest.fixture(scope="session")
def separated(tmp_path_factory, symbolize):
    """A program with a build-id, its debug file, its stripped copy, and the answers with everything in one file."""

    class Separated:
        directory = tmp_path_factory.mktemp("separated")
        whole = compiled(directory, "symbols.cpp", "-O2", 5, ("-Wl,--build-id=sha1",), name="whole")
        debug = directory / "whole.dbg"
        stripped = directory / "stripped"
        sites = call_sites(whole)
        build_id = re.search(r"Build ID: ([0-9a-f]+)", harness.run_ok(["readelf", "-n", whole]).stdout).group(1)
        chains = symbolize(whole, sites).chains()
        names = {site: [frame[0] for frame in frames] for site, frames in symbolize(whole, sites).frames.items()}

        def place_stripped(self, path, *, link=None):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.stripped, path)
            if link:
                harness.run_ok(["objcopy", f"--add-gnu-debuglink={link}", path])
            return path

        def place_debug(self, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.debug, path)
            return path

        def by_build_id(self, root):
            return root / ".build-id" / self.build_id[:2] / (self.build_id[2:] + ".debug")

        def assert_whole(self, answer):
            assert answer.status == LINES and answer.problem == ""
            assert answer.chains() == self.chains
            assert {site: [frame[0] for frame in frames] for site, frames in answer.frames.items()} == self.names

    harness.run_ok(["objcopy", "--only-keep-debug", Separated.whole, Separated.debug])
    harness.run_ok(["strip", "-o", Separated.stripped, Separated.whole])
    return Separated()


def test_debug_file_beside_the_program(tmp_path, symbolize, separated):
    debug = separated.place_debug(tmp_path / "program.debug")
    binary = separated.place_stripped(tmp_path / "program", link=debug)
    separated.assert_whole(symbolize(binary, separated.sites, build_id=separated.build_id))


def test_debug_file_in_dot_debug(tmp_path, symbolize, separated):
    debug = separated.place_debug(tmp_path / ".debug" / "program.debug")
    binary = separated.place_stripped(tmp_path / "program", link=debug)
    separated.assert_whole(symbolize(binary, separated.sites, build_id=separated.build_id))


def test_debug_file_by_path(tmp_path, symbolize, separated):
    directory = tmp_path / "debug"
    debug = separated.place_debug(directory / str(tmp_path / "bin" / "program.debug").lstrip("/"))
    binary = separated.place_stripped(tmp_path / "bin" / "program", link=debug)
    separated.assert_whole(symbolize(binary, separated.sites, "--debug-dir", directory))
    other = symbolize(binary, separated.sites, "--debug-dir", tmp_path / "nowhere")
    assert other.status == NAMES and other.problem == ""


def test_debug_file_by_build_id(tmp_path, symbolize, separated):
    separated.place_debug(separated.by_build_id(tmp_path / "debug"))
    binary = separated.place_stripped(tmp_path / "program")
    directories = f"{tmp_path / 'nowhere'}:{tmp_path / 'debug'}"
    separated.assert_whole(symbolize(binary, separated.sites, "--debug-dir", directories))


def test_debug_file_of_another_build_is_not_used(tmp_path, symbolize, separated):
    other = compiled(tmp_path, "symbols.cpp", "-O3", 5, ("-Wl,--build-id=sha1",), name="other")
    debug = tmp_path / "program.debug"
    harness.run_ok(["objcopy", "--only-keep-debug", other, debug])
    binary = separated.place_stripped(tmp_path / "program", link=debug)
    assert symbolize(binary, separated.sites, "--debug-dir", tmp_path / "nowhere").status == NAMES


def test_debug_file_stands_in_for_a_missing_program(tmp_path, symbolize, separated):
    separated.place_debug(separated.by_build_id(tmp_path / "debug"))
    separated.assert_whole(rename(symbolize(tmp_path / "gone", separated.sites, "--debug-dir", tmp_path / "debug",
                                            build_id=separated.build_id), tmp_path / "gone", separated.whole))


def rename(answer, old, new):
    for frames in answer.frames.values():
        frames[:] = [(function, filename.replace(f"{old}(", f"{new}("), lineno, aliases)
                     for function, filename, lineno, aliases in frames]
    return answer


def test_mini_debug_info(tmp_path, symbolize, separated):
    """.gnu_debugdata: the symbols that .dynsym has not, compressed."""
    mini = tmp_path / "mini"
    shutil.copy(separated.whole, mini)
    harness.run_ok(["objcopy", "--strip-debug", mini])
    harness.run_ok(["xz", "-f", "-k", mini])
    binary = separated.place_stripped(tmp_path / "program")
    harness.run_ok(["objcopy", f"--add-section=.gnu_debugdata={mini}.xz", binary])
    answer = symbolize(binary, separated.sites, "--debug-dir", tmp_path / "nowhere")
    assert answer.status == NAMES
    assert {frames[0][0] for frames in answer.frames.values()} >= {"main", "(anonymous namespace)::local_function"}
    assert any(frames[0][1] == f"{binary}((anonymous namespace)::local_function)" for frames in answer.frames.values())


def test_symbols_only(tmp_path, symbolize, separated):
    binary = separated.place_stripped(tmp_path / "program")
    answer = symbolize(binary, separated.sites, "--debug-dir", tmp_path / "nowhere")
    assert answer.status == NAMES and answer.problem == ""
    for site, frames in answer.frames.items():
        (function, filename, lineno, _), = frames
        assert lineno == 0
        assert filename == (f"{binary}(+{site:#x})" if function == "?" else f"{binary}({function})")
    assert any(frames[0][0] == "?" for frames in answer.frames.values())


def test_symbol_covers_its_size_only(tmp_path, symbolize):
    """Code behind the last symbol, and between two, has no name."""
    source = tmp_path / "gap.S"
    source.write_text(".globl main\n.type main,@function\nmain: xor %eax,%eax\n ret\n.size main,.-main\n"
                      ".fill 32,1,0x90\n.globl after\n.type after,@function\nafter: call main\n nop\n.size after,.-after\n"
                      ".fill 16,1,0x90\n.section .note.GNU-stack,\"\",@progbits\n")
    binary = harness.compile_program(source, tmp_path / "gap")
    symbols = dict(reversed(line.split()[::2]) for line in harness.run_ok(["nm", binary]).stdout.splitlines()
                   if len(line.split()) == 3)
    start, after = int(symbols["main"], 16), int(symbols["after"], 16)
    names = symbolize(binary, [start, start + 2, start + 3, after - 1, after, after + 5, after + 6]).frames
    assert [frames[0][0] for frames in names.values()] == ["main", "main", "?", "?", "after", "after", "?"]


def test_libc(symbolize):
    """A real library, with Debian's debug file where that is installed: every call site."""
    libc = pathlib.Path(re.search(r"=> (\S+/libc\.so\.6)", harness.run_ok(["ldd", "/bin/sh"]).stdout).group(1)).resolve()
    sites = call_sites(libc)
    answer = symbolize(libc, sites)
    malloc = next(int(line.split()[0], 16) for line in harness.run_ok(["nm", "-D", libc]).stdout.splitlines()
                  if re.search(r" malloc@@", line))
    function, _, _, aliases = symbolize(libc, [malloc]).frames[malloc][-1]
    assert function == "malloc" and "__libc_malloc" in aliases
    if answer.status != LINES:
        assert answer.status == NAMES
        pytest.skip("no debug information of libc (libc6-dbg)")
    expected = oracle(libc, sites, 5)
    # Debian's compilation directories are relative, and oracles put them down twice
    want = {site: [(os.path.basename(frame[1]), frame[2]) if frame[2] else ("?", 0) for frame in frames]
            for site, frames in expected.items()}
    got = {site: [(os.path.basename(name), line) for name, line in chain] for site, chain in answer.chains().items()}
    wrong = [(hex(site), got[site], want[site]) for site in want if got[site] != want[site]]
    assert not wrong, f"{len(wrong)} of {len(want)}: {wrong[:3]}"


# ------------------------------------------------------------------------------------------------------ build-ids, sysroot, names

def test_wrong_build_id(symbolize, separated):
    wanted = "ab" * 20
    answer = symbolize(separated.whole, separated.sites[:1], build_id=wanted)
    assert answer.status == WRONG_BUILD_ID
    for text in (str(separated.whole), wanted, separated.build_id, "--sysroot", "--debug-dir"):
        assert text in answer.problem
    assert answer.frames[separated.sites[0]] == [("?", f"{separated.whole}(+{separated.sites[0]:#x})", 0, [])]


def test_file_without_build_id(tmp_path, symbolize):
    binary = compiled(tmp_path, "symbols.c", "-O0", 5, ("-Wl,--build-id=none",))
    assert symbolize(binary, call_sites(binary)).status == LINES
    answer = symbolize(binary, [0x1000], build_id="abcdef0123")
    assert answer.status == WRONG_BUILD_ID and "its build-id is none" in answer.problem


def test_missing_file(tmp_path, symbolize):
    gone = tmp_path / "gone"
    answer = symbolize(gone, [0x1234], build_id="00112233")
    assert answer.status == NO_FILE
    assert str(gone) in answer.problem and "00112233" in answer.problem and "--sysroot" in answer.problem
    assert answer.frames[0x1234] == [("?", f"{gone}(+0x1234)", 0, [])]


@pytest.mark.parametrize("kind", ["empty", "text", "directory", "fifo", "cut"])
def test_unreadable_file(tmp_path, symbolize, separated, kind):
    path = tmp_path / "module"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "cut":
        path.write_bytes(separated.whole.read_bytes()[:-1000])
    else:
        path.write_bytes(b"" if kind == "empty" else b"#!/bin/sh\n" * 100)
    answer = symbolize(path, [0x1234])
    assert answer.status == UNREADABLE and str(path) in answer.problem
    assert answer.frames[0x1234] == [("?", f"{path}(+0x1234)", 0, [])]


def test_deleted_program(tmp_path, symbolize, separated):
    """The kernel's mark is no part of the name; the file that has the name now is used when it is the same build."""
    name = f"{separated.whole} (deleted)"
    answer = symbolize(name, separated.sites, build_id=separated.build_id)
    separated.assert_whole(answer)
    answer = symbolize(name, separated.sites[:1], build_id="ab" * 20)
    assert answer.status == WRONG_BUILD_ID
    gone = symbolize(f"{tmp_path}/gone (deleted)", [0x10])
    assert gone.status == NO_FILE and gone.frames[0x10][0][1] == f"{tmp_path}/gone(+0x10)"


def test_sysroot(tmp_path, symbolize, separated):
    root = tmp_path / "root"
    separated.place_debug(separated.by_build_id(root / "usr/lib/debug"))
    separated.place_stripped(root / "opt/real/program")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/program").symlink_to("/opt/real/program")  # absolute: starts at the root
    answer = symbolize("/usr/bin/program", separated.sites, "--sysroot", root, build_id=separated.build_id)
    separated.assert_whole(rename(answer, "/usr/bin/program", separated.whole))


def test_sysroot_never_falls_back_to_the_host(tmp_path, symbolize, separated):
    root = tmp_path / "root"
    root.mkdir()
    answer = symbolize(separated.whole, separated.sites[:1], "--sysroot", root, build_id=separated.build_id)
    assert answer.status == NO_FILE and str(root) in answer.problem
    (root / "escape").symlink_to(f"../../../../../../../../../../../..{separated.whole}")
    assert symbolize("/escape", separated.sites[:1], "--sysroot", root).status == NO_FILE


def test_source_map(symbolize, separated):
    sources = str(harness.PROGRAMS)
    answer = symbolize(separated.whole, separated.sites, "--source-map", f"{sources[:-1]}=/wrong", "--source-map",
                       f"{sources}/=/elsewhere/", "--source-map", f"{sources}=/second")
    names = {frame[1] for frames in answer.frames.values() for frame in frames if frame[2]}
    assert "/elsewhere/symbols.cpp" in names
    assert not any(name.startswith((sources, "/wrong", "/second")) for name in names)
    assert any(name.startswith("/usr/") for name in names)


def test_relative_compilation_directory(tmp_path, symbolize):
    """Names are made absolute with the compilation directory, "." and ".." taken out textually."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "inline.h").write_text(
        "#include <stdlib.h>\nstatic inline __attribute__((always_inline)) void *get(void) { return malloc(3); }\n")
    (tmp_path / "a" / "b" / "main.c").write_text('#include "inline.h"\nvoid *p;\nint main(void) { p = get(); abort(); }\n')
    for dwarf_version in (4, 5):
        binary = tmp_path / f"program{dwarf_version}"
        harness.run_ok([harness.CC, "-g", f"-gdwarf-{dwarf_version}", "-O1", "-I../.././include", "./main.c", "-o", binary],
                       cwd=tmp_path / "a" / "b")
        site = call_sites_of(binary, "main")[0]
        assert symbolize(binary, [site]).chains()[site] == [(f"{tmp_path}/include/inline.h", 2), (f"{tmp_path}/a/b/main.c", 3)]



# ------------------------------------------------------------------------------------------------------ allocator frames

@pytest.mark.parametrize("flags", [("-O0",), ("-O2",), ("-O2", "-D_GLIBCXX_DEBUG"), ("-O1", "-stdlib=libc++")], ids=" ".join)
def test_blocks_belong_to_the_users_lines(tmp_path, flags):
    """Every block that library code makes for a line of the user's is the line's, and no line is left out."""
    source = harness.PROGRAMS / "containers.cpp"
    binary = tmp_path / "containers"
    command = [harness.CXX, "-std=gnu++17", "-g", *flags, source, "-o", binary]
    if "-stdlib=libc++" in flags and (not CLANG or harness.run(command).returncode != 0):
        pytest.skip("needs clang and libc++")
    harness.run_ok(command)
    (tmp_path / "input").write_text("a line\n" * 10)
    with open(tmp_path / "input", encoding="ascii") as text:
        _, core = harness.crash(harness.traced([binary], "-n", "100"), tmp_path / "work", stdin=text)
    traces = harness.coreanalyze_json("traces", core, status=None)["traces"]
    recent = {tuple(trace["frames"][-1][:2]) for trace in traces}
    got = {line for name, line in recent if name == str(source)}
    lines = list(enumerate(source.read_text().splitlines(), 1))
    marked = {number for number, line in lines if "/* HERE */" in line}
    assert len(marked) > 30
    assert got - {number for number, line in lines if "/* MAYBE */" in line} == marked
    others = {name for name, _ in recent if name != str(source)}
    assert not any("/c++/" in name for name in others), others


# ------------------------------------------------------------------------------------------------------ servers, packages of split units

class DebugServer:
    """A debuginfod on loopback that has what lies in `directory`; its log names what it was asked for."""

    def __init__(self, directory, work):
        self.log = work / "debuginfod.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(["debuginfod", "-vvv", "-d", ":memory:", "-p", str(self.port), "-F", str(directory)],
                                        stdout=open(self.log, "wb"), stderr=subprocess.STDOUT, cwd=work,
                                        env=harness.clean_environment(HOME=work))
        self.environment = harness.clean_environment(DEBUGINFOD_URLS=f"http://127.0.0.1:{self.port}", HOME=work,
                                                     DEBUGINFOD_CACHE_PATH=work / "cache", DEBUGINFOD_TIMEOUT="20")

    def wait_for(self, kind, build_id):
        """Until its first scan has found the file."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/buildid/{build_id}/{kind}", timeout=10) as answer:
                    return len(answer.read())
            except OSError:
                time.sleep(0.05)  # nothing tells when it is ready
        pytest.fail(f"debuginfod has no {kind} of {build_id}: {self.log.read_text()[-2000:]}")

    def asked_for(self):
        return set(re.findall(r"/buildid/([0-9a-f]+)/(\w+)", self.log.read_text()))

    def close(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def debuginfod(tmp_path, separated):
    """A server with the stripped program and its debug information, which are nowhere else."""
    if not harness.have("debuginfod"):
        pytest.skip("needs debuginfod")
    store, work = tmp_path / "store", tmp_path / "server"
    work.mkdir()
    separated.place_stripped(store / "program")
    separated.place_debug(store / "program.debug")
    server = DebugServer(store, work)
    try:
        server.wait_for("debuginfo", separated.build_id)
        server.wait_for("executable", separated.build_id)
        yield server
    finally:
        server.close()


def test_debuginfod(tmp_path, symbolize, separated, debuginfod):
    """Debug information of a program that is here, and of one that is not, by build-id alone."""
    binary = separated.place_stripped(tmp_path / "program")
    nowhere = ("--debug-dir", tmp_path / "nowhere")
    assert symbolize(binary, separated.sites, *nowhere).status == NAMES
    separated.assert_whole(symbolize(binary, separated.sites, *nowhere, environment=debuginfod.environment))
    gone = symbolize(tmp_path / "gone", separated.sites, *nowhere, build_id=separated.build_id, environment=debuginfod.environment)
    separated.assert_whole(rename(gone, tmp_path / "gone", separated.whole))
    other = symbolize(tmp_path / "gone", separated.sites[:1], *nowhere, build_id="ab" * 20, environment=debuginfod.environment)
    assert other.status == NO_FILE and "ab" * 20 in other.problem


def test_debuginfod_for_a_moved_core(tmp_path, debuginfod, separated):
    """A core whose program is gone: the server is asked for what is printed, and for nothing else."""
    source = tmp_path / "leak.c"
    source.write_text("#include <stdlib.h>\nvoid *p;\nint main(void)\n{\n    p = malloc(4321);\n    abort();\n}\n")
    store = tmp_path / "store"
    program = harness.compile_program(source, tmp_path / "leak", "-g", "-Wl,--build-id=sha1")
    build_id = re.search(r"Build ID: ([0-9a-f]+)", harness.run_ok(["readelf", "-n", program]).stdout).group(1)
    core = harness.crash(harness.traced([program]), tmp_path / "work")[1]
    program.rename(store / "leak")
    debuginfod.process.send_signal(signal.SIGUSR1)  # look again
    debuginfod.wait_for("debuginfo", build_id)
    debuginfod.wait_for("executable", build_id)
    missing = harness.coreanalyze("top", "--no-source", core, status=1)
    assert f"{program}(+0x" in missing.stdout and f"{program}: not found, build-id {build_id}" in missing.stderr
    debuginfod.log.write_text("")
    answer = harness.coreanalyze("top", "--no-source", "-n", "1", core, env=debuginfod.environment)
    assert f"{source}:5: size=4321 B, count=1, average=4321 B" in answer.stdout and answer.stderr == ""
    assert {asked for asked, _ in debuginfod.asked_for()} == {build_id}


def test_debuginfod_that_does_not_answer(tmp_path, symbolize, separated):
    """No server there: as without one, and without delay."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        environment = harness.clean_environment(DEBUGINFOD_URLS=f"http://127.0.0.1:{closed.getsockname()[1]}", HOME=tmp_path,
                                                DEBUGINFOD_CACHE_PATH=tmp_path / "cache", DEBUGINFOD_TIMEOUT="20")
        begin = time.monotonic()
        answer = symbolize(tmp_path / "gone", separated.sites[:1], build_id="ab" * 20, environment=environment)
    assert answer.status == NO_FILE and time.monotonic() - begin < 15


@pytest.mark.parametrize("dwarf_version", [4, 5])
def test_split_dwarf_package(tmp_path, symbolize, dwarf_version):
    """PROGRAM.dwp, as dwp puts .dwo files together."""
    tool = "llvm-dwp" if dwarf_version == 5 and harness.have("llvm-dwp") else "dwp"
    if not harness.have(tool):
        pytest.skip(f"needs {tool}")
    source = tmp_path / "symbols.c"
    shutil.copy(harness.PROGRAMS / "symbols.c", source)
    flags = ["-g", "-O2", f"-gdwarf-{dwarf_version}", "-gsplit-dwarf", "-std=gnu17", *(["-fno-split-dwarf-inlining"] if CLANG else [])]
    harness.run_ok([harness.CC, *flags, "-c", "symbols.c", "-o", "symbols.o"], cwd=tmp_path)
    binary = harness.compile_program(tmp_path / "symbols.o", tmp_path / "program")
    sites = call_sites(binary)
    loose = symbolize(binary, sites)
    if harness.run([tool, "-e", binary, "-o", f"{binary}.dwp"], cwd=tmp_path).returncode != 0:
        pytest.skip(f"{tool} cannot put DWARF {dwarf_version} of this compiler together")
    for file in tmp_path.glob("*.dwo"):
        file.unlink()
    assert any(len(frames) > 2 for frames in loose.frames.values())
    packed = symbolize(binary, sites)
    assert packed.status == LINES and packed.frames == loose.frames
    package = pathlib.Path(f"{binary}.dwp")
    contents = package.read_bytes()
    for size in range(0, len(contents), max(1, len(contents) // 40)):  # what is cut is of no use, or whole
        package.write_bytes(contents[:size])
        got = symbolize(binary, sites).chains()
        assert {site: chain[0] for site, chain in got.items()} == {site: chain[0] for site, chain in loose.chains().items()}


def test_sections_compressed_by_zstd(tmp_path, symbolize):
    """Read where libelf can, and where it cannot the symbols remain."""
    binary = compiled(tmp_path, "symbols.c", "-O2", 5, ())
    sites = call_sites(binary)
    whole = symbolize(binary, sites)
    if harness.run(["objcopy", "--compress-debug-sections=zstd", binary]).returncode != 0:
        pytest.skip("objcopy cannot compress by zstd")
    assert "ZSTD" in harness.run(["readelf", "-tW", binary]).stdout
    got = symbolize(binary, sites)
    readable = harness.run(["eu-readelf", "--debug-dump=line", binary]).stderr == ""
    if readable and got.status == LINES:
        assert got.chains() == whole.chains()
    else:
        assert got.status == NAMES and got.problem == ""
        assert {frames[0][0] for frames in got.frames.values()} >= {"main", "list_create"}


def test_short_names(tmp_path):
    """--short-names in text and folded output; data stay as they are."""
    source = tmp_path / "names.cpp"
    source.write_text("#include <cstdlib>\n#include <map>\n#include <string>\n"
                      "template <typename T> struct holder { __attribute__((noinline)) void *fill(T &) { return std::malloc(777); } };\n"
                      "void *kept;\nstd::map<std::string, std::string> table;\n"
                      "int main() { kept = holder<std::map<std::string, std::string>>().fill(table); std::abort(); }\n")
    program = harness.compile_program(source, tmp_path / "names", "-g", "-O1")
    _, core = harness.crash(harness.traced([program]), tmp_path / "work")
    short = "holder<std::map<std::string, std::string>>::fill"
    choose = ("--by", "function", "--function", "holder*")
    assert f"{short}: size=777 B" in harness.coreanalyze("top", "--short-names", *choose, core).stdout
    long = harness.coreanalyze("top", *choose, core).stdout
    assert short not in long and "std::allocator<" in long
    folded = harness.coreanalyze("top", "--short-names", "--format", "folded", "--function", "holder*", core).stdout
    assert re.search(rf"^.*;main;{re.escape(short)} 777$", folded, re.MULTILINE)
    for form in ("json", "csv"):
        assert harness.coreanalyze("top", "--short-names", "--format", form, core).stdout == \
            harness.coreanalyze("top", "--format", form, core).stdout
