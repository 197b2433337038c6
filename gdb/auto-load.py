"""Installed as PREFIX/share/gdb/auto-load/PREFIX/LIBDIR/libtm.so-gdb.py: GDB runs it when a program has loaded libtm.so from
a PREFIX that is on GDB's auto-load path (/usr), and the tm-* commands are there."""

import os

import gdb


def _load(library):
    directory = os.path.dirname(os.path.realpath(library))
    for _ in range(2):  # LIBDIR is lib, or one below that (lib/x86_64-linux-gnu)
        directory = os.path.dirname(directory)
        script = os.path.join(directory, "share", "tm", "gdb", "tm-gdb.py")
        if os.path.exists(script):
            gdb.execute("source " + script)
            return


if gdb.current_objfile() is not None:
    _load(gdb.current_objfile().filename)
