"""What text looks like on GDB's terminal: GDB's own width and styles."""

import os

import gdb

from . import engine

_COLORS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_INTENSITIES = {"bold": ["1"], "dim": ["2"]}

# What the user has set for such text: set style NAME foreground, background, intensity
_NAMES = {"title": "title", "file": "filename", "function": "function", "address": "address", "size": "variable",
          "note": "metadata", "alarm": "highlight"}
_FIXED = {"growth": "31", "shrink": "32"}


def _color(value, base):
    """SGR parameters of a colour as GDB names it."""
    name = str(value)
    if name in _COLORS:
        return [str(base + _COLORS.index(name))]
    return ["%d;5;%s" % (base + 8, name)] if name.isdigit() else []


def _parameters(name):
    """SGR parameters of one of GDB's styles."""
    try:
        style = {part: gdb.parameter("style %s %s" % (name, part)) for part in ("foreground", "background", "intensity")}
    except RuntimeError:  # a GDB that has no such style
        return ""
    return ";".join(_INTENSITIES.get(style["intensity"], []) + _color(style["foreground"], 30) +
                    _color(style["background"], 40))


def _styles():
    dumb = os.environ.get("TERM", "") in ("", "dumb")  # GDB's setting does not say so
    if dumb or not gdb.parameter("style enabled") or os.environ.get("NO_COLOR"):
        return None
    return {**_FIXED, **{ours: _parameters(theirs) for ours, theirs in _NAMES.items()}}


def look(from_tty):
    """The Look of the terminal; None where there is none. Colours and width are for a user who types at one,
    not for scripts that capture the text nor for MI."""
    if not from_tty or not os.isatty(1):
        return None
    return engine.Look(gdb.parameter("width") or 0, _styles())
