"""A reader and a writer of pprof's profiles by the field numbers of its public profile.proto, and by nothing of the project.

A message is a dictionary: field number -> list of values; a value is an int (varint) or bytes (length-delimited).
"""

import gzip
import types

SAMPLE_TYPE, SAMPLE, MAPPING, LOCATION, FUNCTION, STRING, PERIOD_TYPE, PERIOD, COMMENT, DEFAULT = 1, 2, 3, 4, 5, 6, 11, 12, 13, 14


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def fields(data):
    """The fields of a message."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
            assert len(value) == size
        else:
            raise AssertionError(f"wire type {key & 7}")
        found.setdefault(key >> 3, []).append(value)
    return found


def numbers(message, field):
    """A repeated number, packed or not."""
    result = []
    for value in message.get(field, []):
        if isinstance(value, int):
            result.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = varint(value, at)
            result.append(number)
    return result


def number(message, field):
    value = message.get(field, [0])
    assert len(value) == 1
    return value[0]


def read(path):
    """The profile in a file: lists of plain dictionaries, strings as bytes."""
    data = path.read_bytes()
    assert data[:2] == b"\x1f\x8b"
    top = fields(gzip.decompress(data))
    strings = top[STRING]
    assert strings[0] == b""

    def text(message, field):
        return strings[number(message, field)]

    def value_type(data):
        message = fields(data)
        return text(message, 1).decode(), text(message, 2).decode()

    profile = types.SimpleNamespace()
    profile.sample_types = [value_type(one) for one in top[SAMPLE_TYPE]]
    profile.default = text(top, DEFAULT).decode()
    profile.period_type = value_type(top[PERIOD_TYPE][0])
    profile.period = number(top, PERIOD)
    profile.comments = [strings[one].decode() for one in numbers(top, COMMENT)]
    profile.mappings = {number(one, 1): {"start": number(one, 2), "limit": number(one, 3), "path": text(one, 5), "build_id": text(one, 6)}
                        for one in map(fields, top.get(MAPPING, []))}
    profile.functions = {number(one, 1): {"name": text(one, 2), "system_name": text(one, 3), "filename": text(one, 4)}
                         for one in map(fields, top.get(FUNCTION, []))}
    profile.locations = {number(one, 1): {"mapping": number(one, 2), "address": number(one, 3),
                                          "lines": [(number(line, 1), number(line, 2)) for line in map(fields, one.get(4, []))]}
                         for one in map(fields, top.get(LOCATION, []))}
    profile.samples = []
    for one in map(fields, top.get(SAMPLE, [])):
        labels = {}
        for label in map(fields, one.get(3, [])):
            name = text(label, 1).decode()
            assert name not in labels and (number(label, 2) != 0) == (name == "source")
            labels[name] = text(label, 2).decode() if number(label, 2) else (number(label, 3), text(label, 4).decode())
        profile.samples.append({"locations": numbers(one, 1), "values": numbers(one, 2), "labels": labels})
    return profile


# ---------------------------------------------------------------------------------------------------------- writing

def encode_varint(value):
    value &= (1 << 64) - 1
    result = b""
    while value >= 0x80:
        result += bytes([value & 0x7F | 0x80])
        value >>= 7
    return result + bytes([value])


def message(*pairs):
    """The bytes of a message of (field number, int or bytes) pairs."""
    result = b""
    for field, value in pairs:
        if isinstance(value, int):
            result += encode_varint(field << 3) + encode_varint(value)
        else:
            result += encode_varint(field << 3 | 2) + encode_varint(len(value)) + value
    return result


class Strings:
    """A string table that grows."""

    def __init__(self):
        self.items = [b""]

    def __call__(self, text):
        text = text if isinstance(text, bytes) else text.encode()
        if text not in self.items:
            self.items.append(text)
        return self.items.index(text)


def heap_profile(changes=None, comments=("tm: snapshot 1", "tm: traceback_limit=5"), types_=(("inuse_objects", "count"),
                                                                                            ("inuse_space", "bytes"))):
    """A small valid profile, plain bytes. changes: {part: bytes of messages, or None for nothing} in place of that part."""
    strings = Strings()
    parts = {
        "types": b"".join(message((SAMPLE_TYPE, message((1, strings(kind)), (2, strings(unit))))) for kind, unit in types_),
        "comments": b"".join(message((COMMENT, strings(comment))) for comment in comments),
        "mappings": message((MAPPING, message((1, 1), (2, 0x1000), (3, 0x2000), (5, strings("/bin/program")), (6, strings("abcd"))))),
        "functions": message((FUNCTION, message((1, 1), (2, strings("main")), (3, strings("main")), (4, strings("main.c"))))),
        "locations": message((LOCATION, message((1, 1), (2, 1), (3, 0x1234), (4, message((1, 1), (2, 42)))))),
        "samples": message((SAMPLE, message((1, 1), (2, 3), (2, 300), (3, message((1, strings("bytes")), (3, 100)))))),
    }
    parts.update(changes(strings) if changes else {})
    return b"".join(parts.values()) + b"".join(message((STRING, text)) for text in strings.items)
