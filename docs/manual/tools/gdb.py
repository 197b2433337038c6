"""Run by GDB (docs/manual/tools/page): what GDB's help says of the tm-* commands, settings or functions (TM_KIND), as roff."""

import os
import re
import sys
import traceback

import gdb

HERE = os.path.dirname(os.path.abspath(sys._getframe().f_code.co_filename))


SIGNS = str.maketrans({"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"})  # as roff.awk has them


def escaped(text):
    text = text.translate(SIGNS)
    return "\\&" + text if text.startswith(".") else text


ITEM = re.compile(r"  (\S(?:\S| (?! ))*)  +(\S.*)")  # of a list: "  -by KEY    group by ..."


def entry(title, text):
    """One command: the paragraphs of its help. Lists of options wrap, other indented lines stay as they are."""
    lines = [".SS " + escaped(title)]
    kind = ""
    for line in text.rstrip("\n").split("\n"):
        item = ITEM.fullmatch(line)
        before, kind = kind, _kind(line, item, kind)
        if before == "verbatim" and kind != before:
            lines.append(".EE")
        if item:
            lines += [".TP", ".B " + escaped(item.group(1)), escaped(item.group(2))]
        elif kind == "verbatim":
            lines += [".EX"] * (before != kind) + [escaped(line)]
        elif kind == "usage":
            lines += [".br"] * (before == kind) + [".B " + escaped(line.replace("Usage: ", "").strip())]
        elif line:
            lines += [".PP"] * (before == "list" and kind != before) + [escaped(line.strip())]
        elif lines[-1] != ".PP":
            lines.append(".PP")
    return lines + [".EE"] * (kind == "verbatim")


def _kind(line, item, before):
    """What a line belongs to."""
    if line.startswith("Usage: ") or line.startswith("       tm-"):
        return "usage"
    if item or (before == "list" and line.startswith("      ")):
        return "list"
    return "verbatim" if line.startswith(" ") else "text"


def help_of(name):
    """What `help NAME` prints, without the aliases and the list that GDB adds to the commands' own text."""
    text = gdb.execute("help " + name, to_string=True)
    return text.split("\nList of ")[0]


def entries(kind):
    from tm import gdb_commands, gdb_functions, gdb_parameters
    if kind == "commands":
        for command in gdb_commands.COMMANDS:
            yield entry("tm-" + command.name, help_of("tm-" + command.name))
    elif kind == "settings":
        for parameter in gdb_parameters.PARAMETERS:
            yield entry("set tm " + parameter.name, "Set " + parameter.__doc__)  # GDB takes the indentation off
    elif kind == "functions":
        for function in gdb_functions.FUNCTIONS:
            yield entry("$" + function.name, help_of("function " + function.name))
    else:
        raise ValueError(kind)


def main():
    sys.dont_write_bytecode = True
    gdb.execute("set width 0")
    gdb.execute("source " + os.path.join(HERE, *[".."] * 3, "gdb", "tm-gdb.py"))
    for lines in entries(os.environ["TM_KIND"]):
        print("\n".join(lines))


try:
    main()
except Exception:
    traceback.print_exc()
    gdb.execute("quit 1")
