"""How a tm-* command runs: its arguments go to the engine, which computes and formats; the text goes through
GDB's pager."""

import re

import gdb

from . import engine
from . import gdb_complete
from . import gdb_inferior
from . import gdb_parameters
from . import gdb_style

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


def run(arguments, target, from_tty=False, old=None):
    """Runs a command line of the engine on a target (and one before it). Messages of a command that gave no
    answer become GDB's error. Raises engine.EngineError, too."""
    pager = _Pager()
    status = target.run(arguments, pager.write, gdb_style.look(from_tty), old)
    pager.close()
    messages = pager.messages(arguments[0])
    if status not in (engine.COMPLETE, engine.PARTIAL) and messages:
        raise gdb.GdbError("\n".join(messages))
    for line in messages:
        gdb.write(line + "\n", gdb.STDERR)


class Command(gdb.Command):
    """A command `tm-NAME`, also to be had as `tm NAME`, that runs the engine's command NAME on the selected
    inferior."""

    name = None  # what comes after tm-
    engine_name = None  # of the engine's command, where it is another one; "" = none

    def __init__(self, gdb_name):
        super().__init__(gdb_name, gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        self.dont_repeat()
        try:
            arguments = self.split(argument)
            if "--help" in arguments or "-help" in arguments:
                self.print_help()
            else:
                self.run(arguments, from_tty)
        except engine.EngineError as error:
            raise gdb.GdbError(str(error))

    def split(self, argument):
        """The words of what was typed after the command's name."""
        return gdb.string_to_argv(argument)

    @property
    def command(self):
        """The engine's command, or ""."""
        return self.name if self.engine_name is None else self.engine_name

    def line(self, arguments):
        """The engine's command line: the defaults that are set come before what was typed."""
        return [self.command, *gdb_parameters.defaults(self.command), *arguments]

    def run(self, arguments, from_tty):
        run(self.line(arguments), gdb_inferior.current_target(), from_tty)

    def print_help(self):
        """The engine's help with GDB's usage line and without exit codes."""
        if not self.command:
            gdb.write(self.__doc__ + "\n")
            return
        text = gdb_complete.ask([self.command, "--help"])[0]
        usage = next(line for line in self.__doc__.splitlines() if line.startswith("Usage: "))
        text = re.sub(r"^Usage: .*$", usage, text, count=1, flags=re.MULTILINE)
        text = re.sub(r"\nWhat is read:\n(?: .*\n)*", "", text)  # here, what GDB has
        gdb.write(text.split("\nExit codes:")[0])

    def operands(self, arguments):
        """Indices of the arguments that are neither options nor their values."""
        found, value_expected = [], False
        for index, argument in enumerate(arguments):
            if not value_expected and not argument.startswith("-"):
                found.append(index)
            value_expected = not value_expected and self.takes_value(argument)
        return found

    def takes_value(self, argument):
        return bool(self.command) and gdb_complete.takes_value(self.command, argument)

    def complete(self, text, word):
        return gdb_complete.complete(self, text, word)

    def complete_operand(self, text, before):
        """What an operand that begins so may be; `before`: the arguments before it."""
        return []
