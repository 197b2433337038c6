"""Convenience functions for expressions and breakpoint conditions: $_tm_size(p), $_tm_base(p) and
$_tm_domain(p)."""

import gdb

from . import engine
from . import gdb_inferior


def address_of(value):
    """What a value points to: an array is its first element, a number an address."""
    kind = value.type.strip_typedefs().code
    if kind in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        return address_of(value.referenced_value())
    if kind == gdb.TYPE_CODE_ARRAY:
        value = value.address
    return int(value) & 0xffffffffffffffff


class _Function(gdb.Function):
    """A question about the live block that an address lies in."""

    name = None

    def __init__(self):
        super().__init__(self.name)

    def invoke(self, pointer):
        try:
            found = gdb_inferior.current_target(in_condition=True).around(address_of(pointer))
        except (engine.EngineError, gdb.error) as error:
            raise gdb.GdbError("$%s: %s" % (self.name, error))
        return self.answer(*(found or (None, None, None)))

    def answer(self, base, size, domain):
        raise NotImplementedError


class Size(_Function):
    """Size of the live block that a pointer points into, as requested.

Usage: $_tm_size (POINTER)

POINTER may be the block's address or that of any byte in it. 0 where no live block is known, so that it can
be used in conditions. Where blocks lie in one another (an arena's in the arena's own) the innermost counts.

Example:
  break store if $_tm_size (buffer) < length"""

    name = "_tm_size"

    def answer(self, base, size, domain):
        return size or 0


class Base(_Function):
    """First byte of the live block that a pointer points into.

Usage: $_tm_base (POINTER)

A "void *". Null where no live block is known: p is the start of a live block if $_tm_base (p) == p.

Example:
  print (char *) p - (char *) $_tm_base (p)"""

    name = "_tm_base"

    def answer(self, base, size, domain):
        return gdb.Value(base or 0).cast(gdb.lookup_type("void").pointer())


class Domain(_Function):
    """Domain of the live block that a pointer points into.

Usage: $_tm_domain (POINTER)

0 is the malloc family, 1 anonymous mmap, others are the program's own (tm_track). -1 where no live block is
known.

Example:
  break release if $_tm_domain (block) != 0"""

    name = "_tm_domain"

    def answer(self, base, size, domain):
        return -1 if domain is None else domain


FUNCTIONS = (Size, Base, Domain)


def register():
    """Defines the functions; again where they are defined already."""
    for function in FUNCTIONS:
        function()
