"""The engine, libcoreanalyze.so, as Python objects: coreanalyze.h through ctypes and nothing more.

Nothing here knows GDB. A Target is a core file (Target.open_core) or something whose memory a Describer reads
(Target.create); Target.run runs one command line of `coreanalyze` on it.
"""

import contextlib
import ctypes
import os
import struct
import sys

# enum ca_status
COMPLETE, PARTIAL, NOTHING, OVER, USAGE = 0, 1, 2, 3, 64

READ_INTERRUPTED = ctypes.c_size_t(-1).value  # CA_READ_INTERRUPTED

READ, WRITE, EXECUTE = 1, 2, 4  # protection of a mapping

# enum tm_request of the layout
NONE, START, STOP, CLEAR, RESET_PEAK = 0, 1, 2, 3, 4

_STATE_TRACING = 2  # TM_STATE_TRACING of the layout
_STATE_TO_REQUEST = 140  # bytes from tm_root.state to tm_root.request


class EngineError(Exception):
    """An error of the engine. `status` is the exit code that coreanalyze would give."""

    def __init__(self, message, status=NOTHING):
        super().__init__(message)
        self.status = status


class NoTarget(EngineError):
    """There is no process and no file to speak of."""


class StopPending(EngineError, RuntimeError):
    """The tracer is to start before it has obeyed a stop: one request word cannot say both."""

    def __init__(self):
        super().__init__("the stop is obeyed when the program runs next: continue first, then start again")


# ---------------------------------------------------------------------------------------------------- library

_DESCRIBE = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p)
_READ = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t)
_WRITE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)


class _Callbacks(ctypes.Structure):
    """struct ca_callbacks"""
    _fields_ = [("context", ctypes.c_void_p),
                ("read_memory", _READ),
                ("describe_process", _DESCRIBE),
                ("describe_mappings", _DESCRIBE),
                ("describe_threads", _DESCRIBE),
                ("describe_modules", _DESCRIBE)]


class _SymbolOptions(ctypes.Structure):
    """struct ca_symbol_options"""
    _fields_ = [("sysroot", ctypes.c_char_p),
                ("debug_directory", ctypes.c_char_p),
                ("source_map", ctypes.POINTER(ctypes.c_char_p)),
                ("source_map_count", ctypes.c_size_t)]


class _Output(ctypes.Structure):
    """struct ca_output"""
    _fields_ = [("context", ctypes.c_void_p),
                ("write", _WRITE),
                ("color", ctypes.c_int),
                ("columns", ctypes.c_int),
                ("styles", ctypes.POINTER(ctypes.c_char_p)),
                ("progress", ctypes.c_void_p)]


class State(ctypes.Structure):
    """struct ca_state"""
    _fields_ = [("tracing", ctypes.c_bool),
                ("traceback_limit", ctypes.c_uint32),
                ("current", ctypes.c_uint64),
                ("peak", ctypes.c_uint64),
                ("tracer_bytes", ctypes.c_uint64),
                ("request", ctypes.c_uint64),
                ("attached", ctypes.c_bool)]


class _Around(ctypes.Structure):
    """struct ca_around"""
    _fields_ = [("base", ctypes.c_uint64),
                ("size", ctypes.c_uint64),
                ("domain", ctypes.c_uint32)]


ERROR_OUT = ctypes.POINTER(ctypes.c_void_p)

