"""A second reader of the tracer's tables, written from docs/layout.md alone: the engine's oracle.

Not a line of it comes from the engine. It reads an ELF core (or memory given as {address: bytes}) with struct and gives what the page
says: state, blocks, tracebacks, modules, totals, counters per stack, operations in flight, and what could not be read.

    image = second_reader.read(second_reader.Core(path))
    image.blocks, image.totals, image.flights, image.missing ...

As a program: second_reader.py CORE prints a summary.
"""

import array
import bisect
import collections
import dataclasses
import mmap
import pathlib
import struct
import sys

MAJOR = 1  # the version that this reader knows, with every minor one
PREFERRED = 0x2000000000
ROOT_MAGIC = b"\x89tm-root\r\n\x1a\n\0\0\0\0"
BEACON_MAGIC = b"\x89tm-beacon\r\n\x1a\n\0\0"
NOTE_TYPE = 0x746D0001
PAGE = 4096
ROOT_MINIMUM = 272
BYTE_ORDER = 0x0102030405060708
SPARSE = 2 ** 64 - 1
MASK = 2 ** 64 - 1

# The page's tables of fields: the names of each structure's fields, in the order that numbers them.
STRUCTURES = {
    1: "magic major minor byte_order header_size machine self start_time pid state features traceback_limit region_count region_size "
       "field_count fields sample_bytes max_bytes freed_count generation current peak peak_epoch fold_bytes committed_bytes "
       "private_bytes dropped_count dropped_size anomaly_count request request_argument untraced_time check reserved reserved2 "
       "regions",
    2: "kind shard element_size segment_shift directory directory_length middle_bits key_shift flags count committed check reserved",
    3: "tid state dropped_count dropped_size order reserved operations",
    4: "code domain address new_address size entry stack flags stack_pointer generation allocated_count allocated_size freed_count "
       "freed_size before",
    5: "start end bias loaded_time unloaded_time path path_length build_id_length flags build_id check path_check "
       "reserved",
    6: "word module check",
    7: "check frames parent own shared total_nframe flags omitted reserved domain",
    8: "stack generation allocated_count allocated_size freed_count freed_size peak_count peak_size peak_epoch",
    9: "word time order thread reserved",
    10: "state address size domain stack time order thread reserved reserved2",
    11: "order address size allocated_time freed_time allocated_thread freed_thread allocated_stack freed_stack domain check",
}
ROOT, REGION, THREAD, OPERATION, MODULE, FRAME, STACK, STATS, LIVE_DETAIL, WIDE, FREED = range(1, 12)
# The words of each record's check; names of 8-byte fields end with a colon.
CHECKED = {
    ROOT: "major minor byte_order: header_size machine self: start_time: region_size field_count fields: sample_bytes: max_bytes: "
          "freed_count:",
    REGION: "kind shard element_size segment_shift directory: directory_length middle_bits key_shift flags",
    MODULE: "start: end: bias: loaded_time: path path_length build_id_length flags",
    FRAME: "word: module",
    STACK: "parent own shared omitted total_nframe flags domain",
    FREED: "order: address: size: allocated_time: freed_time: allocated_thread freed_thread allocated_stack freed_stack domain",
}
# Where the root's own fields are: enough to find the field table.
ROOT_START = struct.Struct("<16sIIQIIQQIIQIIIIQ")

KIND_THREADS, KIND_MODULES, KIND_STRINGS, KIND_FRAMES, KIND_STACKS, KIND_STACK_FRAMES, KIND_LIVE, KIND_STATS, KIND_WIDE, KIND_HISTORY = \
    range(1, 11)
STATE_TRACING = 2
DETAIL, STATS_KEPT, INHERITED = 0x01, 0x02, 0x20
ALLOCATE, FREE, REALLOCATE, TRACK, UNTRACK, CONTROL = range(1, 7)
DONE, REPLACES = 1, 2
TRUNCATED, NO_DEPTH = 1, 2
IN_WIDE = 0x7FFFFFFFF


class Unreadable(Exception):
    """Memory that the image does not have."""


class NotTables(Exception):
    """No root, or one that this reader must refuse."""


# ------------------------------------------------------------------------------------------------------- memory

