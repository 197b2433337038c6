"""Installed as PREFIX/share/gdb/auto-load/PREFIX/lib/libtm.so-gdb.py: GDB runs it when a program has loaded libtm.so from a
PREFIX that is on GDB's auto-load path (/usr), and the tm-* commands are there."""

import os

import gdb


def _load(library):
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(library)))
    script = os.path.join(prefix, "share", "tm", "gdb", "tm-gdb.py")
    if os.path.exists(script):
        gdb.execute("source " + script)


if gdb.current_objfile() is not None:
    _load(gdb.current_objfile().filename)
