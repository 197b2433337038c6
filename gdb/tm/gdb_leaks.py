"""The commands that follow pointers: tm-leaks, tm-refs."""

from .gdb_address import AddressCommand
from .gdb_command import Command


class Leaks(Command):
    """Show the blocks that nothing reaches any more, by the way they were allocated.

Usage: tm-leaks [OPTION...]

The program's memory is searched for pointers into each live block, from registers, stacks, thread-local
storage, variables and mappings on. Direct leaks come first: no other block points to them; indirect ones are
held by leaked blocks alone.
  -n N              show the N largest groups (default 10), 0 = all
  -by KEY           group by traceback (default), lineno, filename, function, module, domain, thread or type
  -roots ROOTS      all (default), or lsan: what the program maps itself is not searched
  -suppressions FILE  leave out the leaks that a suppression file of LeakSanitizer's names
  -format FORMAT    text (default), json, csv, folded, speedscope or html
and the filters of tm-top; "tm-leaks --help" explains all options. All blocks are read once: of a process, at
the speed of GDB's reading of memory.

Examples:
  tm-leaks
  tm-leaks -by lineno -min-size 1K"""

    name = "leaks"


class Refs(AddressCommand):
    """Show who points to a block: registers, stacks, variables and other blocks.

Usage: tm-refs [OPTION...] EXPRESSION

EXPRESSION is a pointer to any byte of the block, or anything else that tm-block takes.
  -chain            show a shortest chain of pointers from a root to the block: why is it alive?
  -n N              show the first N pointers (default 10), 0 = all
  -format json      as data
"tm-refs --help" explains all options.

Examples:
  tm-refs entry
  tm-refs -chain cache->last"""

    name = "refs"


COMMANDS = (Leaks, Refs)
