"""Compiling the benchmarks' own programs into a directory."""

import os
import pathlib
import subprocess

from kit.process import Failure

BENCH = pathlib.Path(__file__).resolve().parents[1]


def compiler(source):
    """CC or CXX, as make chooses them."""
    if pathlib.Path(source).suffix == ".cpp":
        return os.environ.get("CXX") or "g++", "-std=c++17"
    return os.environ.get("CC") or "gcc", "-std=gnu17"


def compile_program(source, output, *flags):
    """Compiles bench/SOURCE with -O2, as programs are distributed; returns the output's path."""
    command, standard = compiler(source)
    arguments = [command, standard, "-D_GNU_SOURCE", "-O2", f"-I{BENCH.parent}", "-o", output, BENCH / source, "-pthread", *flags]
    result = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Failure(f"{source} does not compile:\n{result.stderr.strip()}")
    return pathlib.Path(output)


def compile_interposer(name, directory, *flags):
    """bench/interposers/NAME.c as a library for LD_PRELOAD."""
    return compile_program(f"interposers/{name}.c", directory / f"{name}.so", "-fPIC", "-shared", "-fvisibility=hidden", *flags)
