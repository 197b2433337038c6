"""GDB as people use it: auto-loading from /usr, gdbinit files, remote targets, rr, MI, TUI, a terminal with pager and
Ctrl-C."""

import os
import pty
import re
import select
import shutil
import socket
import subprocess
import threading
import time

import pytest

import harness
from gdb_session import PRELOADED, ask, gdb

NO_DEBUG_FILES = "set debug-file-directory /nonexistent"  # of libc: loading them takes longer than all else
BLOCKS, DEPTHS = 200000, 12

MANY = f"""
#include <stdio.h>
#include <stdlib.h>
static void *blocks[{BLOCKS}];
static void *deep(int depth, size_t size)
{{
    void *block = depth ? deep(depth - 1, size) : malloc(size);
    __asm__ volatile("" : "+r"(block));
    return block;
}}
int main(int argc, char **argv)
{{
    int count = argc > 1 ? atoi(argv[1]) : {BLOCKS};
    for (int i = 0; i < count; i++) {{
        blocks[i] = deep(i % {DEPTHS}, 40);
    }}
    puts("made");
    for (int i = 0; i < 1000; i++) {{
        free(blocks[i]);
    }}
    puts("freed");
    return blocks[count - 1] == NULL;
}}
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A program that holds 200,000 blocks (or as many as its argument says) from 12 stacks where it calls puts."""
    directory = tmp_path_factory.mktemp("many")
    (directory / "many.c").write_text(MANY)
    return harness.compile_program(directory / "many.c", directory / "many", "-g", "-O1")


# ---------------------------------------------------------------------------------------------------- loading

def overlay_usr(stage, script):
    """Runs a shell script where /usr has what is staged, for nobody else to see."""
    mount = f"mount -t overlay overlay -o lowerdir={stage}/usr:/usr /usr"
    return harness.run(["unshare", "-m", "sh", "-c", f"{mount} || exit 77\n{script}"])


def test_auto_load_from_usr(tmp_path, many):
    """make install PREFIX=/usr: GDB finds the commands when a program has loaded the tracer."""
    environment = harness.clean_environment(MAKEFLAGS=None, MAKELEVEL=None, MFLAGS=None)
    harness.run_ok(["make", "-C", harness.REPO, "--no-print-directory", f"BUILD={harness.BUILD}", "PREFIX=/usr",
                    f"DESTDIR={tmp_path}", "install"], env=environment)
    result = overlay_usr(tmp_path, f"exec gdb -q -nx -batch -iex '{NO_DEBUG_FILES}' -ex 'set environment LD_PRELOAD "
                         f"/usr/lib/libtm.so' -ex 'break puts' -ex run -ex 'tm-top 1' -ex 'python import tm; "
                         f"print(tm.is_tracing(), tm.__file__)' -ex kill {many}")
    if result.returncode == 77 or "Operation not permitted" in result.stderr:
        pytest.skip("no private mount of /usr here: " + result.stderr.strip().splitlines()[-1])
    assert f"count={BLOCKS}, average=40 B" in result.stdout, result.stderr
    assert "True /usr/share/tm/python/tm/__init__.py" in result.stdout


def test_settings_in_gdbinit(tmp_path, program):
    """Before there is any inferior; `show tm` prints all of them."""
    settings = ["limit 1", "skip make_row free*", "source off", "auto-snapshot on"]
    (tmp_path / ".gdbinit").write_text("".join(line + "\n" for line in [f"source {harness.TM_GDB}",
                                                                        *(f"set tm {setting}" for setting in settings)]))
    commands = [*ask("show", "show tm"), *ask("parameter", "python print(gdb.parameter('tm limit'))"), *PRELOADED,
                "break checkpoint", "run", *ask("top", "tm-top -by function"), "kill"]
    command_line = ["gdb", "-q", "-batch", "-iex", NO_DEBUG_FILES]
    for command in commands:
        command_line += ["-ex", command]
    result = harness.run([*command_line, program("stops.c")], env=harness.clean_environment(HOME=tmp_path, XDG_CONFIG_HOME=tmp_path))
    for text in ("tm auto-snapshot is on.", "tm limit is 1.", "tm skip is make_row free*.", "tm source is off."):
        assert text in result.stdout, result.stderr
    assert "[ Top 1 ]\nmain: size=19.5 KiB, count=20" in result.stdout


