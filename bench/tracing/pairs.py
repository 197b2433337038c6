"""Nanoseconds that a malloc/free pair costs more below 40 frames, every tracer keeping 64 frames (bench/micro/pairs.cpp)."""

import dataclasses
import statistics

from kit import process
from kit.programs import compile_program
from kit.table import Table
from tracing.contenders import AGAIN, COUNT, HEAPTRACK_NULL, LIBTM, NOTHING, UNWIND

BUILDS = {"no frame pointers": "-fomit-frame-pointer", "frame pointers": "-fno-omit-frame-pointer"}
MODES = {  # name: (what it means, pairs)
    "same": ("same stack", 500000),
    "last4": ("last 4 frames vary, 1024 paths", 500000),
    "all40": ("all 40 frames change, 1024 paths", 300000),
    "unseen": ("all 40 frames change, no path twice", 100000),
}


def at_64_frames(contender):
    """The same contender with 64 frames."""
    limit = contender.environment.get("TRACEMALLOC")
    return dataclasses.replace(contender, environment={**contender.environment, "TRACEMALLOC": "64" + limit[2:]}) if limit else contender


def contenders_of(field):
    wanted = [NOTHING, AGAIN, COUNT, f"{UNWIND} 64", LIBTM, *field.keys, HEAPTRACK_NULL]
    return [at_64_frames(field.find(name)) for name in wanted if field.find(name)]


def measure(field, runs, scale, directory):
    """{(mode, build): {contender: nanoseconds that it adds to a pair}}; for nothing those of the pair itself."""
    contenders = contenders_of(field)
    result = {}
    for build, flag in BUILDS.items():
        program = compile_program("micro/pairs.cpp", directory / f"pairs{flag}", flag)
        for mode, (_, pairs) in MODES.items():
            times = {contender.name: [] for contender in contenders}
            for turn in range(runs):
                for contender in contenders[turn % len(contenders):] + contenders[:turn % len(contenders)]:
                    arguments = contender.command([program, mode, round(pairs * scale)])
                    times[contender.name].append(float(process.run(arguments, contender.environment).output))
            plain = times[NOTHING]
            result[mode, build] = {name: statistics.median(one - base for one, base in zip(values, plain))
                                   for name, values in times.items()}
            result[mode, build][NOTHING] = statistics.median(plain)
    return result


def table(result):
    names = list(next(iter(result.values())))
    rows = [[f"{MODES[mode][0]}, {build}", *(f"{nanoseconds:.0f}" for nanoseconds in values.values())]
            for (mode, build), values in result.items()]
    return Table("Nanoseconds of cpu time added to a malloc(64)/free pair below 40 frames (nothing: the pair itself), 64 frames kept",
                 ["", *names], rows)
