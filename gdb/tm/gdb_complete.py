"""Completion of the commands' options. What there is to complete is asked of the engine, whose one table also parses."""

import re

import gdb

from . import engine

_FILE_OPTIONS = ("--output", "-o")
_DIRECTORY_OPTIONS = ("--sysroot", "--debug-dir")

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
        _options[command] = found
    return _options[command]


def choices(command, option):
    """The words that an option takes; [] where it takes anything. The message about an impossible word names them."""
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


def _candidates(command, previous, token):
    """Completions of the whole token, or one of GDB's COMPLETE_ constants."""
    if previous is not None and takes_value(command, previous):
        option = _option_named(command, previous)
        if option in _FILE_OPTIONS + _DIRECTORY_OPTIONS:
            return gdb.COMPLETE_FILENAME
        return choices(command, option)
    if not token.startswith("-"):
        return []
    name, equals, _ = token.partition("=")
    if equals:
        option = _option_named(command, name)
        return [name + "=" + word for word in choices(command, option)] if option else []
    long_options = [option for option in options(command) if option.startswith("--")]
    if token.startswith("--") or token == "-":
        return long_options
    return [option[1:] for option in long_options]  # GDB's way to write them


def complete(command, text, word):
    """gdb.Command.complete. GDB first asks with word None how the text breaks into words."""
    try:
        tokens = text.split()
        token = "" if not text or text[-1].isspace() else tokens.pop()
        found = _candidates(command, tokens[-1] if tokens else None, token)
    except engine.EngineError:
        return []
    if isinstance(found, int) or word is None:
        return found if isinstance(found, int) else None
    skipped = len(token) - len(word)  # GDB breaks at dashes and equal signs too
    return [candidate[skipped:] for candidate in found if candidate.startswith(token)]
