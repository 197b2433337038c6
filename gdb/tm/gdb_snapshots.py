"""The tm-* commands that keep, store, load and compare snapshots."""

import json
import os
import time

import gdb

from . import engine
from . import engine_snapshot
from . import gdb_complete
from . import gdb_inferior
from . import gdb_prompts
from .gdb_command import Command, run


class _Kept:
    """A snapshot that was kept: a target of the engine that has no process any more."""

    def __init__(self, target, origin):
        self.target, self.origin = target, origin
        answer = {1: [], 2: []}
        target.run(["top", "-n", "1", "--format", "json"], lambda stream, data: answer[stream].append(data))
        total = json.loads(b"".join(answer[1]))["total"]
        self.size, self.count = total["size"], total["count"]

    def __str__(self):
        return "%d blocks, %s" % (self.count, engine_snapshot.format_size(self.size))


_snapshots = {}  # name: _Kept, in the order of keeping


def names():
    return list(_snapshots)


def find(name):
    """The engine's target that is kept under this name, or None."""
    kept = _snapshots.get(name)
    return kept.target if kept else None


def _find_or_fail(name):
    target = find(name)
    if target is None:
        raise gdb.GdbError('No snapshot is named "%s". Try "tm-snapshot -list".' % name)
    return target


def _new_name():
    number = 1
    while str(number) in _snapshots:
        number += 1
    return str(number)


def _check_name(name):
    if not name or name.startswith("-") or "/" in name or any(character.isspace() for character in name):
        raise gdb.GdbError('"%s" is no name for a snapshot: no blanks, no slash, no dash in front' % name)


def _keep(name, target, origin):
    """Keeps what `target` holds and says so."""
    _check_name(name)
    kept = _Kept(target.keep('snapshot "%s"' % name), origin)
    replaced = _snapshots.pop(name, None)
    _snapshots[name] = kept
    gdb.write('Snapshot "%s": %s%s.\n' % (name, kept, " (in place of the one before)" if replaced else ""))


def _process():
    """Words for the selected inferior."""
    inferior = gdb.selected_inferior()
    program = os.path.basename(inferior.progspace.filename or "") or "a program"
    kind = "core of process" if gdb_inferior.is_core() else "process"
    return "%s, %s %d" % (program, kind, inferior.pid)


class Snapshot(Command):
    """Keep what the program holds now, under a name, to compare with it later.

Usage: tm-snapshot [NAME]
       tm-snapshot -list
       tm-snapshot -delete NAME...

Every live block with its traceback is kept in GDB's memory, all names looked up, until GDB ends; the program
may run on, end, or be started again. NAME is the first unused number if it is left out. A name that is in use
is given to the new snapshot. Compare with tm-diff, write to a file with tm-save; -list shows what is kept.

Examples:
  tm-snapshot before
  tm-diff before"""

    name = "snapshot"
    engine_name = ""

    def run(self, arguments, from_tty):
        option = arguments[0].lstrip("-") if arguments and arguments[0].startswith("-") else None
        if option == "list" and len(arguments) == 1:
            self._list()
        elif option == "delete" and len(arguments) > 1:
            for name in arguments[1:]:
                _find_or_fail(name)
            for name in arguments[1:]:
                _snapshots.pop(name, None)
        elif option is not None or len(arguments) > 1:
            raise gdb.GdbError("Usage: tm-snapshot [NAME], tm-snapshot -list, tm-snapshot -delete NAME...")
        else:
            self._take(arguments[0] if arguments else _new_name())

    @staticmethod
    def _take(name):
        target = gdb_inferior.current_target()
        if not target.state().tracing:
            raise gdb.GdbError("Not tracing: there is nothing to keep. tm-start starts it.")
        _keep(name, target, "%s, %s" % (_process(), time.strftime("%H:%M:%S")))

    @staticmethod
    def _list():
        if not _snapshots:
            gdb.write("No snapshots. tm-snapshot keeps one.\n")
            return
        width = max(4, *map(len, _snapshots))
        gdb.write("%-*s %10s %12s  %s\n" % (width, "NAME", "BLOCKS", "SIZE", "OF"))
        for name, kept in _snapshots.items():
            size = engine_snapshot.format_size(kept.size)
            gdb.write("%-*s %10d %12s  %s\n" % (width, name, kept.count, size, kept.origin))

    def complete_operand(self, text, before):
        if before:
            return names() if before[0].lstrip("-") == "delete" else []
        return ["--list", "--delete"] if text.startswith("--") else ["-list", "-delete", *names()]