# name: (result, arguments)
_FUNCTIONS = {
    "ca_version": (ctypes.c_char_p, []),
    "ca_error_message": (ctypes.c_char_p, [ctypes.c_void_p]),
    "ca_error_status": (ctypes.c_int, [ctypes.c_void_p]),
    "ca_error_destroy": (None, [ctypes.c_void_p]),
    "ca_target_open_core": (ctypes.c_void_p, [ctypes.c_char_p, ctypes.POINTER(_SymbolOptions), ERROR_OUT]),
    "ca_target_open": (ctypes.c_void_p, [ctypes.c_char_p, ctypes.POINTER(_SymbolOptions), ERROR_OUT]),
    "ca_target_open_process": (ctypes.c_void_p, [ctypes.c_uint32, ctypes.POINTER(_SymbolOptions), ERROR_OUT]),
    "ca_target_create": (ctypes.c_void_p,
                         [ctypes.POINTER(_Callbacks), ctypes.POINTER(_SymbolOptions), ERROR_OUT]),
    "ca_target_set_process": (None, [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_int32,
                                     ctypes.c_uint32, ctypes.c_char_p, ctypes.c_char_p]),
    "ca_target_set_auxv": (None, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
    "ca_target_set_siginfo": (None, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
    "ca_target_add_mapping": (None, [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64,
                                     ctypes.c_uint32, ctypes.c_char_p]),
    "ca_target_add_thread": (None, [ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint64),
                                    ctypes.c_size_t]),
    "ca_target_set_table": (None, [ctypes.c_void_p, ctypes.c_uint64]),
    "ca_target_state": (ctypes.c_bool, [ctypes.c_void_p, ctypes.POINTER(State), ERROR_OUT]),
    "ca_target_invalidate": (None, [ctypes.c_void_p]),
    "ca_target_destroy": (None, [ctypes.c_void_p]),
    "ca_target_keep": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p, ERROR_OUT]),
    "ca_moment_keep": (ctypes.c_void_p, [ctypes.c_void_p, ERROR_OUT]),
    "ca_moment_destroy": (None, [ctypes.c_void_p]),
    "ca_moment_open": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_void_p, ERROR_OUT]),
    "ca_target_find_around": (ctypes.c_bool, [ctypes.c_void_p, ctypes.c_uint64, ctypes.POINTER(_Around),
                                              ctypes.POINTER(ctypes.c_bool), ERROR_OUT]),
    "ca_command_run_on": (ctypes.c_int, [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_int,
                                         ctypes.POINTER(ctypes.c_char_p), ctypes.POINTER(_Output)]),
}


def add_functions(functions):
    """More functions of the library, in the form of _FUNCTIONS, before it is loaded."""
    _FUNCTIONS.update(functions)


_NAME = "libcoreanalyze.so"


def library_path():
    """Where the library is, seen from this package: in the lib/ (of Debian's packages: lib/x86_64-linux-gnu) of
    PREFIX/share/tm/python/tm (a build tree is such a PREFIX), else in that of the build tree beside a checkout's
    gdb/."""
    package = os.path.dirname(os.path.abspath(__file__))
    if os.path.basename(os.path.dirname(package)) == "python":
        prefix = os.path.join(package, os.pardir, os.pardir, os.pardir, os.pardir)
    else:
        prefix = os.path.join(package, os.pardir, os.pardir, "build")
    prefix = os.path.normpath(prefix)
    of_system = os.path.join(prefix, "lib", getattr(sys.implementation, "_multiarch", ""), _NAME)
    return of_system if os.path.exists(of_system) else os.path.join(prefix, "lib", _NAME)


_library = None


def library():
    """The loaded library. Raises EngineError where it is missing or is not of this version."""
    global _library
    if _library is None:
        _library = _library_load()
    return _library


def _library_load():
    path, again = library_path(), "run make (or make install)"
    if not os.path.exists(path):
        raise EngineError(f"tm: the engine is not built: no {path}; {again} first")
    try:
        loaded = ctypes.CDLL(path)  # RTLD_LOCAL: GDB's own names are not to be mixed with the engine's
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype = result
            function.argtypes = arguments
    except (OSError, AttributeError) as error:
        raise EngineError(f"tm: cannot load the engine: {error}; {again} again") from None
    return loaded


def tracer_path():
    """Where libtm.so is: beside the engine."""
    return os.path.join(os.path.dirname(library_path()), "libtm.so")


def version():
    """Version of the engine, "MAJOR.MINOR.PATCH"."""
    return os.fsdecode(library().ca_version())


def raise_error(error):
    """Turns the struct ca_error in the c_void_p `error` into an EngineError and frees it."""
    if not error:
        raise EngineError("out of memory")
    message = os.fsdecode(library().ca_error_message(error))
    status = library().ca_error_status(error)
    library().ca_error_destroy(error)
    raise EngineError(message, status)


