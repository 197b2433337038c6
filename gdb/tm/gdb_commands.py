"""The tm-* commands that read. Each hands its arguments to the engine, which computes and formats; the text
goes through GDB's pager."""

import os
import re

import gdb

from . import engine
from . import gdb_complete
from . import gdb_control
from . import gdb_inferior
from . import session

_PREFIX = "coreanalyze: "  # before each message of the engine
_HELP = re.compile(r"see coreanalyze (?:(\w+) )?--help$")


class _Pager:
    """Takes the engine's text: the answer goes to GDB's output line by line as it comes, messages are
    kept."""

    def __init__(self):
        self._messages = b""
        self._pending = b""

    def write(self, stream, data):
        if stream == 2:
            self._messages += data
            return
        self._pending += data
        end = self._pending.rfind(b"\n") + 1
        self._print(self._pending[:end])
        self._pending = self._pending[end:]

    def close(self):
        self._print(self._pending)
        self._pending = b""

    @staticmethod
    def _print(data):
        try:
            gdb.write(data.decode("utf-8"), gdb.STDOUT)  # GDB writes UTF-8, whatever its host charset is
        except UnicodeDecodeError:
            gdb.execute("echo " + "".join("\\%03o" % byte for byte in data))

    def messages(self, command):
        """The engine's messages, in GDB's words."""
        lines = self._messages.decode("utf-8", "backslashreplace").splitlines()
        return [_message(line, command) for line in lines]


def _message(line, command):
    line = line[len(_PREFIX):] if line.startswith(_PREFIX) else line
    line = "tm-" + line if line.startswith(command + ": ") else line
    return _HELP.sub("see tm-%s --help" % command, line)


def _colors_wanted(from_tty):
    """Colours are for a user who types at a terminal, not for scripts that capture the text nor for MI."""
    return from_tty and os.isatty(1) and bool(gdb.parameter("style enabled"))


def run(arguments, from_tty=False, find_target=None):
    """Runs a command line of the engine on the target that find_target returns. Messages of a command that
    gave no answer become GDB's error."""
    pager = _Pager()
    columns = gdb.parameter("width") or 0
    try:
        runner = engine.run_command if find_target is None else find_target().run
        status = runner(arguments, pager.write, _colors_wanted(from_tty), columns)
        pager.close()
    except engine.EngineError as error:
        raise gdb.GdbError(str(error))
    messages = pager.messages(arguments[0])
    if status not in (engine.COMPLETE, engine.PARTIAL) and messages:
        raise gdb.GdbError("\n".join(messages))
    for line in messages:
        gdb.write(line + "\n", gdb.STDERR)


class _Command(gdb.Command):
    """A command `tm-NAME`, also to be had as `tm NAME`, that runs the engine's command NAME on the selected
    inferior."""

    name = None  # of the engine's command
    operand_files = False  # operands are names of files

    def __init__(self, gdb_name):
        super().__init__(gdb_name, gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        self.dont_repeat()
        arguments = gdb.string_to_argv(argument)
        if "--help" in arguments or "-help" in arguments:
            self.print_help()
        else:
            self.run(arguments, from_tty)

    def run(self, arguments, from_tty):
        run([self.name, *arguments], from_tty, gdb_inferior.current_target)

    def print_help(self):
        """The engine's help with GDB's usage line and without exit codes."""
        try:
            text = gdb_complete.ask([self.name, "--help"])[0]
        except engine.EngineError as error:
            raise gdb.GdbError(str(error))
        usage = next(line for line in self.__doc__.splitlines() if line.startswith("Usage: "))
        text = re.sub(r"^Usage: .*$", usage, text, count=1, flags=re.MULTILINE)
        gdb.write(text.split("\nExit codes:")[0])

    def operands(self, arguments):
        """Indices of the arguments that are neither options nor their values."""
        found, value_expected = [], False
        for index, argument in enumerate(arguments):
            if not value_expected and not argument.startswith("-"):
                found.append(index)
            value_expected = not value_expected and gdb_complete.takes_value(self.name, argument)
        return found

    def complete(self, text, word):
        return gdb_complete.complete(self.name, text, word, self.operand_files)


class Top(_Command):
    """Show which lines of code hold the most memory.

Usage: tm-top [N] [OPTION...]

N is the number of lines to show, 10 by default, 0 for all of them. Some options, with one dash or two:
  -by KEY           group by lineno (default), filename, traceback, function, module, domain or thread
  -cumulative       count a block for every frame of its traceback
  -value VALUE      live (default), peak or total
  -include GLOB[:LINE], -exclude GLOB[:LINE], -all-frames    filter by source file
  -function GLOB, -module GLOB, -min-size BYTES, ...         filter otherwise
  -format FORMAT    text (default), json, csv or folded
  -o FILE           write to FILE
"tm-top --help" explains all of them. The process must have been started under the tracer, libtm.so; nothing
runs in it.

Examples:
  tm-top 5
  tm-top -by traceback -nframe 8
  tm-top 0 -include "*/parser/*" -o parser.txt"""

    name = "top"

    def run(self, arguments, from_tty):
        numbers = [index for index in self.operands(arguments) if arguments[index].isdecimal()]
        if numbers:  # the operand N is the engine's option -n
            arguments.insert(numbers[0], "-n")
        super().run(arguments, from_tty)


class Diff(_Command):
    """Show which lines of code hold more or less memory than before.

Usage: tm-diff OLD [NEW] [OPTION...]

OLD and NEW are core files; without NEW, the program as it is now is compared with OLD. The options are those
of tm-top; "tm-diff --help" explains them.

Examples:
  tm-diff core.yesterday
  tm-diff core.1 core.2 -by function -n 20"""

    name = "diff"
    operand_files = True

    def run(self, arguments, from_tty):
        files = self.operands(arguments)
        for index in files:
            arguments[index] = os.path.expanduser(arguments[index])
        run([self.name, *arguments], from_tty, gdb_inferior.current_target if len(files) == 1 else None)


class Info(_Command):
    """Show the state of the tracer: what it traces, how much memory it counts and needs, and the modules.

Usage: tm-info [OPTION...]

  -format json      as data
  -o FILE           write to FILE
"tm-info --help" explains all options.

Example:
  tm-info"""

    name = "info"


class Report(_Command):
    """Show what happened: the program, its signal, and who holds its memory.

Usage: tm-report [OPTION...]

This is what "coreanalyze CORE" prints of a core file. It takes the options of tm-top that choose what is
counted; "tm-report --help" explains them.

Example:
  tm-report -by module"""

    name = "report"


class Traces(_Command):
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


COMMANDS = (Top, Diff, Info, Report, Traces, *gdb_control.COMMANDS)


def register():
    """Defines the commands; again where they are defined already."""
    gdb_inferior.watch_events()
    session.find_default = gdb_inferior.current_target
    _Prefix()
    for command in COMMANDS:
        command("tm " + command.name)
        command("tm-" + command.name)