class Save(Command):
    """Write a snapshot to a file, which tm, coreanalyze and every reader of pprof profiles can read.

Usage: tm-save FILE [NAME] [OPTION...]

What the program holds now is written, or the snapshot that tm-snapshot has kept as NAME. The file (FILE.pb.gz
is usual) holds all names, so that neither the program nor its debug information is needed to read it. The
filters of tm-top choose what is written; "tm-save --help" explains them.

Examples:
  tm-save parser.pb.gz -include "*/parser/*"
  tm-save before.pb.gz before"""

    name = "save"

    def run(self, arguments, from_tty):
        places = self.operands(arguments)
        if len(places) not in (1, 2):
            raise gdb.GdbError("Usage: tm-save FILE [NAME] [OPTION...]")
        target = None
        if len(places) == 2:
            target = _find_or_fail(arguments.pop(places[1]))
        path = arguments[places[0]] = os.path.expanduser(arguments[places[0]])
        run(self.line(arguments), target or gdb_inferior.current_target(), from_tty)
        gdb.write("Written: %s\n" % path)

    def complete_operand(self, text, before):
        return names() if len(self.operands(before)) == 1 else gdb_complete.files(text)


class Load(Command):
    """Load a snapshot from a file and keep it under a name.

Usage: tm-load FILE [NAME]

FILE is what tm-save or "coreanalyze save" has written, a heap profile in pprof's format that another tool
wrote, or a core file. NAME is the file's name without directory and ending if it is left out. Compare with
tm-diff.

Example:
  tm-load yesterday.pb.gz
  tm-diff yesterday"""

    name = "load"
    engine_name = ""

    def run(self, arguments, from_tty):
        if len(arguments) not in (1, 2) or arguments[0].startswith("-"):
            raise gdb.GdbError("Usage: tm-load FILE [NAME]")
        path = os.path.expanduser(arguments[0])
        name = arguments[1] if len(arguments) == 2 else os.path.basename(path).split(".")[0]
        _check_name(name)
        with engine.Target.open_file(path, **gdb_inferior.symbol_options()) as target:
            _keep(name, target, path)

    def complete_operand(self, text, before):
        return [] if before else gdb_complete.files(text)


class Diff(Command):
    """Show which lines of code hold more or less memory than before.

Usage: tm-diff [OLD [NEW]] [OPTION...]

OLD and NEW are names of snapshots (tm-snapshot, tm-load), snapshot files, or core files. Without NEW, the
program as it is now is compared with OLD; without both, with the prompt before: the last one since which it
has run. Of such a prompt sums per stack are known (see "help set tm auto-snapshot"), so that options about
single blocks (-thread, -min-size, -older, ...) need a snapshot. The other options are those of tm-top;
"tm-diff --help" explains them.

Examples:
  tm-diff
  tm-diff before -n 20
  tm-diff core.1 core.2 -by function"""

    name = "diff"

    def run(self, arguments, from_tty):
        places = self.operands(arguments)
        if len(places) > 2:
            raise gdb.GdbError("Usage: tm-diff [OLD [NEW]] [OPTION...]")
        operands = [arguments[place] for place in places]
        line = self.line([argument for place, argument in enumerate(arguments) if place not in places])
        opened = []
        try:
            old = self._open(operands[0], opened) if operands else None
            new = self._open(operands[1], opened) if len(operands) > 1 else gdb_inferior.current_target()
            if old is None:
                old = new.open_moment(gdb_prompts.previous())
                opened.append(old)
            run(line, new, from_tty, old)
        finally:
            for target in opened:
                target.close()

    @staticmethod
    def _open(operand, opened):
        """What a name or a file stands for."""
        kept, path = find(operand), os.path.expanduser(operand)
        if kept is not None:
            return kept
        if not os.path.exists(path):
            raise gdb.GdbError('No snapshot is named "%s", and there is no such file. '
                               'Try "tm-snapshot -list".' % operand)
        target = engine.Target.open_file(path, **gdb_inferior.symbol_options())
        opened.append(target)
        return target

    def complete_operand(self, text, before):
        return [*names(), *gdb_complete.files(text)] if len(self.operands(before)) < 2 else []


COMMANDS = (Diff, Snapshot, Save, Load)
