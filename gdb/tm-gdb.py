"""Gives GDB the tm-* commands: `source` this file from a checkout, a build tree or an installed tree.

`help tm` lists the commands; `import tm` in GDB's Python is tracemalloc's API for the program that GDB looks
at.
"""

import os
import sys

import gdb


def _package_directory():
    """The directory that holds the package tm: ../python of an installed (or build) tree, else this one, of a
    checkout."""
    # Not __file__: in a script that another one sources, it is the other's.
    here = os.path.dirname(os.path.abspath(_package_directory.__code__.co_filename))
    for directory in (os.path.join(os.path.dirname(here), "python"), here):
        if os.path.exists(os.path.join(directory, "tm", "__init__.py")):
            return directory
    raise gdb.GdbError("tm: the package tm is missing beside %s: run make (or make install) again" % here)


def _load():
    directory = _package_directory()
    if directory not in sys.path:
        sys.path.insert(0, directory)
    from tm import gdb_commands
    gdb_commands.register()


_load()