def test_completion_of_names(program):
    """Modules, functions and threads of the process; domains; files."""
    words = {"tm-top -function make_r": "tm-top -function make_row", "tm-top -include-domain ": "tm-top -include-domain 0",
             f"tm-top -include {harness.PROGRAMS}/sto": f"tm-top -include {harness.PROGRAMS}/stops.c",
             "tm-top --function=make_r": "tm-top --function=make_row"}
    session = gdb([*PRELOADED, "break checkpoint", "run", *(line for text in words for line in ask(text, f"complete {text}")),
                   *ask("module", "complete tm-top -module "), *ask("thread", "complete tm-top -thread "),
                   "python print('tid=%d' % gdb.selected_thread().ptid[1])", "kill"], program("stops.c"), early=[NO_DEBUG_FILES])
    for text, completion in words.items():
        assert completion in session[text].decode().splitlines(), (text, session[text], session.stderr)
    modules = session["module"].decode()
    assert f"tm-top -module {program('stops.c')}\n" in modules + "\n" and "libc.so.6" in modules
    tid = re.search(rb"tid=(\d+)", session.stdout).group(1)
    assert session["thread"] == b"tm-top -thread " + tid


# ----------------------------------------------------------------------------------------------------- remote

class Wire:
    """Stands between GDB and gdbserver and keeps what GDB sends."""

    def __init__(self, server_port):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.sent, self.received = b"", b""
        self._server_port = server_port
        self._thread = threading.Thread(target=self._forward)
        self._thread.start()

    def _forward(self):
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._server_port))
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            for end in select.select([client, server], [], [], harness.TIMEOUT)[0] or [client]:
                data = end.recv(1 << 16)
                if not data:
                    client.close()
                    server.close()
                    return
                if end is client:
                    self.sent += data
                    server.sendall(data)
                else:
                    self.received += data[:1 << 14]
                    client.sendall(data)

    def close(self):
        self._thread.join(harness.TIMEOUT)
        self._listener.close()

    def reads(self, first, second):
        """Lengths that GDB has asked for in packets that read memory, between two marks."""
        piece = self.sent.split(b"$qMark%d#" % first)[1].split(b"$qMark%d#" % second)[0]
        return [int(size, 16) for size in re.findall(rb"\$[mx][0-9a-f]+,([0-9a-f]+)#", piece)]


def packets_session(program, port):
    return gdb([f"target remote 127.0.0.1:{port}", "break puts", "continue", "maintenance packet qMark1", *ask("top", "tm-top 1"),
                "maintenance packet qMark2", *ask("again", "tm-top 1 -by function"), "maintenance packet qMark3",
                "tm-traces -o /dev/null", "maintenance packet qMark4", "kill"], program, early=[NO_DEBUG_FILES])


