"""Programs as Debian ships them run under the tracer with unchanged output and exit code, and their cores tell who holds the memory."""

import ctypes.util
import pathlib
import re
import shlex
import signal
import subprocess
import textwrap

import harness
import pytest

SQL = """\
create table orders(id integer primary key, customer text, product text, amount real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into orders select i, 'customer ' || (i * 7919 % 500), 'product ' || (i * 31 % 70), i % 97 from n;
create index by_customer on orders(customer);
select customer, count(*), sum(amount), group_concat(product) from orders group by customer order by 3 desc, 1 limit 20;
select product, max(id) from orders where customer like '%7' group by product order by 1;
select no_such_column from orders;
select upper(hex(zeroblob(2000)));
pragma integrity_check;
"""

PYTHON_PROGRAM = """\
import collections, decimal, hashlib, json, re, sqlite3, subprocess, sys, threading, zlib
data = {str(i): [i * j for j in range(20)] for i in range(2000)}
text = json.dumps(data)
print(hashlib.sha256(text.encode()).hexdigest(), len(zlib.compress(text.encode())))
words = collections.Counter(re.findall(r"[0-9]+", text))
print(words.most_common(5), decimal.Decimal(2).sqrt())
results = []
threads = [threading.Thread(target=lambda n=n: results.append(sum(range(n * 1000)))) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sorted(results))
database = sqlite3.connect(":memory:")
database.execute("create table t(a)")
database.executemany("insert into t values(?)", [(w,) for w in words])
print(database.execute("select count(*), max(a) from t").fetchone())
print(subprocess.run(["sh", "-c", "echo from a child; exit 5"], capture_output=True))
print("to stderr", file=sys.stderr)
sys.exit(7)
"""


def compare(arguments, tmp_path, produced=None, **options):
    """Runs the program in two equal directories, without and with the tracer: bytes and exit code must be the same.

    produced: name of a file that the program writes; must be the same, too. Returns the exit code."""
    results = []
    for name, command_line in (("plain", list(arguments)), ("traced", harness.traced(arguments))):
        directory = tmp_path / "here"  # one path for both: programs print where they are
        directory.mkdir()
        result = harness.run(command_line, cwd=directory, binary=True, **options)
        results.append((result.returncode, result.stdout, result.stderr,
                        (directory / produced).read_bytes() if produced else b""))
        directory.rename(tmp_path / name)
    assert results[0] == results[1]
    return results[0]


def test_sqlite3(tmp_path):
    status, output, errors, _ = compare(["sqlite3", ":memory:"], tmp_path, input=SQL.encode())
    assert status == 1 and b"no such column" in errors and output.count(b"\n") > 20


def test_sqlite3_file(tmp_path):
    compare(["sqlite3", "orders.db"], tmp_path, produced="orders.db", input=SQL.encode())


@pytest.mark.parametrize("python_malloc", [None, "malloc"])
def test_python3(tmp_path, python_malloc):
    environment = harness.clean_environment(PYTHONMALLOC=python_malloc, PYTHONHASHSEED=0)
    status, output, errors, _ = compare(["/usr/bin/python3", "-c", PYTHON_PROGRAM], tmp_path, env=environment)
    assert status == 7 and b"from a child" in output and errors == b"to stderr\n"


GIT_HISTORY = """\
set -e
git init -q -b main work
cd work
for i in 1 2 3 4 5 6 7 8; do
    seq 1 $((i * 300)) >numbers
    seq $i 7 2000 >"file $i"
    git add .
    git commit -q -m "commit $i"
done
git checkout -q -b side HEAD~3
echo side >side
git add side
git commit -q -m side
git checkout -q main
git merge -q -m merge side
git log -p --stat --graph
git blame numbers | tail -5
git gc -q
git fsck --strict
git grep -c 77
git rev-parse HEAD no-such-thing
"""


def test_git(tmp_path):
    """A whole session: git itself and the children that it starts."""
    environment = harness.clean_environment(
        GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null", GIT_PAGER="cat", HOME="/nonexistent",
        GIT_AUTHOR_NAME="A", GIT_AUTHOR_EMAIL="a@example.org", GIT_AUTHOR_DATE="2020-01-01T00:00:00Z",
        GIT_COMMITTER_NAME="C", GIT_COMMITTER_EMAIL="c@example.org", GIT_COMMITTER_DATE="2020-01-01T00:00:00Z")
    status, output, errors, _ = compare(["sh", "-c", GIT_HISTORY], tmp_path, env=environment)
    assert status == 128 and b"commit 8" in output and b"no-such-thing" in errors


def test_clang(tmp_path):
    source = harness.PROGRAMS / "known_cxx.cpp"
    *_, object_file = compare(["clang++", "-std=c++17", "-O2", "-g", "-c", source, "-o", "known.o"], tmp_path, produced="known.o")
    assert object_file.startswith(b"\x7fELF")


