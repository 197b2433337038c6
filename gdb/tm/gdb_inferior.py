"""GDB's inferiors as targets of the engine: whatever GDB is connected to - a live process, a core file,
gdbserver, rr."""

import ctypes
import re
import struct

import gdb

from . import engine

PAGE = 4096

_MACHINES = {"i386:x86-64": 62, "aarch64": 183, "i386": 3}  # name of GDB's architecture: ELF e_machine

# struct user_regs_struct, by e_machine
_REGISTERS = {
    62: ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base "
         "gs_base ds es fs gs").split(),
    183: ["x%d" % number for number in range(31)] + ["sp", "pc", "cpsr"],
}

_SIGSTOP = 19


def machine():
    """ELF e_machine of the selected inferior, 0 = not one that the tracer knows."""
    return _MACHINES.get(gdb.selected_inferior().architecture().name(), 0)


def ask(command):
    """What a GDB command prints; "" if it fails."""
    try:
        return gdb.execute(command, to_string=True)
    except gdb.error as error:
        raise_quit(error)
        return ""


def raise_quit(error):
    """Some paths in GDB turn Ctrl-C into an ordinary error."""
    if str(error) == "Quit":
        raise KeyboardInterrupt from error


class _SelectionKept:
    """Restores the selected thread and frame."""

    def __enter__(self):
        self._thread = gdb.selected_thread()
        try:
            self._frame = gdb.selected_frame()
        except gdb.error:
            self._frame = None
        return self._thread

    def __exit__(self, *_):
        if self._thread is not None and self._thread.is_valid():
            self._thread.switch()
            if self._frame is not None and self._frame.is_valid():
                self._frame.select()


# ---------------------------------------------------------------------------------------------------- memory

class _Range(ctypes.Structure):
    """struct iovec"""
    _fields_ = [("address", ctypes.c_uint64), ("size", ctypes.c_size_t)]


def _find_direct():
    function = getattr(ctypes.CDLL(None), "process_vm_readv", None)
    if function is not None:
        one_range = [ctypes.POINTER(_Range), ctypes.c_ulong]
        function.argtypes = [ctypes.c_int, *one_range, *one_range, ctypes.c_ulong]
        function.restype = ctypes.c_ssize_t
    return function


_process_vm_readv = _find_direct()


def _is_native(inferior):
    """Whether the inferior's memory is that of a process of this machine, as it is now: not where GDB goes
    back in time."""
    connection = inferior.connection
    return connection is not None and connection.type == "native" and gdb.current_recording() is None


def _read_directly(inferior, address, buffer, size):
    """As read_memory, without GDB between: what this cannot read, GDB perhaps can."""
    if _process_vm_readv is None or not _is_native(inferior):
        return 0
    copied = _process_vm_readv(inferior.pid, _Range(buffer, size), 1, _Range(address, size), 1, 0)
    return max(copied, 0)


def read_memory(inferior, address, buffer, size):
    """Copies the longest readable part of [address, address + size) from its start; returns its size."""
    done = _read_directly(inferior, address, buffer, size)
    return done if done == size else done + _read_by_gdb(inferior, address + done, buffer + done, size - done)


def _read_by_gdb(inferior, address, buffer, size):
    """As read_memory: of whatever GDB is connected to."""
    try:
        _copy(inferior, address, buffer, size)
        return size
    except gdb.MemoryError as error:
        done = _readable_before(error, address, size)
    if done:
        try:
            _copy(inferior, address, buffer, done)
        except gdb.MemoryError:
            return _search(inferior, address, buffer, done)
    # What GDB names is where its last request began, which may have been for more than one page.
    return done + _search(inferior, address + done, buffer + done, size - done)


def _copy(inferior, address, buffer, size):
    view = inferior.read_memory(address, size)
    ctypes.memmove(buffer, (ctypes.c_char * size).from_buffer(view), size)


def _readable_before(error, address, size):
    """GDB names the address that it failed at: how much lies before it."""
    match = re.search(r"0x([0-9a-fA-F]+)", str(error))
    failed = int(match.group(1), 16) if match else address
    return failed - address if address < failed < address + size else 0