def _encode(text):
    """A path or an argument as the bytes that the system had for it; None stays None."""
    return None if text is None else os.fsencode(text)


# -------------------------------------------------------------------------------------------------- callbacks

class Describer:
    """What Target.create needs to know of a process. Sub-classes override what they can answer.

    The describe_* methods call the Target's set_* and add_* methods. KeyboardInterrupt ends the engine's work
    and comes out of the call that was made; any other exception of read_memory means that nothing could be
    read, and comes out as well unless it is one of `expected`."""

    expected = ()

    def read_memory(self, address, buffer, size):
        """Copies up to `size` bytes at `address` to the address `buffer`; returns how many from the start of
        the range."""
        raise NotImplementedError

    def require_writable(self):
        """Raises EngineError where write_memory can never succeed."""
        raise EngineError("this process cannot be changed")

    def write_memory(self, address, data):
        """Writes bytes; raises EngineError where that cannot be."""
        self.require_writable()

    def describe_process(self, target):
        pass

    def describe_mappings(self, target):
        pass

    def describe_threads(self, target):
        pass

    def describe_modules(self, target):
        pass


class _Guard:
    """Runs Python code on behalf of the engine, through which no exception can pass: the first one is kept,
    the engine is told "interrupted" from then on, and raise_pending raises it when the engine has
    returned."""

    def __init__(self):
        self.exception = None
        self._hook = None

    def call(self, function, *arguments, on_error=0, expected=()):
        try:
            if self.exception is not None:
                return READ_INTERRUPTED
            return function(*arguments)
        except expected:
            return on_error
        except BaseException as exception:
            self._keep(exception)
            return READ_INTERRUPTED

    def _keep(self, exception):
        if self.exception is None:
            self.exception = exception

    # Python runs the handler of a pending Ctrl-C at the first instruction of the callback, before any `try`
    # in it. ctypes then hands the exception to sys.unraisablehook, and what the engine sees as the result is
    # arbitrary.
    def __enter__(self):
        self.exception = None
        self._hook = sys.unraisablehook
        sys.unraisablehook = lambda unraisable: self._keep(unraisable.exc_value)
        return self

    def __exit__(self, *_):
        sys.unraisablehook = self._hook

    def raise_pending(self):
        exception, self.exception = self.exception, None
        if exception is not None:
            raise exception


# ---------------------------------------------------------------------------------------------------- targets