def test_clang_error(tmp_path):
    status, _, errors, _ = compare(["clang", "-fsyntax-only", "-x", "c", "-"], tmp_path,
                                   input=b"int main(void) { return no_such_name; }\n")
    assert status == 1 and b"no_such_name" in errors


def numbers_json(count):
    return ("[" + ",".join(f'{{"id": {i}, "name": "n{i}", "tags": ["a", "b{i % 9}"]}}' for i in range(count)) + "]").encode()


def test_jq(tmp_path):
    compare(["jq", "-S", "map(select(.id % 3 == 0)) | group_by(.tags[1]) | map({key: .[0].tags[1], sum: map(.id) | add})"],
            tmp_path, input=numbers_json(5000))


def test_jq_error(tmp_path):
    status, _, errors, _ = compare(["jq", "."], tmp_path, input=b'{"a": [1, 2}')
    assert status != 0 and b"parse error" in errors


def test_xz(tmp_path):
    *_, packed = zip(compare(["xz", "-9", "-T2", "--block-size=300000", "-c"], tmp_path, input=SQL.encode() * 2000))
    (tmp_path / "unpack").mkdir()
    status, output, errors, _ = compare(["xz", "-d", "-c"], tmp_path / "unpack",
                                        input=harness.run(["xz", "-9", "-c"], input=SQL.encode() * 2000, binary=True).stdout)
    assert (status, output, errors) == (0, SQL.encode() * 2000, b"") and packed


def test_xz_error(tmp_path):
    status, _, errors, _ = compare(["xz", "-d", "-c"], tmp_path, input=b"\xfd7zXZ\x00 this is no archive")
    assert status == 1 and errors


# ------------------------------------------------------------------------------------------------------------- redis


class Redis:
    """redis-server on a socket in `directory`, ready when the constructor returns."""

    def __init__(self, directory, prefix=()):
        server = harness.redis_server(directory)
        self.socket = directory / "socket"
        self.log = (directory / "log").open("w+")
        self.process = subprocess.Popen(
            [str(argument) for argument in
             (*prefix, server, "--port", "0", "--unixsocket", self.socket, "--save", "", "--enable-debug-command", "yes",
              "--daemonize", "no", "--dir", directory, "--crash-log-enabled", "no")],
            cwd=directory, env=harness.clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, preexec_fn=harness.unlimit_core)
        for line in self.process.stdout:
            self.log.write(line)
            if "eady to accept connections" in line:
                return
        raise AssertionError(f"redis-server ended with {self.process.wait()}: {pathlib.Path(self.log.name).read_text()}")

    def command(self, *arguments, **options):
        return harness.run_ok(["redis-cli", "-s", self.socket, *arguments], **options).stdout

    def wait(self):
        for line in self.process.stdout:
            self.log.write(line)
        return self.process.wait(timeout=harness.TIMEOUT)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


@pytest.fixture
def start_redis(tmp_path):
    """start_redis(name, *prefix): a server in its own directory, gone after the test."""
    servers = []

    def start(name, *prefix):
        (tmp_path / name).mkdir()
        servers.append(Redis(tmp_path / name, prefix))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


def redis_commands():
    """Commands that fill every kind of value, in redis-cli's input format."""
    lines = []
    for i in range(3000):
        lines += [f"set key:{i} {'v' * (i % 500)}", f"rpush list:{i % 50} {i}", f"hset hash:{i % 70} f{i} {i * i}",
                  f"sadd set:{i % 30} {i}", f"zadd zset:{i % 20} {i} m{i}", f"incrby counter {i}"]
    lines += ["eval 'local s = 0; for i = 1, 1000 do s = s + i end; redis.call(\"set\", \"sum\", s); return s' 0",
              "del list:3 hash:3", "expire key:1 1000000", "lrange list:7 0 -1", "no_such_command"]
    return "\n".join(lines) + "\n"


def test_redis_server(start_redis):
    """The same answers to the same commands, the same data set, and 0 from SHUTDOWN; redis-benchmark is served."""
    seen = []
    for name, prefix in (("plain", []), ("traced", harness.traced([]))):
        server = start_redis(name, *prefix)
        answers = server.command(input=redis_commands())
        digest = server.command("debug", "digest")
        harness.run_ok(["redis-benchmark", "-s", server.socket, "-q", "-n", "2000", "-c", "8", "-t", "get,set,lpush,lrange_100"])
        server.command("flushall")
        harness.run(["redis-cli", "-s", server.socket, "shutdown", "nosave"])
        seen.append((answers, digest, server.wait()))
    assert seen[0] == seen[1]
    assert seen[0][2] == 0 and "500500" in seen[0][0]