@pytest.mark.skipif(not harness.have("gdbserver"), reason="gdbserver is not installed")
def test_packets_of_gdbserver(many):
    """Few reads and large ones: what is asked for twice is not read again, and a packet is full wherever a table is."""
    count = 20000
    server = subprocess.Popen(["gdbserver", "--once", "--wrapper", "env", f"LD_PRELOAD={harness.LIBTM}", "--", "127.0.0.1:0",
                               many, str(count)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        port = next(line for line in iter(server.stderr.readline, "") if line.startswith("Listening on port")).split()[-1]
        wire = Wire(int(port))
        session = packets_session(many, wire.port)
        wire.close()
    finally:
        server.kill()
        server.communicate()
    assert f"count={count}".encode() in session["top"] and f"count={count}".encode() in session["again"], session.stderr
    full = (int(re.search(rb"PacketSize=([0-9a-f]+)", wire.received).group(1), 16) - 1) // 2
    top, again, traces = (wire.reads(mark, mark + 1) for mark in (1, 2, 3))
    assert 0 < len(top) <= 300 and 0 < len(again) <= 20, (len(top), len(again))
    # LIVE holds 8 bytes for each 32 of the heap, where the blocks need 48 each, in segments of 64 KiB
    live = count * 48 // 32 * 8 + 2 * (64 << 10)
    assert count * 48 // 32 * 8 // full < len(traces) <= live // full + 60, len(traces)
    assert sum(size == full for size in top) >= len(top) * 0.7


def test_rr(many, tmp_path):
    """A recording that is replayed: readers work, tm-start says why it does not."""
    if not harness.have("rr"):
        pytest.skip("rr is not installed")
    environment = harness.clean_environment(_RR_TRACE_DIR=tmp_path)
    recorded = harness.run(["rr", "record", "-o", tmp_path / "traced", *harness.traced([many])], env=environment)
    if not (tmp_path / "traced" / "version").exists() or "PerfCounters" in recorded.stderr:
        pytest.skip("rr cannot record here: " + (recorded.stderr.strip().splitlines() or ["no reason given"])[0])
    harness.run(["rr", "record", "-o", tmp_path / "untraced", many], env=environment)
    commands = [f"source {harness.TM_GDB}", "break puts", "continue", "tm-top 1", "tm-start"]
    arguments = [argument for command in commands for argument in ("-ex", command)]
    replayed = harness.run(["rr", "replay", tmp_path / "traced", "--", "-batch", *arguments], env=environment)
    assert f"count={BLOCKS}" in replayed.stdout, replayed.stderr
    replayed = harness.run(["rr", "replay", tmp_path / "untraced", "--", "-batch", *arguments], env=environment)
    assert "recording that is being replayed" in replayed.stderr, replayed.stderr


# --------------------------------------------------------------------------------------------------------- MI

def c_string(text):
    return text.encode().decode("unicode_escape").encode("latin-1").decode()


def test_mi(program):
    """What a console command prints comes as stream records, the same text; an error as ^error."""
    commands = ["-gdb-set environment LD_PRELOAD " + str(harness.LIBTM), f'-interpreter-exec console "source {harness.TM_GDB}"',
                "-gdb-set width 0", "-break-insert checkpoint", "-exec-run"]
    lines = "".join(command + "\n" for command in commands)
    process = subprocess.Popen(["gdb", "-q", "-nx", "-i=mi", "-iex", NO_DEBUG_FILES, str(program("stops.c"))], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=harness.clean_environment())
    try:
        process.stdin.write(lines)
        process.stdin.flush()
        assert any(line.startswith("*stopped,reason=\"breakpoint-hit\"") for line in iter(process.stdout.readline, ""))
        process.stdin.write('1-interpreter-exec console "tm-top"\n2-interpreter-exec console "tm-top -by nonsense"\n'
                            '3-interpreter-exec console "complete tm-top -by mod"\n4-data-evaluate-expression $_tm_size(rows[0])\n'
                            "5-gdb-exit\n")
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    first, rest = out.split("1^done\n")
    console = "".join(c_string(text) for text in re.findall(r'^~"(.*)"$', first, re.MULTILINE))
    cli = gdb([*PRELOADED, "break checkpoint", "run", *ask("top", "tm-top"), "kill"], program("stops.c"), early=[NO_DEBUG_FILES])
    assert cli["top"].decode() + "\n" in console
    assert "\x1b" not in console
    assert re.search(r"^2\^error,msg=\".*'nonsense' is none of", rest, re.MULTILINE)
    assert '~"tm-top -by module\\n"' in rest and '4^done,value="1000"' in rest


# --------------------------------------------------------------------------------------------------- terminal

class Terminal:
    """GDB in a pseudo-terminal."""

    def __init__(self, program, *commands):
        arguments = ["gdb", "-q", "-nx", "-iex", NO_DEBUG_FILES, "-iex", "set style enabled off", "-iex", "set width 0"]
        for command in (f"source {harness.TM_GDB}", *PRELOADED, "break puts", *commands):
            arguments += ["-ex", command]
        environment = harness.clean_environment(TERM="xterm", LINES="24", COLUMNS="80")
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.execvpe("gdb", [*arguments, str(program)], environment)
        self.text = b""

    def until(self, wanted, seconds=60):
        """What has come up to the text that is awaited, it included."""
        end = time.monotonic() + seconds
        while wanted not in self.text:
            ready, _, _ = select.select([self.file], [], [], max(0, end - time.monotonic()))
            assert ready, f"no {wanted} within {seconds} s after {self.text[-2000:]}"
            self.text += os.read(self.file, 1 << 16)
        head, self.text = self.text.split(wanted, 1)
        return head + wanted

    def type(self, line):
        os.write(self.file, line.encode() + b"\n")
        self.until(line.encode())

    def close(self):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.file)


@pytest.fixture
def terminal(many):
    opened = []

    def open_terminal(*commands):
        opened.append(Terminal(many, *commands))
        opened[0].until(b"(gdb) ")
        opened[0].type("run")
        opened[0].until(b"Breakpoint 1, ")
        opened[0].until(b"(gdb) ")
        return opened[0]

    yield open_terminal
    for one in opened:
        one.close()


def test_ctrl_c_and_pager(terminal):
    gdb_terminal = terminal("set pagination off")
    for command in ("tm-traces", "tm-top 0 -by traceback"):
        gdb_terminal.type(command)
        if command == "tm-traces":
            gdb_terminal.until(b"deep")  # it prints
        os.write(gdb_terminal.file, b"\x03")
        gdb_terminal.until(b"(gdb) ", 20)
        gdb_terminal.type("tm-top 1")
        assert f"count={BLOCKS}".encode() in gdb_terminal.until(b"every block traced")
        gdb_terminal.until(b"(gdb) ")
    gdb_terminal.type("set pagination on")
    gdb_terminal.type("set height 12")
    gdb_terminal.type("tm-traces")
    gdb_terminal.until(b"--Type <RET> for more, q to quit, c to continue without paging--")
    os.write(gdb_terminal.file, b"\n")
    gdb_terminal.until(b"--Type <RET> for more, q to quit, c to continue without paging--")
    os.write(gdb_terminal.file, b"q\n")
    gdb_terminal.until(b"(gdb) ", 20)
    gdb_terminal.type("set pagination off")
    gdb_terminal.until(b"(gdb) ")
    gdb_terminal.type("continue")  # and tm-diff knows the prompt before
    gdb_terminal.until(b"(gdb) ")
    gdb_terminal.type("tm-diff -by function")
    assert b"deep: size=7773 KiB (-39.1 KiB), count=199000 (-1000), average=40 B" in gdb_terminal.until(b"coverage")


def test_tui(terminal):
    """The text user interface comes and goes, and the command's text is in its window."""
    gdb_terminal = terminal("set pagination off")
    gdb_terminal.type("tui enable")
    os.write(gdb_terminal.file, b"tm-top 1 -by function\n")
    gdb_terminal.until(f"count={BLOCKS}".encode())
    os.write(gdb_terminal.file, b"tui disable\n")
    os.write(gdb_terminal.file, b"print 6 * 7\n")
    gdb_terminal.until(b" = 42")
    gdb_terminal.type("tm-top 1 -by function")
    assert f"deep: size=7812 KiB, count={BLOCKS}, average=40 B".encode() in gdb_terminal.until(b"coverage")
