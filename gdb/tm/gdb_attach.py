"""tm-start in a process that was started without the tracer: libtm.so is loaded there, and its tm_attach() called
(tracer/attach/attach.h), in a thread that holds no lock of the allocator or the loader. The other threads run
meanwhile, for they may hold such locks."""

import contextlib
import os
import re

import gdb

from . import engine
from . import gdb_inferior

_RTLD_NOW = 2

_STATIC = ("the program is statically linked (no dlopen in it): the tracer cannot be loaded. Link it with "
           "libtm.a, or start it under tm-run if it is linked dynamically")
_OWN_MALLOC = ("the allocator is part of the program itself (statically linked), so that its calls cannot be "
               "redirected")

# enum tm_attach_error
_ERRORS = {
    -2: "the tracer could not make its tables: no memory",
    -3: "the tracer was loaded when the process started, and does not trace: start it again under tm-run",
    -4: _OWN_MALLOC,
    -5: "the C library of the process is older than glibc 2.35: start the program under tm-run instead",
}


def start(target, limit):
    """Starts tracing in the target's process, with the tracer that it has or with one that it gets now. Returns
    what to tell the user. Raises engine.EngineError."""
    try:
        state = target.state()
    except engine.EngineError:
        if gdb_inferior.table_address():
            raise  # there is a tracer, but it cannot be read
        state = None
    if state is not None and state.tracing:
        return "Tracing already, up to %d frames." % state.traceback_limit
    if state is not None and not state.attached:
        target.request(engine.START, limit)
        return "Tracing from the next allocation on, up to %d frames." % limit
    moved = _attach(limit)
    target.invalidate()
    _check(target)
    text = "Tracing from now on, up to %d frames; blocks from before are unknown." % limit
    return text + (" The program has run on to its next call of %s." % moved if moved else "")


def _check(target):
    """What was called there may be undone already: a replay runs such calls on the side."""
    try:
        tracing = target.state().tracing
    except engine.EngineError:
        tracing = False
    if not tracing:
        raise engine.EngineError("the process did not keep what was loaded into it: is it a recording that is "
                                 "being replayed? Record it under tm-run")


def _attach(limit):
    """Loads the tracer and lets it begin. Returns the function that the program had to run on to, or None."""
    if gdb_inferior.machine() not in (62, 183):
        raise engine.EngineError("the tracer is not made for this processor")
    path = engine.tracer_path()
    if not os.path.exists(path):
        raise engine.EngineError("no tracer to load: %s is missing; run make (or make install)" % path)
    functions = {name: _function(name) for name in ("dlopen", "dlsym", "dlerror", "malloc", "free")}
    if not functions["dlopen"] or not functions["dlsym"]:
        raise engine.EngineError(_STATIC)
    if gdb.solib_name(functions["dlopen"]) is None and not _is_stub(functions["dlopen"]):
        raise engine.EngineError(_STATIC)
    if any(gdb.solib_name(address) is None and not _is_stub(address) for address in _mallocs()):
        raise engine.EngineError(_OWN_MALLOC)
    try:
        with _Selection() as selection:
            moved = _go_to_safe_point()
            if moved:
                selection.keep()
            with _quiet():
                answer = _load(functions, path, limit)
    except gdb.error as error:
        gdb_inferior.raise_quit(error)
        raise engine.EngineError(_reason(error)) from None
    if answer != 0:
        raise engine.EngineError(_ERRORS.get(answer, "the tracer does not start (%d)" % answer))
    return moved


def _reason(error):
    text = " ".join(str(error).split())
    if "in a function called from GDB" in text:
        return ("the process was stopped (by a signal?) while the tracer was being loaded: continue, "
                "and tm-start again")
    return "the tracer cannot be loaded into this process: " + text


# ------------------------------------------------------------------------------------------------- settings

