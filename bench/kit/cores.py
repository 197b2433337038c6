"""Core files of traced programs."""

import pathlib
import signal

from kit import process
from kit.programs import compile_program
from kit.tables import Reporter


class Cores:
    """Makes cores in a directory; whoever asked for one deletes it."""

    def __init__(self, build, directory):
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
        if "/" in pattern or pattern.startswith("|"):
            raise process.Failure(f"core files go to {pattern!r}, not into the directory of the process")
        self.preload, self.directory = str(build / "lib" / "libtm.so"), directory

    def dump(self, name, source, keys, *arguments, flags=("-g",)):
        """(core, Tables) of one run of bench/SOURCE under libtm with these options."""
        program = self.directory / pathlib.Path(source).stem
        if not program.exists():
            compile_program(source, program, *flags)
        place = self.directory / f"of-{name}"
        place.mkdir()
        reporter = Reporter(self.directory)
        traced = reporter.environment({"LD_PRELOAD": self.preload, "TRACEMALLOC": ",".join(["25", *keys])})
        process.run([program, *arguments], traced, status=-signal.SIGABRT, limit=600, dumps_core=True, cwd=place)
        cores = list(place.glob("core*"))
        if len(cores) != 1:
            raise process.Failure(f"{program} left no core: is there a hard limit (ulimit -Hc)?")
        return cores[0], reporter.largest()