class Memory:
    """Pieces of memory by address: (start, bytes-like)."""

    def __init__(self, pieces, hints=()):
        self.pieces = sorted(pieces, key=lambda piece: piece[0])
        self.starts = [start for start, _ in self.pieces]
        self.hints = list(hints)  # addresses of pages that begin a mapped file
        self.threads = []  # (tid, stack pointer)

    def read(self, address, size):
        """Exactly `size` bytes, also across adjoining pieces."""
        result = b""
        while len(result) < size:
            at = address + len(result)
            number = bisect.bisect_right(self.starts, at) - 1
            start, data = self.pieces[number] if number >= 0 else (0, b"")
            if number < 0 or at >= start + len(data):
                raise Unreadable(f"{at:#x}")
            result += bytes(data[at - start:at - start + size - len(result)])
        return result

    def number(self, address, size=8):
        return int.from_bytes(self.read(address, size), "little")


class Core(Memory):
    """An ELF core file, whole or cut."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        if bytes(data[:6]) != b"\x7fELF\x02\x01" or len(data) < 64:
            raise NotTables("no 64-bit little-endian ELF file")
        offset, = struct.unpack_from("<Q", data, 32)
        entry_size, count = struct.unpack_from("<HH", data, 54)
        pieces, self.headers, notes = [], [], []
        self.notes = notes  # their segments, as they are
        for i in range(count):
            if offset + i * entry_size + 56 > len(data):
                break
            kind, _, position, address, _, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", data, offset + i * entry_size)
            if kind == 1:
                self.headers.append((address, in_memory, in_file))
                if position < len(data):
                    pieces.append((address, data[position:min(position + in_file, len(data))]))
            elif kind == 4:
                notes.append(bytes(data[position:position + in_file]))
        super().__init__(pieces, [address for address, piece in pieces if bytes(piece[:4]) == b"\x7fELF"])
        for note in notes:
            self._read_notes(note)

    def _read_notes(self, data):
        at = 0
        while at + 12 <= len(data):
            name_size, size, kind = struct.unpack_from("<III", data, at)
            begin = at + 12 + (name_size + 3 & ~3)
            if kind == 1 and size >= 112 + 27 * 8 and begin + size <= len(data):  # NT_PRSTATUS of x86-64
                tid, = struct.unpack_from("<I", data, begin + 32)
                stack_pointer, = struct.unpack_from("<Q", data, begin + 112 + 19 * 8)
                self.threads.append((tid, stack_pointer))
            at = begin + (size + 3 & ~3)


# --------------------------------------------------------------------------------------------- finding the root

def _root_at(memory, address):
    """The address of the root that is at or named by `address`, or None."""
    for _ in range(2):
        try:
            head = ROOT_START.unpack(memory.read(address, ROOT_START.size))
        except Unreadable:
            return None
        if head[0] != ROOT_MAGIC or head[3] != BYTE_ORDER:
            return None
        if head[6] == address:
            return address
        address = head[6]  # a copy: look there, once
    return None


def _root_by_beacon(memory, address):
    try:
        magic, own, root, _, _ = struct.unpack("<16sQQII", memory.read(address, 40))
    except Unreadable:
        return None
    return _root_at(memory, root) if magic == BEACON_MAGIC and own == address and root else None


def _root_by_note(memory):
    """Through the note in the dumped first page of the object that holds the tracer."""
    for base in memory.hints:
        try:
            header = memory.read(base, 64)
            offset, = struct.unpack_from("<Q", header, 32)
            size, count = struct.unpack_from("<HH", header, 54)
            table = memory.read(base + offset, size * count)
        except Unreadable:
            continue
        segments = [struct.unpack_from("<IIQQQQ", table, i * size) for i in range(count)]
        first = [address for kind, _, in_file, address, _, _ in segments if kind == 1 and in_file == 0]
        base -= first[0] if first else 0  # a program at a fixed address counts from 0
        for kind, _, _, address, _, in_file in segments:
            if kind != 4:
                continue
            try:
                notes = memory.read(base + address, in_file)
            except Unreadable:
                continue
            at = 0
            while at + 12 <= len(notes):
                name_size, length, note_type = struct.unpack_from("<III", notes, at)
                begin = at + 12 + (name_size + 3 & ~3)
                if note_type == NOTE_TYPE and notes[at + 12:at + 12 + name_size].rstrip(b"\0") == b"tm" and length == 8:
                    distance, = struct.unpack_from("<q", notes, begin)
                    root = _root_by_beacon(memory, base + address + begin + distance)
                    if root is not None:
                        return root
                at = begin + (length + 3 & ~3)
    return None


def _root_by_scan(memory):
    for start, data in memory.pieces:
        for at in range(-start % PAGE, len(data) - ROOT_MINIMUM + 1, PAGE):
            if bytes(data[at:at + 16]) == ROOT_MAGIC:
                root = _root_at(memory, start + at)
                if root is not None:
                    return root
    return None


ROUTES = {
    "preferred": lambda memory: _root_at(memory, PREFERRED),
    "note": _root_by_note,
    "scan": _root_by_scan,
}


def find_root(memory):
    for route in ROUTES.values():
        root = route(memory)
        if root is not None:
            return root
    raise NotTables("no root")


# -------------------------------------------------------------------------------------------------- the tables

class Layout:
    """Decodes structures by the image's own field table."""

    def __init__(self, memory, fields, count):
        self.offsets = {number: {} for number in STRUCTURES}
        names = {number: text.split() for number, text in STRUCTURES.items()}
        table = memory.read(fields, 8 * count)
        for structure, field, offset, size in struct.iter_unpack("<HHHH", table):
            if structure in names and field < len(names[structure]):
                self.offsets[structure][names[structure][field]] = offset, size

    def decode(self, structure, data):
        """{field: number, or bytes when it is no number}; 0 for what the writer did not have or the element does not reach."""
        record = dict.fromkeys(STRUCTURES[structure].split(), 0)
        for name, (offset, size) in self.offsets[structure].items():
            piece = data[offset:offset + size]
            record[name] = int.from_bytes(piece, "little") if size <= 8 else bytes(piece)
        return record