class _Selection:
    """Selects the thread and the frame that were selected before again, unless the process has stopped elsewhere."""

    def __enter__(self):
        self.keep()
        return self

    def keep(self):
        """What is selected now is what counts."""
        self._thread = gdb.selected_thread()
        self._frame = gdb.selected_frame()

    def __exit__(self, *_):
        if self._thread is not None and self._thread.is_valid():
            self._thread.switch()
            if self._frame.is_valid():
                self._frame.select()


@contextlib.contextmanager
def _quiet():
    """The user's breakpoints would end a call in any thread; other threads must run, for they may hold locks."""
    disabled = [breakpoint for breakpoint in gdb.breakpoints() if breakpoint.enabled]
    locking = gdb.parameter("scheduler-locking")
    for breakpoint in disabled:
        breakpoint.enabled = False
    if locking != "off":
        gdb.execute("set scheduler-locking off", to_string=True)
    try:
        yield
    finally:
        if locking != "off":
            gdb.execute("set scheduler-locking %s" % locking, to_string=True)
        for breakpoint in disabled:
            if breakpoint.is_valid():
                breakpoint.enabled = True


# -------------------------------------------------------------------------------------------------- symbols

def _function(name):
    """Address of a function, 0 where the process has none of that name."""
    try:
        return int(gdb.parse_and_eval("(unsigned long) &%s" % name))
    except gdb.error as error:
        gdb_inferior.raise_quit(error)
        return 0


def _is_stub(address):
    """Whether the program has only the way to a library's function there: an entry of its procedure linkage
    table."""
    return ".plt" in gdb_inferior.ask("info symbol 0x%x" % address)


def _mallocs():
    """Addresses in all functions named malloc."""
    try:
        places = gdb.decode_line("-qualified malloc")[1] or ()
    except gdb.error as error:
        gdb_inferior.raise_quit(error)
        places = ()
    addresses = {place.pc for place in places if place.pc} | {_function("malloc")}
    return addresses - {0}


# ----------------------------------------------------------------------------------------------- safe point

_LIBC = re.compile(r"lib(c|pthread)[-.]")
_LOADER = re.compile(r"ld[-.].*so|ld-linux|libtm\.so")

# Functions of libc that hold locks which loading needs, or may stand in an unfinished list of libraries.
_BUSY = re.compile(r"(__libc_|__GI_|__)*("
                   r"malloc\w*|calloc|realloc\w*|c?free|cfree|memalign|aligned_alloc|posix_memalign|p?valloc|mallinfo2?|mallopt|"
                   r"_int_\w+|sysmalloc|systrim|tcache_\w+|arena_\w+|ptmalloc_\w+|"
                   r"dl\w+|_dl_\w+|v?fork|_Fork|exit|quick_exit|run_exit_handlers|register_atfork|cxa_\w+|at_quick_exit|"
                   r"on_exit|_IO_cleanup|pthread_create\w*|setlocale|newlocale|freeres)$")

_ENTRIES = ("malloc", "calloc", "realloc", "free")
_FRAMES_MAX = 2000


def _module(frame):
    return os.path.basename(gdb.solib_name(frame.pc()) or "")


def _is_safe(frame, allocators):
    """Whether a thread whose frames from this one on are running holds no lock that loading needs: as far as all
    of them are known, and none is of the allocator or the loader. Where a function of libc without a name is the
    innermost it may be any."""
    innermost = True
    for _ in range(_FRAMES_MAX):
        module = _module(frame)
        is_libc = bool(_LIBC.match(module))
        name = frame.name()
        innermost = innermost and is_libc
        if frame.type() == gdb.SIGTRAMP_FRAME or _LOADER.match(module) or (module and module in allocators):
            return False
        if is_libc and (_BUSY.match(name) if name else innermost):
            return False
        older = frame.older()
        if older is None:
            return frame.unwind_stop_reason() in (gdb.FRAME_UNWIND_NO_REASON, gdb.FRAME_UNWIND_OUTERMOST)
        frame = older
    return False


def _has_stack(frame):
    """Whether there is room for the loader's frames: small stacks are for coroutines and signals."""
    pointer = int(frame.read_register("sp"))
    for start, end, _, _, path in gdb_inferior.mapped_files():
        if start <= pointer < end:
            return path == "[stack]" or pointer - start >= 1 << 16
    return True  # a target that does not tell


