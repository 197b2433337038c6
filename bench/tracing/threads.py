"""Whether the cost of an operation stays when more threads allocate: cpu time for each operation, beside that of one thread."""

import statistics

from kit.table import Table
from tracing.contenders import HEAPTRACK_NULL, LIBTM, NOTHING
from tracing.workloads import Workload

COUNTS = (1, 2, 4, 8)
PROGRAMS = {"larson": ("larson.c", 30000), "mstress": ("mstress.c", 25000)}  # the amount is for each thread


def contenders_of(field):
    return [contender for contender in field.contenders
            if contender.name in (NOTHING, LIBTM, HEAPTRACK_NULL, *field.keys)]


def measure(field, collection, runs, scale):
    """{(program, threads): {contender: cpu time for each operation, one thread = 1}}"""
    result = {}
    for name, (source, amount) in PROGRAMS.items():
        times = {}
        for _ in range(runs):
            for threads in COUNTS:
                workload = Workload(name, name, collection.own(source, amount, threads))
                for contender in contenders_of(field):
                    times.setdefault((contender.name, threads), []).append(workload.run(contender, scale).cpu / threads)
        for threads in COUNTS:
            result[name, threads] = {contender.name: statistics.median(
                one / base for one, base in zip(times[contender.name, threads], times[contender.name, 1]))
                for contender in contenders_of(field)}
    return result


def table(result):
    names = list(next(iter(result.values())))
    rows = [[f"{program}, {threads} thread{'s' if threads > 1 else ''}", *(f"{ratio:.2f}" for ratio in values.values())]
            for (program, threads), values in result.items()]
    return Table("Cpu time for each operation, one thread = 1", ["", *names], rows)
