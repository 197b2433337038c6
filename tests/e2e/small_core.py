"""Writes small ELF core files: notes and pieces of memory, nothing else."""

import struct

PAGE = 4096
EM_X86_64 = 62


def core_bytes(notes, pieces, align=1):
    """An ELF core: `notes` is the bytes of a PT_NOTE segment; pieces are (address, bytes, size in memory), each aligned in the file."""
    count = 1 + len(pieces)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 4, EM_X86_64, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    at = 64 + 56 * count
    table = struct.pack("<IIQQQQQQ", 4, 0, at, 0, 0, len(notes), 0, 4)
    at += len(notes)
    body = bytearray(notes)
    for address, data, in_memory in pieces:
        padding = -at % align
        body += bytes(padding)
        at += padding
        table += struct.pack("<IIQQQQQQ", 1, 6, at, address, 0, len(data), max(in_memory, len(data)), align)
        body += data
        at += len(data)
    return header + table + bytes(body)


def place_of(core, address):
    """Offset in the file of an address in the tables."""
    with core.open("rb") as file:
        head = file.read(1 << 16)
    offset, = struct.unpack_from("<Q", head, 32)
    count, = struct.unpack_from("<H", head, 56)
    for i in range(count):
        kind, _, position, start, _, in_file, _, _ = struct.unpack_from("<IIQQQQQQ", head, offset + 56 * i)
        if kind == 1 and start <= address < start + in_file:
            return position + address - start
    raise AssertionError(hex(address))
