"""A library with much debug information: one unit (unit.cpp), compiled once, linked many times under other names."""

import dataclasses
import pathlib
import subprocess

from kit.process import Failure
from kit.programs import BENCH, compiler

INSTANCES = 40  # types in a unit


@dataclasses.dataclass
class Library:
    """The library and how many units it has."""

    path: pathlib.Path
    units: int
    debug_bytes: int
    sites: int  # calls of keep()


def run(*arguments):
    result = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Failure(f"{arguments[0]} ended with {result.returncode}: {result.stderr.strip()[-400:]}")
    return result.stdout


def make(directory, units, instances=INSTANCES):
    """Compiles and links it; the object files are deleted."""
    command, standard = compiler("unit.cpp")
    unit = directory / "unit.o"
    run(command, standard, "-O2", "-g", "-fPIC", "-fvisibility=hidden", f"-DINSTANCES={instances}", "-c", "-o", unit,
        BENCH / "symbols" / "unit.cpp")
    sites = sum(line.split()[2].startswith("keep") for line in relocations(unit))
    copies = []
    for number in range(units):
        copies.append(directory / f"unit{number}.o")
        run("objcopy", f"--redefine-sym=library_unit=library_unit_{number}", unit, copies[-1])
    path = directory / "liblarge.so"
    run(command, "-shared", "-o", path, *copies)
    for copy in (unit, *copies):
        copy.unlink()
    return Library(path, units, debug_bytes(path), sites * units)


def relocations(unit):
    """Lines "OFFSET TYPE SYMBOL..." of the code."""
    for line in run("objdump", "-r", unit).splitlines():
        if "PLT32" in line or "CALL26" in line:
            yield line


def debug_bytes(path):
    """Bytes of its debug sections."""
    sizes = [line.split() for line in run("size", "-A", path).splitlines()]
    return sum(int(words[1]) for words in sizes if len(words) > 1 and words[0].startswith(".debug"))
