"""Completion of the commands' options. What there is to complete is asked of the engine, whose one table also
parses."""

import os
import re

import gdb

from . import engine

_NOT_HERE = ("--pid", "-p")  # the process is GDB's own
_PATH_OPTIONS = ("--output", "-o", "--sysroot", "--debug-dir", "--suppressions")

_options = {}  # command: {"--by": "KEY" or None, ...}
_choices = {}  # (command, option): [word, ...]

_HELP_LINE = re.compile(r"^ +(?:(-\w), )?(--[\w-]+)(?:\[?=([^\s\]]+)\]?)?", re.MULTILINE)


def ask(arguments):
    """What the engine prints to a command line that needs no target: (answer, messages)."""
    texts = {1: [], 2: []}
    engine.run_command(arguments, lambda stream, data: texts[stream].append(data))
    return tuple(b"".join(texts[stream]).decode("utf-8", "replace") for stream in (1, 2))


def options(command):
    """The options of a command: {"--by": "KEY", "--no-source": None, "-o": "FILE", ...}."""
    if command not in _options:
        found = {}
        for short, long, argument in _HELP_LINE.findall(ask([command, "--help"])[0]):
            found[long] = argument or None
            if short:
                found[short] = argument or None
        for name in _NOT_HERE:
            found.pop(name, None)
        _options[command] = found
    return _options[command]


def choices(command, option):
    """The words that an option takes; [] where it takes anything. The message about an impossible word names
    them."""
    if (command, option) not in _choices:
        found = re.search(r" is none of ([\w-]+(?:, [\w-]+)*)", ask([command, option + "=?"])[1])
        _choices[command, option] = found.group(1).split(", ") if found else []
    return _choices[command, option]


def _option_named(command, token):
    """The option that a token such as "-by", "--by" or "-n" stands for, or None."""
    known = options(command)
    if token in known:
        return token
    return "-" + token if "-" + token in known else None


def takes_value(command, token):
    """Whether the argument after this token belongs to it."""
    option = _option_named(command, token) if token.startswith("-") else None
    if option is None or options(command)[option] is None:
        return False
    return option != "--cumulative"  # its value only follows "="


def files(prefix):
    """Names of files and directories that begin so. GDB's own COMPLETE_FILENAME takes all arguments for one
    name."""
    directory, _, start = os.path.expanduser(prefix).rpartition("/")
    shown = prefix[:len(prefix) - len(start)]
    try:
        names = os.listdir(directory + "/" if "/" in prefix else ".")
    except OSError:
        return []
    return [shown + name for name in names if name.startswith(start) and (start or not name.startswith("."))]


def _functions(prefix):
    """What GDB completes the name of a function to."""
    if not prefix:
        return []
    lines = gdb.execute("complete break " + prefix, to_string=True).splitlines()
    return [line[len("break "):] for line in lines if " " not in line[len("break "):]]


def _modules(prefix):
    """The object files of the program, as GDB has their names."""
    return sorted({objfile.filename for objfile in gdb.objfiles() if objfile.filename and os.path.isabs(objfile.filename)})


def _threads(prefix):
    return [str(thread.ptid[1] or thread.ptid[0]) for thread in gdb.selected_inferior().threads()]


def _domains(prefix):
    return ["0", "1"]


_NAMES = {  # option: what begins like a prefix there, and perhaps more
    "--include": files, "--exclude": files, "--function": _functions, "--skip": _functions, "--module": _modules,
    "--thread": _threads, "--include-domain": _domains, "--exclude-domain": _domains,
    **dict.fromkeys(_PATH_OPTIONS, files),
}


def _values(command, option, token):
    """Values of an option that may be meant with `token`."""
    return _NAMES[option](token) if option in _NAMES else choices(command, option)


def _candidates(owner, tokens, token):
    """Completions of `token`, the last one; `tokens` are those before it."""
    command = owner.command
    if tokens and owner.takes_value(tokens[-1]):
        option = _option_named(command, tokens[-1])
        return _values(command, option, token)
    if not token.startswith("-") or not command:
        return owner.complete_operand(token, tokens)
    name, equals, value = token.partition("=")
    option = _option_named(command, name)
    if equals and option:
        return [name + "=" + found for found in _values(command, option, value)]
    long_options = [option for option in options(command) if option.startswith("--")]
    if token.startswith("--") or token == "-":
        return long_options
    return [option[1:] for option in long_options]  # GDB's way to write them


def complete(owner, text, word):
    """gdb.Command.complete for `owner`, a gdb_command.Command. GDB first asks with word None how the text
    breaks into words: at its usual characters."""
    if word is None:
        return None
    tokens = text.split()
    token = "" if not text or text[-1].isspace() else tokens.pop()
    try:
        found = _candidates(owner, tokens, token)
    except (engine.EngineError, gdb.error):
        return []
    skipped = len(token) - len(word)  # GDB breaks at dashes, slashes and equal signs too
    return [candidate[skipped:] for candidate in found if candidate.startswith(token)]