def test_snapshots_of_redis_under_load(start_redis, tmp_path):
    """--pid while redis-benchmark has it work: each snapshot agrees with itself, none has lost a block, and no request fails."""
    server = start_redis("loaded", *harness.traced([]))
    load = subprocess.Popen(["redis-benchmark", "-s", server.socket, "-l", "-n", "2000", "-c", "8", "-t", "set,get,lpush,lrange_100", "--csv"],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert load.stdout.readline().startswith('"test"')
        for number in range(5):
            snapshot = tmp_path / f"{number}.pb.gz"
            saved = harness.coreanalyze("save", "--pid", server.process.pid, snapshot, status=None)
            assert saved.returncode in (0, 1), saved.stderr  # 1: something in flight cannot be told
            answer = harness.coreanalyze_json("top", "-n", "0", snapshot, status=saved.returncode)
            traces = harness.coreanalyze_json("traces", snapshot, status=saved.returncode)["traces"]
            assert answer["coverage"]["dropped"] == 0 and answer["coverage"]["in_flight"] <= 1
            assert (len(traces), sum(trace["size"] for trace in traces)) == (answer["total"]["count"], answer["total"]["size"])
            assert answer["total"]["count"] == sum(group["count"] for group in answer["statistics"]) > 1000
            assert any(frame["function"] == "createClient" for group in answer["statistics"] for frame in group["traceback"])
            load.stdout.readline()  # it went on
    finally:
        load.kill()
        rest = load.communicate()[0]
    assert "rror" not in rest
    harness.run(["redis-cli", "-s", server.socket, "shutdown", "nosave"])
    assert server.wait() == 0


def test_redis_core(start_redis, tmp_path):
    """Redis counts its own memory: jemalloc's size classes, at most 25 % above what was asked for, while the tracer sees
    requested sizes and besides Redis's own blocks those of its libraries (a few hundred KiB)."""
    server = start_redis("core", *harness.traced([]))
    server.command(input=redis_commands())
    server.command("debug", "populate", "40000", "key", "300")
    used = int(re.search(r"used_memory:(\d+)", server.command("info", "memory"))[1])
    if not harness.kernel_writes_core_here():
        pytest.skip("core_pattern sends core files elsewhere")
    server.process.send_signal(signal.SIGQUIT)
    assert server.wait() == -signal.SIGQUIT
    core = harness.find_core(tmp_path / "core")
    answer = harness.coreanalyze_json("top", "--by", "traceback", core)
    assert used > 10 << 20
    assert 0.8 * used <= answer["total"]["size"] <= used + (1 << 20)
    assert answer["total"]["count"] > 80000
    assert answer["coverage"]["dropped"] == 0
    largest = answer["statistics"][0]
    # of the 40,000 keys that DEBUG POPULATE makes, 3,000 were there
    assert largest["size"] > 37000 * 300 and largest["count"] >= 37000
    assert all(frame["filename"] for frame in largest["traceback"]) and len(largest["traceback"]) > 4


# ------------------------------------------------------------------------------------------------------------- cores


def test_sqlite_counts_its_memory(tmp_path):
    """SQLite's own counters agree to the byte: it adds 8 bytes to every block for its size."""
    if ctypes.util.find_library("sqlite3") is None:
        pytest.skip("python3 without libsqlite3")
    script = textwrap.dedent("""\
        import ctypes, os, sqlite3
        database = sqlite3.connect(":memory:")
        database.execute("create table t(a integer primary key, b text)")
        database.executemany("insert into t values(?, ?)", ((i, "x" * (i % 300)) for i in range(20000)))
        cursor = database.execute("select * from t order by b desc")
        cursor.fetchone()
        library = ctypes.CDLL("libsqlite3.so.0")
        now, most = ctypes.c_int64(), ctypes.c_int64()
        values = []
        for counter in (0, 9):
            library.sqlite3_status64(counter, ctypes.byref(now), ctypes.byref(most), 0)
            values.append(now.value)
        os.write(1, b"%d %d" % tuple(values))
        os.abort()
        """)
    result, core = harness.crash(harness.traced(["/usr/bin/python3", "-c", script]), tmp_path)
    used, count = map(int, re.search(r"(\d+) (\d+)", result.stdout).groups())
    blocks = [trace["size"] for trace in harness.coreanalyze_json("traces", core)["traces"]
              if re.search(r"/libsqlite3\.so[^/]*\(", trace["frames"][-1][0])]
    assert used > 1 << 20
    assert (len(blocks), sum(blocks)) == (count, used + 8 * count)


def test_sqlite3_core(tmp_path):
    """Debian's stripped sqlite3 dies in the middle of a statement."""
    sql = SQL.split("select no_such")[0] + textwrap.dedent("""\
        create table report as select customer, product, amount,
            case when id = 10000 then edit('x', 'kill -ABRT $PPID #') end as e from orders order by amount desc, product;
        """)
    result, core = harness.crash(harness.traced(["sqlite3", ":memory:"]), tmp_path, input=sql)
    answer = harness.coreanalyze_json("top", "--by", "traceback", "-n", "0", core)
    rows = sum(len(f"customer {i * 7919 % 500}product {i * 31 % 70}") for i in range(1, 20001))
    assert answer["total"]["size"] > rows, "the tables alone are larger"
    assert all(statistic["size"] >= 0 and statistic["count"] > 0 for statistic in answer["statistics"])
    assert sum(statistic["size"] for statistic in answer["statistics"]) == answer["total"]["size"]
    functions = {frame["function"] for statistic in answer["statistics"] for frame in statistic["traceback"]}
    assert {"sqlite3_step", "sqlite3_malloc64"} & functions, "names of the dynamic symbol table"


def test_python3_core(tmp_path):
    """A thousand bytearrays of 10,000 bytes: CPython allocates one byte more for each."""
    script = "import os; keep = [bytearray(10000) for i in range(1000)]; os.abort()"
    _, core = harness.crash(harness.traced(["/usr/bin/python3", "-c", script]), tmp_path)
    blocks = [trace for trace in harness.coreanalyze_json("traces", core)["traces"] if trace["size"] == 10001]
    assert len(blocks) == 1000
    largest = harness.coreanalyze_json("top", "--by", "traceback", core)["statistics"][0]
    assert (largest["count"], largest["size"]) == (1000, 10001000)
    assert "Py_BytesMain" in {frame["function"] for frame in largest["traceback"]}


def test_clang_core(tmp_path):
    """The compiler proper crashes on request, with a source file's syntax trees in memory."""
    source = tmp_path / "crash.cpp"
    source.write_text("#include <string>\n#include <vector>\nstd::vector<std::string> v;\n#pragma clang __debug crash\n")
    line = harness.run_ok(["clang", "-###", "-c", source, "-o", tmp_path / "crash.o"]).stderr.splitlines()[-1]
    arguments = [argument for argument in re.findall(r'"([^"]*)"', line) if argument != "-disable-free"]
    assert arguments[1] == "-cc1"
    environment = harness.clean_environment(LLVM_DISABLE_SYMBOLIZATION="1")
    _, core = harness.crash(harness.traced(arguments), tmp_path / "run", env=environment)
    answer = harness.coreanalyze_json("top", core)
    assert answer["total"]["size"] > 2 << 20 and answer["total"]["count"] > 1000
    assert answer["coverage"]["dropped"] == 0


def stop_at_output(arguments, directory, stdin):
    """A core made by GDB at the first write to a file descriptor, when all input has been worked through."""
    (directory / "input").write_bytes(stdin)
    core = directory / "made-by-gdb"
    result = harness.run(["gdb", "-q", "-nx", "-batch", "-ex", "catch syscall write",
                          "-ex", f"run -- {shlex.join(arguments)} <{directory}/input >/dev/null",
                          "-ex", f"generate-core-file {core}", "-ex", "kill", harness.TM_RUN], cwd=directory)
    assert core.exists(), result.stdout + result.stderr
    return core


def test_jq_core(tmp_path):
    """The whole document is in memory: more bytes than its text has."""
    text = numbers_json(5000)
    core = stop_at_output(["jq", "-c", "sort_by(-.id)"], tmp_path, text)
    answer = harness.coreanalyze_json("top", core)
    assert answer["total"]["size"] > len(text) and answer["total"]["count"] > 4 * 5000


def test_xz_core(tmp_path):
    """xz -6 keeps a dictionary of 8 MiB and needs 94 MiB in all, says its manual; the input must not be compressible, so
    that output begins before the end."""
    noise = bytes(b for i in range(100) for b in (i * 2654435761 % (1 << 32)).to_bytes(4, "little"))
    core = stop_at_output(["xz", "-6", "-c"], tmp_path, noise)
    total = harness.coreanalyze_json("top", core)["total"]["size"]
    assert 80 << 20 < total < 100 << 20


def test_git_core(tmp_path):
    """git log of the history above, stopped at its first output: objects are in memory."""
    environment = harness.clean_environment(
        GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null", HOME="/nonexistent",
        GIT_AUTHOR_NAME="A", GIT_AUTHOR_EMAIL="a@example.org", GIT_COMMITTER_NAME="C", GIT_COMMITTER_EMAIL="c@example.org")
    harness.run(["sh", "-c", GIT_HISTORY], cwd=tmp_path, env=environment)
    core = stop_at_output(["git", "--no-pager", "-C", "work", "log", "-p"], tmp_path, b"")
    answer = harness.coreanalyze_json("top", "--by", "module", core)
    assert answer["total"]["count"] > 100 and answer["total"]["size"] > 10000
    assert any(frame["filename"].endswith("/git") for frame in answer["statistics"][0]["traceback"])