@dataclasses.dataclass
class Region:
    """One table."""

    memory: Memory
    fields: dict
    image: object

    def segment(self, number):
        """Address of a segment; 0 when it does not exist."""
        fields = self.fields
        if number >= fields["directory_length"] << fields["middle_bits"]:
            return 0
        if fields["middle_bits"] == 0:
            return self.memory.number(fields["directory"] + 8 * number)
        middle = self.memory.number(fields["directory"] + 8 * (number >> fields["middle_bits"]))
        return self.memory.number(middle + 8 * (number & (1 << fields["middle_bits"]) - 1)) if middle else 0

    def element(self, index):
        """Its bytes; None when its segment does not exist."""
        base = self.segment(index >> self.fields["segment_shift"])
        if base == 0:
            return None
        size = self.fields["element_size"]
        return self.memory.read(base + (index & (1 << self.fields["segment_shift"]) - 1) * size, size)

    def segments(self):
        """(index of its first element, address) of each segment that exists; what cannot be read goes to image.missing."""
        fields = self.fields
        upper = _words(self.image, fields["directory"], fields["directory_length"])
        shift = fields["segment_shift"]
        for number, word in enumerate(upper):
            if word == 0:
                continue
            if fields["middle_bits"] == 0:
                yield number << shift, word
                continue
            for low, base in enumerate(_words(self.image, word, 1 << fields["middle_bits"])):
                if base:
                    yield (number << fields["middle_bits"] | low) << shift, base

    def elements(self):
        """(index, bytes) of the elements below count; of a sparse table all that have a segment."""
        count, size = self.fields["count"], self.fields["element_size"]
        for first, base in self.segments():
            if first >= count:
                break
            length = min(1 << self.fields["segment_shift"], count - first)
            data = _piece(self.image, base, length * size)
            for i in range(len(data) // size):
                yield first + i, data[i * size:(i + 1) * size]


def _piece(image, address, size):
    """As many of the bytes as there are; the rest is noted as missing."""
    try:
        return image.memory.read(address, size)
    except Unreadable:
        pass
    low, high = 0, size  # the longest readable start
    while low < high:
        half = (low + high + 1) // 2
        try:
            image.memory.read(address, half)
            low = half
        except Unreadable:
            high = half - 1
    image.missing.append((address + low, size - low))
    return image.memory.read(address, low) if low else b""


def _words(image, address, count):
    data = _piece(image, address, 8 * count)
    return array.array("Q", data[:len(data) // 8 * 8])


@dataclasses.dataclass(frozen=True)
class Block:
    """One live block."""

    domain: int
    address: int
    size: int
    stack: int
    thread: int = 0
    time: int = 0
    order: int = 0


@dataclasses.dataclass
class Flight:
    """An operation in flight."""

    tid: int
    level: int
    fields: dict
    after: bool = False


@dataclasses.dataclass
class Totals:
    """Sums over all slots, and what was dropped."""

    blocks: int = 0
    current: int = 0
    peak: int = 0
    allocated_count: int = 0
    allocated_size: int = 0
    dropped_count: int = 0
    dropped_size: int = 0


class Image:
    """What the tables hold. Filled by read()."""

    def __init__(self, memory):
        self.memory = memory
        self.missing = []  # (address, bytes) of what the image does not have
        self.bad = []  # what failed its check, in words
        self.blocks = []
        self.flights = []
        self.totals = Totals()
        self.counters = {}  # of each stack, with the feature STATS
        self.peak_is_now = False  # what is alive is what was at the peak
        self.freed = []  # fields of each element of the history, in order of time
        self.regions = {}
        self.modules = {}
        self._stacks = {}
        self._frames = {}
        address = find_root(memory)
        self._read_root(address)

    # ---- root and regions

    def _read_root(self, address):
        head = ROOT_START.unpack(self.memory.read(address, ROOT_START.size))
        major, minor, header_size, field_count, fields = head[1], head[2], head[4], head[14], head[15]
        if major != MAJOR:
            raise NotTables(f"the image's layout is {major}.{minor}, this reader knows {MAJOR}")
        if header_size < ROOT_MINIMUM:
            raise NotTables(f"header of {header_size} bytes")
        self.layout = Layout(self.memory, fields, field_count)
        self.root = self.layout.decode(ROOT, _piece(self, address, header_size))
        self.root["address"] = address
        self.whole(ROOT, self.root, "the root")
        self.generation = self.root["generation"]
        begin, _ = self.layout.offsets[ROOT]["regions"]
        for i in range(self.root["region_count"]):
            data = self.memory.read(address + begin + i * self.root["region_size"], self.root["region_size"])
            fields = self.layout.decode(REGION, data)
            if fields["kind"] and self.whole(REGION, fields, f"region {i}"):
                self.regions.setdefault(fields["kind"], []).append(Region(self.memory, fields, self))

    def whole(self, structure, fields, what, *more):
        """Whether the record's check, over its fields and `more`, is right; else it is noted in `bad`."""
        if fields["check"] == check_of([*checked_words(structure, fields), *more]):
            return True
        self.bad.append(f"{what} fails its check")
        return False

    def has(self, feature):
        return bool(self.root["features"] & feature)

    def tracing(self):
        """Whether there are traces, with the effect of a request that the tracer has not seen yet."""
        return self.root["state"] == STATE_TRACING and self.root["request"] not in (2, 3)

    def _element(self, kind, index):
        """The bytes of an element of the first region of a kind; None when there is none or it cannot be read."""
        for region in self.regions.get(kind, [])[:1]:
            try:
                return region.element(index)
            except Unreadable:
                self.missing.append((index, kind))
        return None

    # ---- blocks

    def word_valid(self, word):
        return word != 0 and word >> 63 == self.generation & 1

    def read_live(self):
        """{address: Block} of domain 0's words."""
        blocks = {}
        for region in self.regions.get(KIND_LIVE, []):
            size, shift = region.fields["element_size"], region.fields["key_shift"]
            for first, base in region.segments():
                data = _piece(self, base, size << region.fields["segment_shift"])
                words = array.array("Q", data[:len(data) // 8 * 8])[::size // 8]
                for i, word in enumerate(words):
                    if self.word_valid(word) and word & IN_WIDE != IN_WIDE:
                        block = self._live_block(word, first + i, shift, data[i * size:(i + 1) * size])
                        blocks[block.address] = block
        return blocks

    def _live_block(self, word, index, key_shift, element):
        address = (index << key_shift) + (16 if word >> 35 & 1 else 0)
        detail = self.layout.decode(LIVE_DETAIL, element) if self.has(DETAIL) else {"thread": 0, "time": 0, "order": 0}
        return Block(0, address, word & IN_WIDE, word >> 36 & 0x7FFFFFF, detail["thread"], detail["time"], detail["order"])

    def read_wide(self):
        """{(domain, address): Block} of what is live in this generation; the busy and the dead ones."""
        live, busy, dead = {}, [], []
        for region in self.regions.get(KIND_WIDE, []):
            for _, data in region.elements():
                entry = self.layout.decode(WIDE, data)
                block = Block(entry["domain"], entry["address"], entry["size"], entry["stack"], entry["thread"], entry["time"],
                              entry["order"])
                state = entry["state"] & 0xFF
                if state == 2 and entry["state"] >> 8 == self.generation:
                    if (block.domain, block.address) in live:
                        self.bad.append(f"two records of {block.address:#x} in domain {block.domain}")
                    live[block.domain, block.address] = block
                elif state in (1, 3):
                    (busy if state == 1 else dead).append(block)
        return live, busy, dead

    def read_freed(self):
        """[fields] of the history's elements, those that are being written left out."""
        freed = []
        for region in self.regions.get(KIND_HISTORY, []):
            for index, data in region.elements():
                entry = self.layout.decode(FREED, data)
                if entry["check"] > 1 and self.whole(FREED, entry, f"freed block {index}"):
                    freed.append(entry)
        return sorted(freed, key=lambda entry: (entry["freed_time"], entry["order"]))

    def word_at(self, address):
        """The live word of an address of domain 0, valid or not; 0 when there is none."""
        for region in self.regions.get(KIND_LIVE, []):
            data = region.element(address >> region.fields["key_shift"])
            if data is not None:
                return int.from_bytes(data[:8], "little")
        return 0

    # ---- threads and operations

    def read_threads(self):
        """[(slot's fields, [operations])]"""
        threads = []
        _, one = self.layout.offsets[THREAD]["operations"]
        begin = self.layout.offsets[THREAD]["operations"][0]
        step = one // 3
        for region in self.regions.get(KIND_THREADS, []):
            for index, data in region.elements():
                slot = self.layout.decode(THREAD, data)
                slot["slot"] = index
                threads.append((slot, [self.layout.decode(OPERATION, data[begin + level * step:begin + (level + 1) * step])
                                       for level in range(3)]))
        return threads

    # ---- tracebacks and modules

    def stack(self, number):
        """(fields, [frame ids], most recent first), or None when the record is not there or fails its check."""
        if number not in self._stacks:
            self._stacks[number] = None
            self._stacks[number] = self._read_stack(number)
        return self._stacks[number]

    def _read_stack(self, number):
        data = self._element(KIND_STACKS, number)
        record = self.layout.decode(STACK, data) if data else None
        if record is None or record["check"] == 0:
            return None
        own = self._own_frames(record)
        if own is None or not self.whole(STACK, record, f"stack {number}", *own):
            return None
        inherited = []
        if record["parent"] and record["shared"]:
            parent = self.stack(record["parent"]) if record["parent"] < number else None
            if parent is None or len(parent[1]) < record["shared"] + record["omitted"]:
                return None
            end = len(parent[1]) - record["omitted"]
            inherited = parent[1][end - record["shared"]:end]
        return record, own + inherited

    def _own_frames(self, record):
        for region in self.regions.get(KIND_STACK_FRAMES, []) if record["own"] else []:
            try:
                shift = region.fields["segment_shift"]
                base = region.segment(record["frames"] >> shift)
                at = base + (record["frames"] & (1 << shift) - 1) * region.fields["element_size"]
                return list(array.array("I", self.memory.read(at, 4 * record["own"]))) if base else None
            except Unreadable:
                return None
        return None if record["own"] else []

    def frame(self, number):
        """(kind, address, module index), or None."""
        if number not in self._frames:
            data = self._element(KIND_FRAMES, number)
            fields = self.layout.decode(FRAME, data) if data else {"word": 0}
            good = fields["word"] and self.whole(FRAME, fields, f"frame {number}")
            self._frames[number] = (fields["word"] >> 56, fields["word"] & (1 << 56) - 1, fields["module"]) if good else None
        return self._frames[number]

    def module(self, number):
        """Fields of a module with its path's text, or None."""
        if number not in self.modules:
            data = self._element(KIND_MODULES, number) if number else None
            fields = self.layout.decode(MODULE, data) if data else None
            if fields is not None and fields["start"] and self.whole(MODULE, fields, f"module {number}", *fields["build_id"]):
                path = self._string(fields["path"], fields["path_length"])
                if check_of(path) != fields["path_check"]:
                    self.bad.append(f"the path of module {number} fails its check")
                    path = b""
                fields["path"] = path
                fields["build_id"] = fields["build_id"][:fields["build_id_length"]].hex()
            else:
                fields = None
            self.modules[number] = fields
        return self.modules[number]

    def all_modules(self):
        count = self.regions[KIND_MODULES][0].fields["count"] if KIND_MODULES in self.regions else 0
        return [module for module in map(self.module, range(1, count)) if module]

    def _string(self, position, length):
        for region in self.regions.get(KIND_STRINGS, []) if length else []:
            shift = region.fields["segment_shift"]
            try:
                base = region.segment(position >> shift)
                return self.memory.read(base + (position & (1 << shift) - 1), length) if base else b""
            except Unreadable:
                return b""
        return b""

    def traceback(self, number):
        """[(module path, address in the file)], oldest first; (b"", address) of no module. None when the record is bad."""
        found = self.stack(number)
        if found is None:
            return None
        frames = []
        for frame in map(self.frame, reversed(found[1])):
            if frame is None:
                frames.append(None)
                continue
            module = self.module(frame[2])
            frames.append((module["path"], frame[1] - module["bias"]) if module else (b"", frame[1]))
        return frames

    def depth(self, number):
        """total_nframe, or None when it is not known."""
        found = self.stack(number)
        return found[0]["total_nframe"] if found and number > 1 and not found[0]["flags"] & NO_DEPTH else None


def checked_words(structure, fields):
    """The 32-bit words of a record's fields that its check is over."""
    for name in CHECKED[structure].split():
        value = fields[name.rstrip(":")]
        yield value & 0xFFFFFFFF
        if name.endswith(":"):
            yield value >> 32


def check_of(words):
    check = 2166136261
    for word in words:
        check = (check ^ word) * 0x9E3779B1 % 2 ** 32
        check ^= check >> 15
    return check if check > 1 else check + 2


# ------------------------------------------------------------------------------------------ operations in flight

class Settlement:
    """Decides each operation in flight, and adds or leaves out its block."""

    def __init__(self, image, live, wide, busy, dead):
        self.image, self.live, self.wide, self.busy, self.dead = image, live, wide, busy, dead
        self.rules = {ALLOCATE: self.allocate, FREE: self.free, REALLOCATE: self.reallocate, TRACK: self.track, UNTRACK: self.untrack}

    def record(self, domain, address):
        """The block on record there: a valid live word of domain 0, or a live entry of WIDE."""
        if domain == 0 and address in self.live:
            return self.live[address]
        return self.wide.get((domain, address))

    def put(self, block):
        """Makes it a block that is there."""
        if self.record(block.domain, block.address) is None:
            self.wide[block.domain, block.address] = block

    def remove(self, domain, address):
        if domain == 0:
            self.live.pop(address, None)
        self.wide.pop((domain, address), None)

    def entry_block(self, operation):
        """The block that a live word stood for."""
        word = operation["entry"]
        return Block(operation["domain"], operation["address"], word & IN_WIDE, word >> 36 & 0x7FFFFFF)

    def settle(self, operation):
        """Whether it is shown as done."""
        rule = self.rules.get(operation["code"])
        return rule(operation) if rule else bool(operation["flags"] & DONE)

    def allocate(self, operation):
        known = operation["new_address"] and self.record(operation["domain"], operation["new_address"])
        return bool(operation["flags"] & DONE or known)

    def free(self, operation):
        if operation["entry"]:
            gone = self.image.word_at(operation["address"]) != operation["entry"]
        else:
            gone = (operation["domain"], operation["address"]) not in self.wide
        after = bool(operation["flags"] & DONE) or gone
        if after and operation["entry"] == 0:
            self.remove(operation["domain"], operation["address"])
        return after

    def reallocate(self, operation):
        domain, old, new = operation["domain"], operation["address"], operation["new_address"]
        there = self.record(domain, new) if new else None
        if operation["flags"] & DONE or there and there.size == operation["size"] and there.stack == operation["stack"]:
            return True
        if operation["entry"]:
            if self.image.word_at(old) in (0, operation["entry"]):
                self.put(self.entry_block(operation))
        else:
            for block in self.held(self.busy, operation):
                self.put(block)
        return False

    def held(self, blocks, operation):
        """Of these WIDE entries those that a realloc has in its hands: not its own new one."""
        return [block for block in blocks if (block.domain, block.address) == (operation["domain"], operation["address"]) and
                (block.size, block.stack) != (operation["size"], operation["stack"])]

    def size_of_old(self, operation):
        """Of the block that a realloc, shown as done, has freed."""
        if operation["entry"]:
            return operation["entry"] & IN_WIDE
        return next((block.size for block in self.held([*self.busy, *self.dead], operation)), 0)

    def track(self, operation):
        there = self.record(operation["domain"], operation["address"])
        if there is not None:
            same = (there.size, there.stack) == (operation["size"], operation["stack"])
            return bool(operation["flags"] & DONE) or same
        if operation["flags"] & REPLACES:
            self.put(Block(operation["domain"], operation["address"], operation["size"], operation["stack"]))
            return True
        return bool(operation["flags"] & DONE)

    def untrack(self, operation):
        return bool(operation["flags"] & DONE) or self.record(operation["domain"], operation["address"]) is None


# ------------------------------------------------------------------------------------------------------- totals

COUNTERS = ("allocated_count", "allocated_size", "freed_count", "freed_size")


def operation_counters(operation, after, size_of_old):
    """The four counters of one operation slot; size_of_old(operation) is what a realloc frees."""
    if operation["code"] == 0 or operation["flags"] & DONE:
        return tuple(operation[name] for name in COUNTERS)
    counters = list(struct.unpack("<4Q", operation["before"]))
    if after:
        code, size = operation["code"], operation["size"]
        gone = size_of_old(operation) if code == REALLOCATE else size
        if code in (ALLOCATE, REALLOCATE, TRACK):
            counters[0] += 1
            counters[1] += size
        if code in (FREE, UNTRACK, REALLOCATE):
            counters[2] += 1
            counters[3] += gone
        if code == TRACK and operation["flags"] & REPLACES:
            counters[2] += 1
            counters[3] += operation["entry"]
    return tuple(counters)


def _add_up(image, threads, afters, size_of_old):
    totals = image.totals
    sums = [0, 0, 0, 0]
    totals.dropped_count, totals.dropped_size = image.root["dropped_count"], image.root["dropped_size"]
    for slot, operations in threads:
        totals.dropped_count += slot["dropped_count"]
        totals.dropped_size += slot["dropped_size"]
        for level, operation in enumerate(operations):
            if operation["generation"] == image.generation:
                counters = operation_counters(operation, afters.get((slot["slot"], level), False), size_of_old)
                sums = [a + b for a, b in zip(sums, counters)]
    totals.allocated_count, totals.allocated_size = sums[0] & MASK, sums[1] & MASK
    totals.blocks, totals.current = sums[0] - sums[2] & MASK, sums[1] - sums[3] & MASK
    controls = [operation["address"] for _, operations in threads for operation in operations if operation["code"] == CONTROL]
    image.peak_is_now = image.root["request"] == 4 or 4 in controls or totals.current > image.root["peak"] or \
        bool(controls) and image.root["peak"] > totals.allocated_size
    totals.peak = totals.current if image.peak_is_now else image.root["peak"]


# --------------------------------------------------------------------------------------------- counters per stack

@dataclasses.dataclass
class Counters:
    """Of one stack: blocks and bytes."""

    live: tuple = (0, 0)
    total: tuple = (0, 0)
    peak: tuple = (0, 0)


def _minus(left, right):
    return left[0] - right[0] & MASK, left[1] - right[1] & MASK


def _plus(left, right):
    return left[0] + right[0] & MASK, left[1] + right[1] & MASK


def read_counters(image):
    """{stack id: Counters}: the records of all threads added up, operations in flight as they are shown."""
    counters = collections.defaultdict(Counters)
    for region in image.regions.get(KIND_STATS, []) if image.has(STATS_KEPT) else []:
        for _, data in region.elements():
            record = image.layout.decode(STATS, data)
            if record["stack"] == 0 or record["generation"] != image.generation & 0xFFFFFFFF:
                continue
            allocated = record["allocated_count"], record["allocated_size"]
            live = allocated[0] - record["freed_count"] & MASK, allocated[1] - record["freed_size"] & MASK
            own_peak = not image.peak_is_now and record["peak_epoch"] == image.root["peak_epoch"]
            found = counters[record["stack"]]
            found.live = _plus(found.live, live)
            found.total = _plus(found.total, allocated)
            found.peak = _plus(found.peak, (record["peak_count"], record["peak_size"]) if own_peak else live)
    underway = [flight for flight in image.flights if not flight.fields["flags"] & DONE]
    if counters and underway:
        live = _live_by_stack(image)
        _settle_totals(image, counters, live, [flight.fields for flight in underway if flight.after])
        for stack in {*counters, *live} if image.peak_is_now else ():
            counters[stack].peak = live.get(stack, (0, 0))
    return counters


def _live_by_stack(image):
    live = {}
    for block in image.blocks:
        live[block.stack] = _plus(live.get(block.stack, (0, 0)), (1, block.size))
    return live


def _settle_totals(image, counters, live, after):
    """Gives the totals what they lack of the operations that are shown as done."""
    rest = image.totals.allocated_count, image.totals.allocated_size
    for found in counters.values():
        rest = _minus(rest, found.total)
    added = {operation["stack"] for operation in after if operation["code"] in (ALLOCATE, REALLOCATE, TRACK)}
    losing = {operation["entry"] >> 36 & 0x7FFFFFF if operation["code"] in (FREE, REALLOCATE) else 0 for operation in after
              if operation["code"] in (FREE, REALLOCATE, UNTRACK) or operation["flags"] & REPLACES}
    others = []
    for stack in added:
        if len(added) == 1 or stack in losing or 0 in losing:
            others.append(stack)
            continue
        lacks = _minus(live.get(stack, (0, 0)), counters[stack].live)
        counters[stack].total = _plus(counters[stack].total, lacks)
        rest = _minus(rest, lacks)
    if len(others) == 1:
        counters[others[0]].total = _plus(counters[others[0]].total, rest)
    elif rest != (0, 0):
        image.bad.append(f"totals lack {rest} of stacks {others}")


# ---------------------------------------------------------------------------------------------------- the whole

def read(memory):
    """The Image of a memory: the page's ten steps."""
    image = Image(memory)
    if not image.tracing():
        return image
    threads = image.read_threads()
    live = image.read_live()
    wide, busy, dead = image.read_wide()
    settlement = Settlement(image, live, wide, busy, dead)
    afters = {}
    for slot, operations in threads:
        for level, operation in enumerate(operations):
            if operation["code"] and operation["generation"] == image.generation:
                after = afters[slot["slot"], level] = settlement.settle(operation)
                image.flights.append(Flight(slot["tid"], level, operation, after))
    image.blocks = sorted([*live.values(), *wide.values()], key=lambda block: (block.domain, block.address))
    _add_up(image, threads, afters, settlement.size_of_old)
    image.counters = read_counters(image)
    image.freed = image.read_freed()
    for block in image.blocks:
        found = image.stack(block.stack)
        if found and block.stack > 1 and found[0]["domain"] != block.domain:
            image.bad.append(f"block {block.address:#x} is of domain {block.domain}, its stack of {found[0]['domain']}")
    return image


def main(path):
    image = read(Core(path))
    root = image.root
    print(f"layout {root['major']}.{root['minor']}, pid {root['pid']}, state {root['state']}, features {root['features']:#x}, "
          f"limit {root['traceback_limit']}, generation {root['generation']}")
    print(f"{len(image.blocks)} blocks, {sum(block.size for block in image.blocks)} bytes; {image.totals}")
    for module in image.all_modules():
        print(f"module {module['start']:#x} {module['path'].decode('utf-8', 'replace')} {module['build_id']}")
    for flight in image.flights:
        print(f"in flight: thread {flight.tid} level {flight.level} code {flight.fields['code']} after {flight.after}")
    print(f"{len(image.missing)} pieces missing; bad: {image.bad}")
    return 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
