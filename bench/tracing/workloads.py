"""What is run: patterns that allocators are measured with, and programs of other people. Each takes half a second untraced."""

import dataclasses
import pathlib
import shutil
import subprocess
import time
import typing

from kit import process
from kit.programs import BENCH, compile_program
from tracing import inputs


@dataclasses.dataclass
class Workload:
    """A program that does some work and ends."""

    name: str  # for --only
    title: str  # in tables
    arguments: typing.Callable  # of the scale: the command line
    stdin: typing.Callable = lambda scale: None  # of the scale: a path
    environment: dict = dataclasses.field(default_factory=dict)
    deep: bool = False  # most stacks have more than 25 frames
    scales: bool = True
    python: bool = False
    server: bool = False

    def run(self, contender, scale, changes=None, limit=120):
        """A Sample of one run under a contender."""
        return process.run(contender.command(self.arguments(scale)), {**self.environment, **contender.environment, **(changes or {})},
                           self.stdin(scale), limit)


class RedisServer(Workload):
    """redis-server on a socket in the directory, under redis-benchmark: the server's cpu time, the client's wall time."""

    def __init__(self, directory):
        super().__init__("redis", "redis-server", lambda scale: [], server=True)
        self.directory = directory

    def run(self, contender, scale, changes=None, limit=120):
        socket = self.directory / "redis.socket"
        environment = {**contender.environment, **(changes or {})}
        server = process.start(contender.command([self.program(), "--port", "0", "--unixsocket", socket, "--save", "", "--daemonize", "no",
                                                  "--dir", self.directory, "--crash-log-enabled", "no"]), environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            self.await_start(server)
            wall = self.load(socket, round(40000 * scale) or 1, limit)
            subprocess.run(["redis-cli", "-s", str(socket), "shutdown", "nosave"], capture_output=True, check=False, timeout=limit)
            code, cpu = process.wait(server, limit)
        finally:
            process.end(server)
            server.wait()
            server.stdout.close()
        if code != 0:
            raise process.Failure(f"redis-server ended with {code} under {environment or 'nothing'}")
        return process.Sample(cpu, wall)

    def program(self):
        """redis-tools brings the server's program under another name; as what it runs is decided by the name."""
        server = self.directory / "redis-server"
        if not server.exists():
            server.symlink_to(shutil.which("redis-server") or shutil.which("redis-check-rdb"))
        return server

    @staticmethod
    def await_start(server):
        for line in server.stdout:
            if "eady to accept connections" in line:
                return
        raise process.Failure("redis-server did not start")

    @staticmethod
    def load(socket, requests, limit):
        begin = time.perf_counter()
        subprocess.run(["redis-benchmark", "-s", str(socket), "-q", "-n", str(requests), "-c", "16", "-P", "8", "-r", "20000", "-d", "64",
                        "-t", "set,get,lpush,lpop,sadd,hset,zadd"], capture_output=True, check=True, timeout=limit)
        return time.perf_counter() - begin


class Collection:
    """The workloads that can be run here, and a line about each that cannot."""

    def __init__(self, directory, repository=BENCH.parent):
        self.directory, self.repository = pathlib.Path(directory), repository
        self.workloads, self.missing = [], []
        self.built = {}
        self.patterns()
        self.programs()

    def names(self):
        return [workload.name for workload in self.workloads]

    def add(self, name, command, title=None, **options):
        if shutil.which(command):
            self.workloads.append(Workload(name, title or name, **options))
        else:
            self.missing.append(f"{command} is not installed: no workload {name}")

    def own(self, source, amount, *rest, flags=("-fomit-frame-pointer",)):
        """The command line of a program of bench/workloads/, compiled when it is first run."""
        def arguments(scale):
            key = (source, flags)
            if key not in self.built:
                path = self.directory / f"{pathlib.Path(source).stem}-{len(self.built)}"
                self.built[key] = compile_program(f"workloads/{source}", path, *flags)
            return [self.built[key], round(amount * scale) or 1, *rest]
        return arguments

    def patterns(self):
        def add(name, title, *arguments, deep=False, flags=("-fomit-frame-pointer",)):
            self.workloads.append(Workload(name, title, self.own(*arguments, flags=flags), deep=deep))

        add("small", "small blocks in a loop", "small.c", 60000)
        add("larson", "larson, 2 threads", "larson.c", 120000, 2)
        add("mstress", "mstress, 2 threads", "mstress.c", 80000, 2)
        add("xmalloc", "xmalloc, 2 threads", "xmalloc.c", 2500, 2)
        add("factor", "factor (as cfrac)", "factor.c", 10)
        add("cover", "cover (as espresso)", "cover.c", 220)
        add("recursion", "recursion, 50 frames", "recursion.cpp", 800000, deep=True)
        add("recursion-fp", "recursion, frame pointers", "recursion.cpp", 800000, deep=True, flags=("-fno-omit-frame-pointer",))

    def programs(self):
        self.add("sqlite3", "sqlite3", arguments=lambda scale: ["sqlite3", ":memory:"],
                 stdin=lambda scale: self.text("sql", scale, inputs.sql))
        self.add("python3", "python3", "python3, no pymalloc", python=True, environment={"PYTHONMALLOC": "malloc"},
                 arguments=lambda scale: ["/usr/bin/python3", BENCH / "workloads" / "objects.py", round(45 * scale) or 1])
        program = "group_by(.name) | map({name: .[0].name, ids: map(.id), sum: (map(.at.y) | add), tags: (map(.tags[]) | unique)})"
        self.add("jq", "jq", arguments=lambda scale: ["jq", "-c", program, self.text("json", scale, inputs.documents)])
        self.add("z3", "z3", arguments=lambda scale: ["z3", self.text("smt2", scale, inputs.puzzles)])
        self.add("clang", "clang++", deep=True, scales=False,
                 arguments=lambda scale: ["clang++", "-std=c++17", "-O1", "-S", "-o", "/dev/null", BENCH / "workloads" / "translated.cpp"])
        self.add("git", "git", "git log -p",
                 arguments=lambda scale: ["git", "-C", self.history(), "log", "-p", "-n", round(1500 * scale) or 1])
        if (shutil.which("redis-server") or shutil.which("redis-check-rdb")) and shutil.which("redis-benchmark"):
            self.workloads.append(RedisServer(self.directory))
        else:
            self.missing.append("redis-server or redis-benchmark (redis-tools) is not installed: no workload redis")

    def text(self, kind, scale, make):
        """The path of an input, written when it is first needed."""
        path = self.directory / f"input-{scale}.{kind}"
        if not path.exists():
            path.write_text(make(scale))
        return path

    def history(self):
        """A repository with 1500 commits."""
        path = self.directory / "history.git"
        if not path.exists():
            subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", path], check=True)
            subprocess.run(["git", "-C", path, "fast-import", "--quiet"], input=inputs.history(1500).encode(), check=True)
        return path
