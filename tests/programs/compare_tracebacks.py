"""Runs in GDB: compares GDB's backtrace at an allocation function with the traceback that the tracer records for that block.

Sourced by test_tracebacks.py in a GDB whose inferior has the tracer preloaded. Environment:
    TM_COMPARE_COUNT  allocations to compare; the program is ended when they are done
    TM_COMPARE_BATCH  so many in a row, then none until the heap has grown (0 = every one), to spread them over the run
    TM_COMPARE_OUT    where the outcome goes, as JSON: "started" are the calls that were not seen to return

At the first instruction of malloc, calloc or realloc the program counters of GDB's frames are noted; where it returns, the
block's address leads through the tracer's tables (layout.h) to what was recorded. GDB finds the structures' fields in the
tracer's debug information.
"""

import json
import os
import struct

import gdb

COUNT = int(os.environ["TM_COMPARE_COUNT"])
BATCH = int(os.environ["TM_COMPARE_BATCH"])
OUT = os.environ["TM_COMPARE_OUT"]

LIVE, FRAMES, STACKS, STACK_FRAMES = 7, 4, 5, 6  # enum tm_region_kind
SIZE_BITS, OFFSET, ID_BITS = 35, 1 << 35, 27  # live words
TRUNCATED, NO_DEPTH, BROKEN, GUESSED = 1, 2, 4, 8  # tm_stack.flags
PHYSICAL = (gdb.NORMAL_FRAME, gdb.SIGTRAMP_FRAME)
EXAMPLES = 5


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address):
    return struct.unpack("<Q", read(address, 8))[0]


class Table:
    """The tracer's tables, as far as they are needed here."""

    def __init__(self):
        beacon = gdb.parse_and_eval("&tm_table").cast(gdb.lookup_type("struct tm_beacon").pointer())
        self.root = beacon["root"]
        self.tracebacks = {}

    def region(self, kind):
        root = self.root.cast(gdb.lookup_type("struct tm_root").pointer())
        for index in range(int(root["region_count"])):
            region = root["regions"][index]
            if int(region["kind"]) == kind:
                return {name: int(region[name])
                        for name in ("element_size", "segment_shift", "directory", "middle_bits", "key_shift")}
        raise LookupError(f"no region of kind {kind}")

    def element(self, region, index):
        """Address of an element, 0 if its segment does not exist."""
        shift, middle_bits = region["segment_shift"], region["middle_bits"]
        segment, within = index >> shift, index & ((1 << shift) - 1)
        if middle_bits == 0:
            base = word(region["directory"] + 8 * segment)
        else:
            middle = word(region["directory"] + 8 * (segment >> middle_bits))
            base = word(middle + 8 * (segment & ((1 << middle_bits) - 1))) if middle else 0
        return base + within * region["element_size"] if base else 0

    def load(self):
        self.regions = {kind: self.region(kind) for kind in (LIVE, FRAMES, STACKS, STACK_FRAMES)}

    def traceback(self, stack):
        """([(kind, address)], most recent first; total, flags) of a stack id."""
        if stack not in self.tracebacks:
            at = self.element(self.regions[STACKS], stack)
            _, first, parent, own, shared, total, flags = struct.unpack("<IIIHHHH", read(at, 20))
            frames = []
            for index in range(first, first + own):
                frame = struct.unpack("<I", read(self.element(self.regions[STACK_FRAMES], index), 4))[0]
                value = word(self.element(self.regions[FRAMES], frame))
                frames.append((value >> 56, value & ((1 << 56) - 1)))
            if shared:
                frames += self.traceback(parent)[0][-shared:]
            self.tracebacks[stack] = (frames, total, flags)
        return self.tracebacks[stack]

    def of_block(self, address):
        region = self.regions[LIVE]
        at = self.element(region, address >> region["key_shift"])
        value = word(at) if at else 0
        if value == 0 or bool(value & OFFSET) != bool(address & ((1 << region["key_shift"]) - 1)):
            return None
        return self.traceback((value >> 36) & ((1 << ID_BITS) - 1))