def _allocators():
    """Names of the libraries with a malloc, but for libc, whose functions have names."""
    names = {os.path.basename(gdb.solib_name(address) or "") for address in _mallocs()}
    return {name for name in names if not _LIBC.match(name)}


class _Entry(gdb.Breakpoint):
    """Stops a thread at the beginning of an allocator's function where it is called from outside of libc: it then
    holds no lock of the allocator."""

    def __init__(self, name, allocators):
        super().__init__("-qualified " + name, internal=True)
        self.silent = True
        self._allocators = allocators

    def stop(self):
        caller = gdb.newest_frame().older()
        return caller is not None and not _LIBC.match(_module(caller)) and \
            _is_safe(caller, self._allocators) and _has_stack(caller)


def _go_to_safe_point():
    """Selects a thread in which the tracer can be loaded. The process runs on only where there is none; then the
    name of the function that a thread has come to is returned, else None."""
    allocators = _allocators()
    selected = gdb.selected_thread()
    threads = sorted(gdb.selected_inferior().threads(), key=lambda thread: (thread.num != selected.num, thread.num))
    for thread in threads:
        thread.switch()
        frame = gdb.newest_frame()
        if _is_safe(frame, allocators) and _has_stack(frame):
            frame.select()
            return None
    selected.switch()
    return _run_to_entry(allocators)


def _run_to_entry(allocators):
    entries, hit = [], []

    def stopped(event):
        hit.extend(breakpoint for breakpoint in getattr(event, "breakpoints", ()) if breakpoint in entries)

    for name in _ENTRIES:
        entries.append(_Entry(name, allocators))
    gdb.events.stop.connect(stopped)
    try:
        gdb.execute("continue", to_string=True)
    finally:
        gdb.events.stop.disconnect(stopped)
        locations = [entry.location for entry in entries]
        for entry in entries:
            entry.delete()
    if not hit:
        raise engine.EngineError("the process has stopped or ended before it came to a place where the tracer can "
                                 "be loaded: tm-start again")
    return locations[0].split()[-1] if len(entries) == 1 else gdb.newest_frame().name() or "malloc"


# -------------------------------------------------------------------------------------------------- loading

def _call(signature, address, *arguments):
    """What a function of the process returns; all other threads run meanwhile."""
    text = ", ".join("(unsigned long) %d" % argument for argument in arguments)
    return gdb.parse_and_eval("((%s) %d)(%s)" % (signature, address, text))


def _load(functions, path, limit):
    """tm_attach's answer. Room for the two names is borrowed from the program's allocator."""
    data = os.fsencode(path) + b"\0"
    buffer = int(_call("unsigned long (*)(unsigned long)", functions["malloc"], max(len(data), 64)))
    if not buffer:
        raise engine.EngineError("the process is out of memory")
    inferior = gdb.selected_inferior()
    two = "unsigned long (*)(unsigned long, unsigned long)"
    inferior.write_memory(buffer, data)
    handle = int(_call(two, functions["dlopen"], buffer, _RTLD_NOW))
    attach = 0
    if handle:
        inferior.write_memory(buffer, b"tm_attach\0")
        attach = int(_call(two, functions["dlsym"], handle, buffer))
    else:
        reason = _error(functions)
    if gdb.solib_name(functions["malloc"]) == gdb.solib_name(functions["free"]):
        _call("void (*)(unsigned long)", functions["free"], buffer)
    if not handle:
        raise engine.EngineError("the process cannot load %s: %s" % (path, reason))
    if not attach:
        raise engine.EngineError("%s has no tm_attach: it is of another version" % path)
    return int(_call("int (*)(int)", attach, limit))


def _error(functions):
    address = int(_call("unsigned long (*)(void)", functions["dlerror"])) if functions["dlerror"] else 0
    if not address:
        return "no reason is given"
    return gdb.Value(address).cast(gdb.lookup_type("char").pointer()).string(errors="replace")