class Target:
    """A process or core file that can be read (struct ca_target). Close it, or use it in a `with`."""

    def __init__(self):
        self._pointer = None
        self._guard = _Guard()
        self._describer = Describer()
        self._kept = []  # what the engine points to
        self._runs = False  # while we look at it

    @classmethod
    def open_core(cls, path, sysroot=None, debug_directory=None, source_map=()):
        target = cls()
        options = _symbol_options(sysroot, debug_directory, source_map)
        target._open(library().ca_target_open_core, _encode(path), options)
        return target

    @classmethod
    def open_process(cls, pid, sysroot=None, debug_directory=None, source_map=()):
        """A process of this machine, which stands still while its tables are copied. What is asked after refresh()
        is answered of a later moment."""
        target = cls()
        target._runs = True
        options = _symbol_options(sysroot, debug_directory, source_map)
        target._open(library().ca_target_open_process, pid, options)
        return target

    @classmethod
    def open_file(cls, path, sysroot=None, debug_directory=None, source_map=()):
        """A core file or a snapshot file."""
        target = cls()
        options = _symbol_options(sysroot, debug_directory, source_map)
        target._open(library().ca_target_open, _encode(path), options)
        return target

    @classmethod
    def create(cls, describer, sysroot=None, debug_directory=None, source_map=()):
        target = cls()
        target._describer = describer
        call, expected = target._guard.call, describer.expected

        def described(method):
            def describe(_context, _pointer):
                return call(lambda: method(target) or 0, expected=expected)
            return _DESCRIBE(describe)

        def read_memory(_context, address, buffer, size):
            return call(describer.read_memory, address, buffer, size, expected=expected)

        callbacks = _Callbacks(None, _READ(read_memory), described(describer.describe_process),
                               described(describer.describe_mappings), described(describer.describe_threads),
                               described(describer.describe_modules))
        target._kept.append(callbacks)
        options = _symbol_options(sysroot, debug_directory, source_map)
        target._open(library().ca_target_create, ctypes.byref(callbacks), options)
        return target

    def _open(self, function, source, options):
        error = ctypes.c_void_p()
        self._pointer = function(source, ctypes.byref(options), ctypes.byref(error))
        if not self._pointer:
            raise_error(error)

    def close(self):
        pointer, self._pointer = self._pointer, None
        if pointer:
            library().ca_target_destroy(pointer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()

    @property
    def pointer(self):
        """The struct ca_target, for the engine's functions."""
        if not self._pointer:
            raise EngineError("tm: this target is closed")
        return self._pointer

    def invalidate(self):
        """The process has run: forgets what was read."""
        library().ca_target_invalidate(self.pointer)

    def refresh(self):
        """The next answer is to be of now."""
        if self._runs:
            self.invalidate()

    # What a Describer answers with

    def set_process(self, pid, machine, signal, signal_thread, program=None, arguments=None):
        library().ca_target_set_process(self.pointer, pid, machine, signal, signal_thread, _encode(program),
                                        _encode(arguments))

    def set_auxv(self, data):
        library().ca_target_set_auxv(self.pointer, data, len(data))

    def set_siginfo(self, data):
        library().ca_target_set_siginfo(self.pointer, data, len(data))

    def add_mapping(self, start, end, offset, protection, path):
        library().ca_target_add_mapping(self.pointer, start, end, offset, protection, _encode(path))

    def add_thread(self, tid, registers):
        array = (ctypes.c_uint64 * len(registers))(*registers)
        library().ca_target_add_thread(self.pointer, tid, array, len(registers))

    def set_table(self, address):
        library().ca_target_set_table(self.pointer, address)

    # Questions

    @contextlib.contextmanager
    def reading(self):
        """Around what lets the engine read: exceptions of the Describer come out at its end."""
        with self._guard as guard:
            yield guard
        if guard.exception is not None:
            self.invalidate()  # what was read last may be anything
        guard.raise_pending()

    def run(self, arguments, write, look=None, old=None):
        """Runs one command line without its SOURCE; write(stream, bytes) gets the text, stream 1 the answer
        and 2 the messages. Returns the exit code. Exceptions of `write` and of the Describer come out when
        the engine has ended. look: the Look of the terminal that shows the text; None: it goes elsewhere.
        old: the Target that stands for the SOURCE before this one."""
        targets = [self] if old is None else [old, self]
        with contextlib.ExitStack() as stack:
            guards = [stack.enter_context(target.reading()) for target in targets]
            return run_command(arguments, write, look, targets, guards[-1])

    def state(self):
        """What the tracer says of itself: a State. Raises EngineError where no tracer is found."""
        state, error = State(), ctypes.c_void_p()
        with self.reading():
            good = library().ca_target_state(self.pointer, ctypes.byref(state), ctypes.byref(error))
        if not good:
            raise_error(error)
        return state

    def around(self, address):
        """(base, size, domain) of the innermost live block that the address lies in, or None."""
        found, around, error = ctypes.c_bool(), _Around(), ctypes.c_void_p()
        with self.reading():
            good = library().ca_target_find_around(self.pointer, address, ctypes.byref(around),
                                                   ctypes.byref(found), ctypes.byref(error))
        if not good:
            raise_error(error)
        return (around.base, around.size, around.domain) if found.value else None

    # What is kept of it

    def _made(self, function, *arguments):
        """What a function of the engine makes of this target."""
        error = ctypes.c_void_p()
        with self.reading():
            pointer = function(*arguments, ctypes.byref(error))
        if not pointer:
            raise_error(error)
        return pointer

    def keep(self, name):
        """What it holds now, as a Target that lives on when the process runs or ends."""
        kept = Target()
        kept._pointer = self._made(library().ca_target_keep, self.pointer, _encode(name))
        return kept

    def keep_moment(self):
        """What each stack holds now: a Moment."""
        return Moment(self._made(library().ca_moment_keep, self.pointer))

    def open_moment(self, moment):
        """A Moment of this process as a Target to compare with, to be closed before the process runs."""
        opened = Target()
        opened._pointer = self._made(library().ca_moment_open, moment.pointer, self.pointer)
        return opened

    # Requests

    def require_writable(self):
        """Raises EngineError where no request can be made."""
        self._describer.require_writable()

    def request(self, code, argument=0):
        """Asks the tracer for something (START only where state() is not tracing, the others where it is): it
        obeys at its next operation, and readers show the effect at once. What was asked for at this stop
        before is not lost. Raises StopPending."""
        self.require_writable()
        address = self.state().request
        tracing, pending = self._control_words(address)
        merged = request_merge(tracing, pending, code)
        if code == START:
            self._describer.write_memory(address + 4, struct.pack("<I", argument))
        self._describer.write_memory(address, struct.pack("<I", merged))
        self.invalidate()

    def _control_words(self, address):
        """(whether the process itself is tracing, the request that it has not obeyed yet)"""
        size = _STATE_TO_REQUEST + 4
        buffer = ctypes.create_string_buffer(size)
        start = address - _STATE_TO_REQUEST
        if self._describer.read_memory(start, ctypes.addressof(buffer), size) != size:
            raise EngineError("cannot read the tracer's state at 0x%x" % start)
        state, = struct.unpack_from("<I", buffer)
        request, = struct.unpack_from("<I", buffer, _STATE_TO_REQUEST)
        return state == _STATE_TRACING, request


def request_merge(tracing, pending, code):
    """The one request that does what `pending` and then `code` ask of a process that is itself tracing or
    not. As in tracemalloc, all but START do nothing while not tracing. Raises StopPending."""
    if tracing == (pending == START):
        pending = NONE  # it has no effect
    if code == START:
        if pending == STOP:
            raise StopPending()
        return START
    if code == STOP:
        return STOP if tracing else NONE
    if pending in (START, STOP, CLEAR):
        return pending  # nothing is recorded that could be cleared, and no peak
    return code if tracing else NONE


def _symbol_options(sysroot, debug_directory, source_map):
    rules = [_encode("%s=%s" % rule) for rule in source_map]
    array = (ctypes.c_char_p * max(len(rules), 1))(*rules)
    return _SymbolOptions(_encode(sysroot), _encode(debug_directory), array, len(rules))


class Moment:
    """Sums per stack of one moment (struct ca_moment)."""

    def __init__(self, pointer):
        self.pointer = pointer

    def __del__(self):
        library().ca_moment_destroy(self.pointer)


class Look:
    """How text is shown on a terminal. columns: its width, 0 = no limit; styles: by enum ca_style, what
    stands between "ESC[" and "m", None = no colours."""

    STYLES = ("plain", "title", "file", "function", "address", "size", "growth", "shrink", "note", "alarm")

    def __init__(self, columns=0, styles=None):
        self.columns, self.styles = columns, styles

    def fill(self, output):
        output.columns, output.color = self.columns, self.styles is not None
        if self.styles is not None:
            output.styles = (ctypes.c_char_p * len(self.STYLES))(
                *(_encode(self.styles.get(name, "")) for name in self.STYLES))


def run_command(arguments, write, look=None, targets=(), guard=None):
    """ca_command_run_on: the targets stand for the last SOURCE operands; those before are in the command
    line."""
    own_guard = guard is None
    guard = guard or _Guard()

    def write_bytes(_context, stream, data, size):
        guard.call(lambda: write(stream, ctypes.string_at(data, size)))

    argv = [_encode(argument) for argument in arguments]
    array = (ctypes.c_char_p * (len(argv) + 1))(*argv, None)
    output = _Output(None, _WRITE(write_bytes))
    (look or Look()).fill(output)
    pointers = (ctypes.c_void_p * (len(targets) + 1))(*[target.pointer for target in targets], None)
    call = (pointers, len(targets), len(argv), array, ctypes.byref(output))
    if not own_guard:
        return library().ca_command_run_on(*call)
    with guard:
        status = library().ca_command_run_on(*call)
    guard.raise_pending()
    return status
