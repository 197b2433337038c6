"""What is compared: nothing, floors, libtm, and other memory profilers, each as a way to start a program."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
import typing

from kit.programs import compile_interposer

LIBRARY_DIRECTORIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
HEAPTRACK = "heaptrack/libheaptrack_preload.so"
NOTHING, AGAIN, COUNT, UNWIND, LIBTM, HEAPTRACK_NULL = "nothing", "again", "counting", "unwind", "libtm", "heaptrack"


@dataclasses.dataclass
class Contender:
    """One way to start a program."""

    name: str  # the table's column
    meaning: str  # for the legend
    environment: dict = dataclasses.field(default_factory=dict)
    prefix: tuple = ()  # in front of the command line
    base: str = NOTHING  # what its cost is counted from
    scale: float = 1.0  # of the workload; its base runs at that scale beside it
    most_runs: int = 1000
    shown: bool = True  # as a column; else it is there as a base
    fits: typing.Callable = lambda workload: True
    rewrite: typing.Callable = lambda arguments: arguments

    def command(self, arguments):
        return [*self.prefix, *self.rewrite(arguments)]


def library(*names):
    """The first of these that exists below a directory of libraries, or None."""
    for name in names:
        for directory in LIBRARY_DIRECTORIES:
            if os.path.exists(f"{directory}/{name}"):
                return f"{directory}/{name}"
    return None


def has_key(build, key):
    """Whether this tracer knows an option."""
    result = subprocess.run([str(build / "bin" / "tm-run"), "-o", key, "--", "true"], capture_output=True, check=False)
    return result.returncode == 0


class Field:
    """All contenders of a run, and a line about each that is missing."""

    def __init__(self, build, directory, keys=()):
        self.build, self.directory = pathlib.Path(build), pathlib.Path(directory)
        self.contenders, self.missing = [], []
        self.keys = []  # names of the contenders that are libtm with an option
        self.floors()
        self.tracers(keys)
        self.heaptrack()
        self.sampling_allocators()
        self.python()

    def add(self, name, meaning, **options):
        self.contenders.append(Contender(name, meaning, **options))

    def find(self, name):
        """The contender of that name, or None."""
        return next((contender for contender in self.contenders if contender.name == name), None)

    def floors(self):
        self.add(NOTHING, "the program alone")
        self.add(AGAIN, "the program alone, once more: what differs from 1 here is noise")
        count = compile_interposer("count", self.directory)
        self.add(COUNT, "an interposer that counts calls", environment={"LD_PRELOAD": str(count)})
        libunwind = library("libunwind.so.8")
        if not libunwind:
            self.missing.append("libunwind (libunwind8) is not installed: nothing to compare walks with")
            return
        unwind = str(compile_interposer("unwind", self.directory, libunwind))
        self.add(UNWIND, "an interposer that calls unw_backtrace for 25 frames and keeps nothing", environment={"LD_PRELOAD": unwind})
        self.add(f"{UNWIND} 64", "the same for 64 frames", environment={"LD_PRELOAD": unwind, "BENCH_FRAMES": "64"},
                 fits=lambda workload: workload.deep, shown=False)

    def tracers(self, keys):
        preload = str(self.build / "lib" / "libtm.so")

        def traced(text):
            return {"LD_PRELOAD": preload, "TRACEMALLOC": text}

        self.add(LIBTM, "libtm, 25 frames", environment=traced("25"))
        self.add(f"{LIBTM} 64", "libtm, 64 frames", environment=traced("64"), fits=lambda workload: workload.deep, shown=False)
        for key in ("stats=0", "sample=512K", *keys):
            if has_key(self.build, key):
                self.add(key, f"libtm, 25 frames, {key}", environment=traced(f"25,{key}"))
                self.keys.append(key)
            else:
                self.missing.append(f"this libtm does not know {key}: no column for it")

    def heaptrack(self):
        preload = library(HEAPTRACK)
        if not preload:
            self.missing.append("heaptrack is not installed: nothing to compare recording with")
            return
        self.add(HEAPTRACK_NULL, "heaptrack's in-process part, writing to /dev/null",
                 environment={"LD_PRELOAD": preload, "DUMP_HEAPTRACK_OUTPUT": os.devnull})
        script = shutil.which("heaptrack")
        if not script:
            self.missing.append("the script heaptrack is not installed: its in-process part alone is compared")
        elif (pathlib.Path(script).resolve().parent / "heaptrack_gui").exists():
            self.missing.append("heaptrack would open its window at the end (heaptrack_gui is installed): its in-process part alone "
                                "is compared")
        else:
            self.add("whole", "heaptrack with its interpreter and its compressor, their cpu time too",
                     prefix=(script, "-o", str(self.directory / "heaptrack")), most_runs=3, fits=lambda workload: not workload.server)

    def sampling_allocators(self):
        jemalloc = library("libjemalloc.so.2")
        if jemalloc and jemalloc_profiles(jemalloc):
            self.add("jemalloc", "jemalloc in place of the allocator", environment={"LD_PRELOAD": jemalloc}, shown=False)
            self.add("jemalloc prof", "jemalloc with profiling at its default, a sample each 512 KiB; beside jemalloc without",
                     environment={"LD_PRELOAD": jemalloc, "MALLOC_CONF": "prof:true"}, base="jemalloc")
        else:
            self.missing.append("jemalloc (libjemalloc2) is not installed, or was compiled without profiling")
        tcmalloc = library("libtcmalloc.so.4")
        if tcmalloc:
            profile = {"HEAPPROFILE": str(self.directory / "gperftools"), "HEAP_PROFILE_ALLOCATION_INTERVAL": "0",
                       "HEAP_PROFILE_INUSE_INTERVAL": "0"}
            self.add("tcmalloc", "gperftools' allocator without profiling", environment={"LD_PRELOAD": tcmalloc},
                     scale=0.03, most_runs=3, fits=lambda workload: workload.scales, shown=False)
            self.add("HEAPPROFILE", "gperftools' heap profiler, a thirtieth of the work; beside its allocator without",
                     environment={"LD_PRELOAD": tcmalloc, **profile}, base="tcmalloc", scale=0.03, most_runs=3,
                     fits=lambda workload: workload.scales)
        else:
            self.missing.append("gperftools (libgoogle-perftools4) is not installed")

    def python(self):
        """CPython's tracemalloc sees what goes through Python's own allocators only."""
        for frames in (1, 25):
            self.add(f"-X tracemalloc={frames}", f"CPython's own tracemalloc, {frames} frame{'s' if frames > 1 else ''} of Python",
                     fits=lambda workload: workload.python, shown=False,
                     rewrite=lambda arguments, n=frames: [arguments[0], "-X", f"tracemalloc={n}", *arguments[1:]])


def jemalloc_profiles(path):
    """Whether a jemalloc was compiled with profiling: without, it complains about the option."""
    result = subprocess.run(["true"], env={**os.environ, "LD_PRELOAD": path, "MALLOC_CONF": "prof:true"}, capture_output=True,
                            text=True, check=False)
    return "Invalid conf" not in result.stderr
