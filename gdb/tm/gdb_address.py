"""The commands that are about an address: tm-block."""

import re

import gdb

from . import gdb_complete
from . import gdb_functions
from .gdb_command import Command

_TOKEN = re.compile(r"\s*(\S+)")


class AddressCommand(Command):
    """A command whose operand is an expression of the program's language: all that is no option. Options come
    before it, or, by their long names, after it."""

    def split(self, argument):
        options, expression = self._parts(argument)
        if expression:
            options.append("0x%x" % self._evaluate(expression))
        return options

    def _parts(self, argument):
        """(options, expression)"""
        options, start = [], 0
        match = _TOKEN.match(argument)
        while match and self._is_option(match.group(1)):
            options.append(match.group(1))
            start = match.end()
            match = _TOKEN.match(argument, start)
            if match and self.takes_value(options[-1]):
                options.append(match.group(1))
                start = match.end()
                match = _TOKEN.match(argument, start)
        rest = argument[start:]
        for match in re.finditer(r"\s(--?[a-z][\w-]+)(=\S*)?(?=\s|$)", rest):
            if self._is_option(match.group(1)):
                return options + gdb.string_to_argv(rest[match.start():]), rest[:match.start()].strip()
        return options, rest.strip()

    def _is_option(self, token):
        name = token.partition("=")[0]
        known = gdb_complete.options(self.command)
        return name in ("--help", "-help") or name in known or (len(name) > 2 and "-" + name in known)

    @staticmethod
    def _evaluate(expression):
        try:
            value = gdb.parse_and_eval(expression)
        except gdb.error as error:
            raise gdb.GdbError(str(error))
        code = value.type.strip_typedefs().code
        if code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION, gdb.TYPE_CODE_FUNC):
            value = value.address
            if value is None:
                raise gdb.GdbError("%s is a value without an address" % expression)
        try:
            return gdb_functions.address_of(value)
        except gdb.error as error:
            raise gdb.GdbError("%s is no address: %s" % (expression, error))

    def complete(self, text, word):
        token = text.split()[-1] if text and not text[-1].isspace() else ""
        before = text.split()[:-1] if token else text.split()
        if token.startswith("-") or (before and self.takes_value(before[-1])):
            return gdb_complete.complete(self, text, word)
        return gdb.COMPLETE_EXPRESSION


class Block(AddressCommand):
    """Show all about one address: the block that it is in, live or freed, and who allocated and freed it.

Usage: tm-block [OPTION...] EXPRESSION

EXPRESSION is a pointer, a number, a register such as $rdi, or anything else that the program's language has;
of a structure it is the address. Where no block is there, the answer names the stack, the variable, the code
or the mapping. Freed blocks are known where the program was started with freed=COUNT.

  -nframe N         print the N most recent frames of a traceback
  -format json      as data
  -o FILE           write to FILE
"tm-block --help" explains all options.

Examples:
  tm-block node->next
  tm-block -nframe 5 $rdi"""

    name = "block"


COMMANDS = (Block,)
