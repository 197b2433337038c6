"""What is kept at each prompt that the user sees after the program has run: sums per stack, for tm-diff."""

import os

import gdb

from . import engine
from . import gdb_inferior
from . import gdb_parameters

_PREFERRED = 0x2000000000  # TM_PREFERRED_ADDRESS of the layout
_MAGIC = b"\x89tm-root\r\n\x1a\n\0\0\0"

_NONE = ("No earlier prompt of this process is known to compare with: let it run to its next stop, or say "
         "with what to compare (tm-diff OLD [NEW])")
_OFF = ("The prompt before was not kept (show tm auto-snapshot): keep moments with tm-snapshot NAME and "
        "compare with those")


class _Prompts:
    """The last two prompts at which a process stood still after it had run."""

    def __init__(self, process):
        self.process = process  # what must be unchanged
        self.kept = []  # [(number of the run before it, Moment, or an EngineError: why there is none)]


_runs = {}  # number of the inferior: how often it was resumed
_prompts = {}  # number of the inferior: _Prompts


def _wanted(inferior):
    setting = gdb_parameters.value("auto-snapshot")
    connection = inferior.connection
    if connection is None or connection.type == "core":
        return False
    return connection.type == "native" if setting is None else setting


def _has_tracer(inferior):
    """Whether the tables lie at their usual place or libtm.so is loaded: nothing is searched at every
    prompt."""
    try:
        if bytes(inferior.read_memory(_PREFERRED, len(_MAGIC))) == _MAGIC:
            return True
    except gdb.error:
        pass
    return any(os.path.basename(objfile.filename or "").startswith("libtm.so") for objfile in gdb.objfiles())


def _of(inferior):
    process = inferior.pid, inferior.connection_num
    prompts = _prompts.get(inferior.num)
    if prompts is None or prompts.process != process:
        prompts = _prompts[inferior.num] = _Prompts(process)
    return prompts


def _keep(inferior):
    prompts, run = _of(inferior), _runs.get(inferior.num, 0)
    if (prompts.kept and prompts.kept[-1][0] == run) or not _has_tracer(inferior):
        return
    try:
        moment = gdb_inferior.current_target().keep_moment()
    except engine.EngineError as error:
        moment = error
    prompts.kept = [*prompts.kept[-1:], (run, moment)]


def _before_prompt():
    inferior = gdb.selected_inferior()
    stands = inferior.pid != 0 and not any(thread.is_running() for thread in inferior.threads())
    if not stands or not _wanted(inferior):
        return
    try:
        _keep(inferior)
    except (gdb.error, KeyboardInterrupt):
        pass  # the next prompt is as good


def previous():
    """The Moment of the last prompt since which the selected inferior has run. Raises gdb.GdbError."""
    inferior = gdb.selected_inferior()
    now = _runs.get(inferior.num, 0)
    found = [moment for run, moment in _of(inferior).kept if run != now]
    if not found:
        raise gdb.GdbError(_NONE if _wanted(inferior) else _OFF)
    if isinstance(found[-1], engine.EngineError):
        raise gdb.GdbError("The prompt before was not kept: %s. Keep moments with tm-snapshot" % found[-1])
    return found[-1]


def _resumed(event):
    thread = getattr(event, "inferior_thread", None)
    inferior = thread.inferior if thread is not None else gdb.selected_inferior()
    _runs[inferior.num] = _runs.get(inferior.num, 0) + 1


def _gone(event):
    _prompts.pop(event.inferior.num, None)


_watching = False


def watch():
    """Keeps what each prompt shows from now on. Idempotent."""
    global _watching
    if not _watching:
        _watching = True
        gdb.events.cont.connect(_resumed)
        gdb.events.inferior_call.connect(_resumed)  # GDB makes no "cont" of it
        gdb.events.exited.connect(_gone)
        gdb.events.inferior_deleted.connect(_gone)
        gdb.events.before_prompt.connect(_before_prompt)
