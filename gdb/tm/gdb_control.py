"""The tm-* commands that change what the tracer does in a live process. They call nothing there: they write a
request that the tracer obeys at its next operation."""

import gdb

from . import engine
from . import gdb_attach
from . import gdb_inferior


_RANGE = "the number of frames must be in range [1; 65535]"


class _Control(gdb.Command):
    """A command that asks the tracer in the live process for something."""

    name = None
    code = None  # of the request
    done = None  # what to say

    def __init__(self, gdb_name):
        super().__init__(gdb_name, gdb.COMMAND_RUNNING, gdb.COMPLETE_NONE)

    def invoke(self, argument, _from_tty):
        self.dont_repeat()
        if argument:
            raise gdb.GdbError("tm-%s takes no argument." % self.name)
        try:
            target = gdb_inferior.current_target()
            if target.state().tracing:
                target.request(self.code)
                gdb.write(self.done + "\n")
            else:
                gdb.write("Not tracing: nothing to do. tm-start starts it.\n")
        except engine.EngineError as error:
            raise gdb.GdbError(str(error))


class Start(_Control):
    """Start tracing in the live process.

Usage: tm-start [NFRAME]

NFRAME is how many frames are kept of each traceback, 1 to 65535, 25 by default. Nothing happens while the
process is traced. A process that was started without the tracer gets it now: libtm.so is loaded in a thread
that is outside of the allocator and the loader, or comes to malloc next, while the others run on for that
moment; then all calls of the malloc family go through it until tm-stop. Blocks from before are not known.

Example:
  tm-start 60"""

    name = "start"

    def invoke(self, argument, _from_tty):
        self.dont_repeat()
        limit = self._limit(argument)
        try:
            target = gdb_inferior.current_target()
            target.require_writable()
            gdb.write(gdb_attach.start(target, limit) + "\n")
        except engine.EngineError as error:
            raise gdb.GdbError(str(error))

    @staticmethod
    def _limit(argument):
        try:
            limit = int(gdb.parse_and_eval(argument)) if argument else 25
        except gdb.error as error:
            raise gdb.GdbError("%s: %s" % (_RANGE, error)) from None
        if not 1 <= limit <= 65535:
            raise gdb.GdbError(_RANGE)
        return limit


class Stop(_Control):
    """Stop tracing in the live process and forget all traces.

Usage: tm-stop

Where tm-start has loaded the tracer, the program's calls lead to its allocator again as soon as it allocates
or frees.

Example:
  tm-stop"""

    name = "stop"
    code = engine.STOP
    done = "Tracing has stopped; all traces are forgotten."


class Clear(_Control):
    """Forget all traces of the live process; tracing goes on.

Usage: tm-clear

What is allocated from now on is shown, blocks from before are not.

Example:
  tm-clear"""

    name = "clear"
    code = engine.CLEAR
    done = "All traces are forgotten."


class ResetPeak(_Control):
    """Let the peak begin anew, from what the live process holds now.

Usage: tm-reset-peak

Example:
  tm-reset-peak"""

    name = "reset-peak"
    code = engine.RESET_PEAK
    done = "The peak is what is held now."


COMMANDS = (Start, Stop, Clear, ResetPeak)
