"""The settings `set tm NAME` and `show tm NAME`."""

import gdb

from . import gdb_complete


class _Parameter(gdb.Parameter):
    """A setting. A sub-class's documentation is what `help set tm NAME` says, the first line without its
    verb."""

    name = None
    kind = None
    default = None

    def __init__(self):
        first, _, rest = self.__doc__.partition("\n")
        self.set_doc = "Set " + first
        self.show_doc = "Show " + first
        text, self.__doc__ = rest.strip("\n"), rest.strip("\n")
        super().__init__("tm " + self.name, gdb.COMMAND_DATA, self.kind)
        self.__doc__ = text
        self.value = self.default

    def get_set_string(self):
        return ""

    def get_show_string(self, value):
        return "tm %s is %s." % (self.name, value or "empty")


class AutoSnapshot(_Parameter):
    """whether the statistics of each prompt are kept for tm-diff.

At each prompt that you see after the program has run, what every stack of calls holds is kept, so that
tm-diff without a name shows what has changed since the prompt before. That costs milliseconds.
  on    keep them
  off   do not
  auto  keep them, but not on remote targets, where reading takes longer (the default)"""

    name = "auto-snapshot"
    kind = gdb.PARAM_AUTO_BOOLEAN
    default = None

    def get_show_string(self, value):
        return 'tm auto-snapshot is %s.' % {"auto": 'on, except on remote targets ("auto")'}.get(value, value)


class Skip(_Parameter):
    """which functions only hand out memory, beside those that are known.

Globs with blanks between: the frames of functions that match one are taken off the recent end of tracebacks,
so that their callers are shown. As the option -skip of tm-top and the others, for all of them.

Example:
  set tm skip my_alloc* arena_new"""

    name = "skip"
    kind = gdb.PARAM_STRING
    default = ""


class Source(_Parameter):
    """whether source lines are printed below file names and line numbers.

  on   print them (the default)
  off  as the option -no-source"""

    name = "source"
    kind = gdb.PARAM_BOOLEAN
    default = True


class Limit(_Parameter):
    """how many lines of statistics are printed.

A number: what tm-top, tm-diff and tm-report print where -n is not given; 10 by default, 0 for all."""

    name = "limit"
    kind = gdb.PARAM_ZINTEGER
    default = 10

    def get_show_string(self, value):
        return "tm limit is %s." % value

    def get_set_string(self):
        if self.value < 0:
            self.value = 10
            raise gdb.GdbError("a number from 0 on expected")
        return ""


class ShortNames(_Parameter):
    """whether C++ names are shortened.

  on   leave out what nobody wrote: default template arguments of std and its inline namespaces, as the
       option -short-names
  off  print names as they are (the default)"""

    name = "short-names"
    kind = gdb.PARAM_BOOLEAN
    default = False

    def get_show_string(self, value):
        return "tm short-names is %s." % value


class _Prefix(gdb.Command):
    """What `set tm` and `show tm` do without a setting's name."""

    def __init__(self, verb):
        self._verb = verb
        self.__doc__ = "%s the settings of tm, tracemalloc for native programs." % verb.capitalize()
        super().__init__(verb + " tm", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)

    def invoke(self, argument, _from_tty):
        if argument:
            raise gdb.GdbError('tm has no setting "%s". Try "help %s tm".' % (argument, self._verb))
        if self._verb == "set":
            gdb.execute("help set tm")
            return
        for parameter in PARAMETERS:
            gdb.execute("show tm " + parameter.name)


PARAMETERS = (AutoSnapshot, Limit, ShortNames, Skip, Source)

_registered = {}  # name: parameter


def register():
    """Defines the settings, once: GDB refuses to define a parameter again."""
    if not _registered:
        _Prefix("set")
        _Prefix("show")
        for parameter in PARAMETERS:
            _registered[parameter.name] = parameter()


def value(name):
    """The setting as Python has it; auto is None."""
    return _registered[name].value


def defaults(command):
    """The options that the settings stand for, as far as this command of the engine has them."""
    known = gdb_complete.options(command)
    found = []
    if "--limit" in known and value("limit") != Limit.default:
        found += ["--limit", str(value("limit"))]
    if "--skip" in known:
        for glob in value("skip").split():
            found += ["--skip", glob]
    if "--short-names" in known and value("short-names"):
        found.append("--short-names")
    if "--no-source" in known and not value("source"):
        found.append("--no-source")
    return found