def _search(inferior, address, buffer, size):
    """As _read_by_gdb for a range that cannot be read whole: bisects between the ends of pages."""
    first = min(PAGE - address % PAGE, size)
    try:
        _copy(inferior, address, buffer, first)
    except gdb.MemoryError:
        return 0
    low, high = 0, -(-(size - first) // PAGE)  # whole pages after the first: low can be read, high cannot
    while low < high - 1:
        middle = (low + high) // 2
        try:
            _copy(inferior, address, buffer, first + middle * PAGE)
            low = middle
        except gdb.MemoryError:
            high = middle
    return first + low * PAGE


# ------------------------------------------------------------------------------------------------ description

_AUXV_LINE = re.compile(r'^(\d+)\s+(?:AT_\w+|\?\?\?)\s.*?(0x[0-9a-f]+|\d+)(?: ".*)?$')


def auxv_bytes():
    """The auxiliary vector as the kernel made it, from `info auxv`."""
    entries = []
    for line in ask("info auxv").splitlines():
        match = _AUXV_LINE.match(line)
        if match:
            entries.append(struct.pack("<QQ", int(match.group(1)), int(match.group(2), 0)))
    return b"".join(entries)


def siginfo_bytes():
    """siginfo_t of the selected thread, or None. GDB gives a structure that has no address: it is put
    together again."""
    try:
        value = gdb.convenience_variable("_siginfo")
        if value is None or value.type.sizeof != 128:
            return None
        head = [int(value[name]) for name in ("si_signo", "si_errno", "si_code")]
        padding = value["_sifields"]["_pad"]
        first, last = padding.type.range()
        return struct.pack("<3i4x28i", *head, *(int(padding[index]) for index in range(first, last + 1)))
    except (gdb.error, struct.error) as error:
        raise_quit(error)
        return None


class _Section:
    """A loadable section of a core file."""

    def __init__(self, start, end, protection):
        self.start, self.end, self.protection = start, end, protection


_SECTION_LINE = re.compile(r"^\s*\[\d+\]\s+0x([0-9a-f]+)->0x([0-9a-f]+) at 0x[0-9a-f]+: load\d+[a-z]? (.*)$")
_CORE_LINE = re.compile(r"^Core file: `(.*)', file type .*$")
_MAPPING_LINE = re.compile(r"^\s*0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) "
                           r"(?: ([r-][w-][x-][ps]) )?(.*)$")


def core_sections():
    """(path of the core file or None, its loadable sections), from `maint info sections`."""
    path, sections = None, []
    for line in ask("maintenance info sections").splitlines():
        heading = _CORE_LINE.match(line)
        if heading:
            path, sections = heading.group(1), []
            continue
        match = _SECTION_LINE.match(line) if path is not None else None
        if match:
            flags = match.group(3).split()
            protection = engine.READ | (0 if "READONLY" in flags else engine.WRITE)
            protection |= engine.EXECUTE if "CODE" in flags else 0
            sections.append(_Section(int(match.group(1), 16), int(match.group(2), 16), protection))
    return path, sections


def mapped_files():
    """[(start, end, offset, protection or None, path)] from `info proc mappings`: everything that is mapped
    in a live process, the files in a core."""
    mappings = []
    for line in ask("info proc mappings").splitlines():
        match = _MAPPING_LINE.match(line)
        if match:
            start, end, offset = (int(match.group(number), 16) for number in (1, 2, 3))
            mappings.append((start, end, offset, _protection(match.group(4)), match.group(5).strip()))
    return mappings


def _protection(text):
    if text is None:
        return None
    bits = zip(text, (engine.READ, engine.WRITE, engine.EXECUTE))
    return sum(bit for letter, bit in bits if letter != "-")


def is_core():
    """Whether the selected inferior is a core file."""
    connection = gdb.selected_inferior().connection
    return connection is not None and connection.type == "core"


def _core_mappings():
    """Mappings of a core: its sections, named by the files that lie at the same place, and the files that
    were not dumped."""
    files = mapped_files()
    mappings = []
    for section in core_sections()[1]:
        owner = next((item for item in files if item[0] <= section.start < item[1]), None)
        offset = owner[2] + section.start - owner[0] if owner else 0
        mappings.append((section.start, section.end, offset, section.protection, owner[4] if owner else ""))
    covered = {start for start, *_ in mappings}
    for start, end, offset, _, path in files:
        if start not in covered:
            mappings.append((start, end, offset, engine.READ, path))
    return sorted(mappings)


def _live_mappings():
    """Mappings of a process, named as a core file of it would name them."""
    for start, end, offset, protection, path in mapped_files():
        if path.startswith("[v") and path != "[vdso]":
            continue  # [vvar], [vsyscall]: the kernel's, not readable
        yield start, end, offset, protection or 0, "" if path.startswith("[") else path


def table_address():
    """Address of tm_table, 0 where GDB knows no such symbol. A local variable of that name has no address in
    this answer."""
    match = re.match(r'Symbol "tm_table" is (?:at|static storage at address) (0x[0-9a-f]+)',
                     ask("info address tm_table"))
    return int(match.group(1), 16) if match else 0


# ---------------------------------------------------------------------------------------------------- targets

class InferiorDescriber(engine.Describer):
    """The inferior that was selected when it was made; it is selected too whenever the engine asks."""

    expected = (gdb.error,)

    def __init__(self):
        self._inferior = gdb.selected_inferior()

    def require_writable(self):
        if is_core():
            raise engine.EngineError("a core file cannot be changed: its process is gone")

    def write_memory(self, address, data):
        """Raises engine.EngineError where the process cannot be changed."""
        self.require_writable()
        try:
            self._inferior.write_memory(address, data)
        except gdb.error as error:
            raise_quit(error)
            raise engine.EngineError("the process cannot be changed: %s" % error) from None

    def read_memory(self, address, buffer, size):
        try:
            return read_memory(self._inferior, address, buffer, size)
        except gdb.error as error:
            raise_quit(error)
            raise

    def describe_process(self, target):
        with _SelectionKept():
            signal, thread = self._select_signalled_thread()
            target.set_process(self._inferior.pid, machine(), signal, thread.ptid[1] if thread else 0)
            siginfo = siginfo_bytes() if signal else None
        if siginfo:
            target.set_siginfo(siginfo)
        auxv = auxv_bytes()
        if auxv:
            target.set_auxv(auxv)

    def _select_signalled_thread(self):
        """(signal, thread) that stopped the process, chosen as GDB chooses them for a core file: the selected
        thread if it has got a signal, else the first that has. SIGSTOP is how the debugger itself stops
        threads, and no signal."""
        selected = gdb.selected_thread()
        threads = sorted(self._inferior.threads(), key=lambda thread: thread.num)
        if selected is not None and not is_core():
            threads.insert(0, selected)
        for thread in threads:
            thread.switch()
            signal = _siginfo_signal()
            if signal not in (0, _SIGSTOP):
                return signal, thread
        return 0, threads[0] if threads else None

    def describe_mappings(self, target):
        for mapping in _core_mappings() if is_core() else _live_mappings():
            target.add_mapping(*mapping)

    def describe_threads(self, target):
        names = _REGISTERS.get(machine())
        if names is None:
            return
        with _SelectionKept():
            for thread in sorted(self._inferior.threads(), key=lambda thread: thread.num):
                thread.switch()
                frame = gdb.newest_frame()
                registers = [_register(frame, name) for name in names]
                target.add_thread(thread.ptid[1] or thread.ptid[0], registers)

    def describe_modules(self, target):
        target.set_table(table_address())


def _siginfo_signal():
    try:
        value = gdb.convenience_variable("_siginfo")
        return 0 if value is None else int(value["si_signo"])
    except gdb.error as error:
        raise_quit(error)
        return 0


def _register(frame, name):
    """0 where GDB does not know it."""
    try:
        return int(frame.read_register(name)) & 0xffffffffffffffff
    except (ValueError, gdb.error) as error:
        raise_quit(error)
        return 0


def symbol_options():
    """GDB's settings that say where files are, as keyword arguments of Target.create."""
    sysroot = gdb.parameter("sysroot") or ""
    for prefix in ("target:", "remote:"):
        if sysroot.startswith(prefix):
            sysroot = sysroot[len(prefix):]
    rules = re.findall(r"^  `(.*)' -> `(.*)'\.$", ask("show substitute-path"), re.MULTILINE)
    return {"sysroot": sysroot if sysroot.strip("/") else None,
            "debug_directory": gdb.parameter("debug-file-directory") or None,
            "source_map": tuple(rules)}


class _Cached:
    """A target and what must be unchanged for it to be the right one."""

    def __init__(self, identity, target):
        self.identity, self.target = identity, target


_targets = {}  # number of the inferior: _Cached


def current_target(in_condition=False):
    """The engine's target for the selected inferior. Raises engine.EngineError where there is nothing to
    read. in_condition: while GDB evaluates a breakpoint's condition it calls threads running that stand."""
    inferior = gdb.selected_inferior()
    if inferior.pid == 0:
        raise engine.NoTarget("No process: run a program or load a core file first.")
    if not in_condition and any(thread.is_running() for thread in inferior.threads()):
        raise engine.EngineError("The process is running: stop it first (Ctrl-C or the command interrupt).")
    options = symbol_options()
    identity = (inferior.pid, inferior.connection_num, core_sections()[0] if is_core() else None, options)
    cached = _targets.get(inferior.num)
    if cached is None or cached.identity != identity:
        forget(inferior)
        cached = _Cached(identity, engine.Target.create(InferiorDescriber(), **options))
        _targets[inferior.num] = cached
    return cached.target


def forget(inferior):
    """The inferior has another process now, or none."""
    cached = _targets.pop(inferior.num, None)
    if cached is not None:
        cached.target.close()


def invalidate_all(*_):
    """A process has run, or somebody wrote to its memory."""
    for cached in _targets.values():
        cached.target.invalidate()


_watching = False


def watch_events():
    """Keeps every target as fresh as the inferior. Idempotent."""
    global _watching
    if _watching:
        return
    _watching = True
    for name in ("cont", "stop", "inferior_call", "memory_changed", "register_changed", "new_objfile",
                 "clear_objfiles"):
        getattr(gdb.events, name).connect(invalidate_all)
    gdb.events.exited.connect(_inferior_exited)
    gdb.events.inferior_deleted.connect(_inferior_deleted)


def _inferior_exited(event):
    forget(event.inferior)


def _inferior_deleted(event):
    forget(event.inferior)
