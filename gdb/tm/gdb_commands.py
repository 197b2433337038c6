"""The tm-* commands that read, and all commands' registration."""

import gdb

from . import gdb_address
from . import gdb_attach
from . import gdb_control
from . import gdb_functions
from . import gdb_inferior
from . import gdb_leaks
from . import gdb_parameters
from . import gdb_prompts
from . import gdb_snapshots
from . import session
from .gdb_command import Command


class Top(Command):
    """Show which lines of code hold the most memory.

Usage: tm-top [N] [OPTION...]

N is the number of lines to show, 10 by default, 0 for all of them. Some options, with one dash or two:
  -by KEY           group by lineno (default), filename, traceback, function, module, domain, thread or type
  -cumulative       count a block for every frame of its traceback
  -value VALUE      live (default), peak or total
  -include GLOB[:LINE], -exclude GLOB[:LINE], -all-frames    filter by source file
  -function GLOB, -module GLOB, -min-size BYTES, ...         filter otherwise
  -format FORMAT    text (default), json, csv, pprof, folded, speedscope or html (flame graph and table)
  -o FILE           write to FILE
"tm-top --help" explains all of them. The process must have been started under the tracer, libtm.so; nothing
runs in it.

Examples:
  tm-top 5
  tm-top -by traceback -nframe 8
  tm-top 0 -include "*/parser/*" -o parser.txt
  tm-top -format html -o memory.html"""

    name = "top"

    def run(self, arguments, from_tty):
        numbers = [index for index in self.operands(arguments) if arguments[index].isdecimal()]
        if numbers:  # the operand N is the engine's option -n
            arguments.insert(numbers[0], "-n")
        super().run(arguments, from_tty)


class Info(Command):
    """Show the state of the tracer: what it traces, how much memory it counts and needs, and the modules.

Usage: tm-info [OPTION...]

  -format json      as data
  -o FILE           write to FILE
"tm-info --help" explains all options.

Example:
  tm-info"""

    name = "info"


class Report(Command):
    """Show what happened: the program, its signal, and who holds its memory.

Usage: tm-report [OPTION...]

This is what "coreanalyze CORE" prints of a core file. It takes the options of tm-top that choose what is
counted; "tm-report --help" explains them.

Example:
  tm-report -by module"""

    name = "report"


class Traces(Command):
    """Show every live block as data: its domain, size and traceback.

Usage: tm-traces [OPTION...]

  -format FORMAT    text (default), json, csv or folded
  -o FILE           write to FILE
and the filters of tm-top; "tm-traces --help" explains all options. The answer can be long.

Example:
  tm-traces -min-size 1M -format json -o large.json"""

    name = "traces"


class _Prefix(gdb.Command):
    """Commands of tm, tracemalloc for native programs.

Usage: tm COMMAND [ARGUMENT...], or tm-COMMAND [ARGUMENT...]

They show who holds the memory of a program that runs under the tracer (libtm.so, started by tm-run or
LD_PRELOAD), live or from its core file. In GDB's Python, "import tm" gives tracemalloc's API for it."""

    def __init__(self):
        super().__init__("tm", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)

    def invoke(self, argument, _from_tty):
        if argument:
            raise gdb.GdbError('Undefined tm command: "%s". Try "help tm".' % argument)
        gdb.execute("help tm")


class Blocks(Command):
    """Show live blocks one by one: address, size, age, thread and line.

Usage: tm-blocks [OPTION...]

  -n N              show the first N blocks (default 10), 0 = all
  -sort ORDER       size (default), address or age
  -older SECONDS, -newer SECONDS    by age, where the tracer records it (detail=1)
  -format FORMAT    text (default), json or csv
and the filters of tm-top; "tm-blocks --help" explains all options. Ages count to the newest time stamp that
the tracer has.

Example:
  tm-blocks -sort address -min-size 1M"""

    name = "blocks"


COMMANDS = (Top, Info, Report, Traces, Blocks, *gdb_address.COMMANDS, *gdb_leaks.COMMANDS, *gdb_snapshots.COMMANDS, *gdb_control.COMMANDS)


def register():
    """Defines the commands; again where they are defined already."""
    gdb_inferior.watch_events()
    gdb_prompts.watch()
    session.find_default = gdb_inferior.current_target
    session.find_kept = gdb_snapshots.find
    session.start_tracer = gdb_attach.start
    _Prefix()
    for command in COMMANDS:
        command("tm " + command.name)
        command("tm-" + command.name)
    gdb_parameters.register()
    gdb_functions.register()