class Comparison:
    def __init__(self):
        self.table = None
        self.outcome = {"started": 0, "compared": 0, "frames": 0, "different": 0, "unrecorded": 0, "guessed": 0, "broken": 0,
                        "truncated": 0, "distinct": 0, "bottomless": 0, "examples": [], "errors": []}
        self.distinct = set()
        self.returns = {}

    def begin(self):
        self.table = Table()
        self.hooks = [Hook(self, name) for name in ("malloc", "calloc", "realloc")]
        self.growth = Growth(self) if BATCH else None
        self.in_batch = 0

    def returns_to(self, address):
        if address not in self.returns:
            self.returns[address] = Return(self, address)
        return self.returns[address]

    def taken(self):
        """One more: is the batch full?"""
        self.in_batch += 1
        if BATCH and self.in_batch >= BATCH:
            self.in_batch = 0
            for hook in self.hooks:
                hook.enabled = False
            self.growth.enabled = True

    def resume(self):
        self.growth.enabled = False
        for hook in self.hooks:
            hook.enabled = True

    def done(self):
        return self.outcome["compared"] >= COUNT

    def compare(self, address, expected):
        """expected: GDB's program counters. What it shows below the last frame that has unwind information is its guess:
        there the recorded traceback may end earlier, and says whether it is complete."""
        outcome = self.outcome
        try:
            found = self.table.of_block(address)
        except gdb.MemoryError:
            found = None
        if found is None:
            outcome["unrecorded"] += 1
            return
        frames, total, flags = found
        recorded = [pc for _, pc in frames]
        outcome["compared"] += 1
        outcome["frames"] += len(recorded)
        for name, flag in (("guessed", GUESSED), ("broken", BROKEN), ("truncated", TRUNCATED)):
            outcome[name] += bool(flags & flag)
        self.distinct.add(tuple(recorded))
        outcome["distinct"] = len(self.distinct)
        same = recorded == expected
        if not same and recorded == expected[:len(recorded)] and is_bottom(recorded[-1]):
            outcome["bottomless"] += 1
            same = True
        if not same or (not flags & NO_DEPTH and total != len(recorded)):
            outcome["different"] += 1
            if len(outcome["examples"]) < EXAMPLES:
                outcome["examples"].append({"recorded": [hex(pc) for pc in recorded], "gdb": [hex(pc) for pc in expected],
                                            "flags": flags, "total": total})


def is_bottom(pc):
    """Is this where ld.so starts, which has no unwind information?"""
    text = gdb.execute(f"info symbol {pc}", to_string=True)
    return text.startswith(("_start ", "_dl_start_user "))


def backtrace():
    """Program counters of the physical frames above the selected function, most recent first."""
    frame = gdb.newest_frame().older()
    counters = []
    while frame is not None and frame.is_valid():
        if frame.type() in PHYSICAL:
            counters.append(frame.pc())
        frame = frame.older()
    while counters and counters[-1] == 0:
        counters.pop()  # the zero that ends a stack
    return counters


class Return(gdb.Breakpoint):
    """An address that an allocation function returns to. GDB's FinishBreakpoint misses calls from inlined functions."""

    def __init__(self, comparison, address):
        super().__init__(f"*{address:#x}", internal=True)
        self.silent = True
        self.comparison = comparison
        self.awaited = {}  # (thread, stack pointer after the return): what is expected

    def expect(self, stack_pointer, expected):
        self.awaited[(gdb.selected_thread().num, stack_pointer)] = expected
        self.enabled = True

    def stop(self):
        comparison = self.comparison
        expected = self.awaited.pop((gdb.selected_thread().num, register("rsp")), None)
        self.enabled = bool(self.awaited)
        block = register("rax")
        if expected is not None:
            comparison.outcome["started"] -= 1
            if block:
                comparison.compare(block, expected)
        return comparison.done()


def register(name):
    return int(gdb.parse_and_eval(f"(unsigned long)${name}"))


class Hook(gdb.Breakpoint):
    """The first instruction of an allocation function of the tracer."""

    def __init__(self, comparison, name):
        symbol = gdb.lookup_objfile("libtm.so").lookup_global_symbol(name)
        super().__init__(f"*{int(symbol.value().address):#x}", internal=True)
        self.silent = True
        self.comparison = comparison

    def stop(self):
        comparison = self.comparison
        table = comparison.table
        if not hasattr(table, "regions"):
            try:
                table.root = gdb.parse_and_eval("tm_table.root")
                if int(table.root) == 0:
                    return False
                table.load()
            except (LookupError, gdb.error):
                return False  # the tracer has not begun yet
        if not comparison.done():
            expected = backtrace()
            comparison.returns_to(expected[0]).expect(register("rsp") + 8, expected)
            comparison.outcome["started"] += 1
            comparison.taken()
        return False


class Growth(gdb.Breakpoint):
    """The heap grows: time for another batch."""

    def __init__(self, comparison):
        super().__init__("sbrk", internal=True)
        self.silent = True
        self.enabled = False
        self.comparison = comparison

    def stop(self):
        self.comparison.resume()
        return False


def proceed(comparison, command):
    """Runs the program on. What goes wrong in a stop() is only told in GDB's output."""
    output = gdb.execute(command, to_string=True)
    errors = comparison.outcome["errors"]
    errors += [line for line in output.splitlines() if "Python Exception" in line][:EXAMPLES - len(errors)]


def main():
    for setting in ("pagination off", "confirm off", "startup-with-shell off", "stop-on-solib-events 1",
                    "backtrace past-main on", "backtrace past-entry on", "backtrace limit unlimited",
                    "print thread-events off", "debuginfod enabled off", "breakpoint pending on"):
        gdb.execute(f"set {setting}")
    gdb.execute("handle all nostop noprint pass", to_string=True)
    comparison = Comparison()
    proceed(comparison, "run")
    while gdb.selected_inferior().pid and not any(
            objfile.filename.endswith("/libtm.so") for objfile in gdb.objfiles() if objfile.filename):
        proceed(comparison, "continue")
    gdb.execute("set stop-on-solib-events 0")
    comparison.begin()
    while gdb.selected_inferior().pid and not comparison.done():
        proceed(comparison, "continue")
    if gdb.selected_inferior().pid:
        gdb.execute("kill", to_string=True)
    with open(OUT, "w") as file:
        json.dump(comparison.outcome, file)


main()
