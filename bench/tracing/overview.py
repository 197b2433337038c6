"""The tables of all workloads: cpu, wall, nanoseconds for each call."""

import math
import statistics

from kit.table import Table
from tracing.contenders import AGAIN, HEAPTRACK_NULL, LIBTM, NOTHING, UNWIND


def geometric_mean(values):
    values = list(values)
    return math.exp(statistics.fmean(math.log(value) for value in values)) if values else float("nan")


def columns(results, field):
    """The contenders that stand in the large tables: those that ran somewhere."""
    return [contender.name for contender in field.contenders if contender.shown and contender.name != NOTHING
            and any(contender.name in result.costs for result in results)]


def cell(result, name, what, form):
    cost = result.costs.get(name)
    return "" if cost is None else form.format(getattr(cost, what))


def ratios(results, names, what, title):
    """Ratios of `what` (cpu or wall) to each contender's base; a mean only where every workload has one."""
    rows = [[result.workload, *(cell(result, name, what, "{:.2f}") for name in names)] for result in results]
    if len(results) > 1:
        found = {name: [getattr(result.costs[name], what) for result in results if name in result.costs] for name in names}
        rows.append(["geometric mean", *(f"{geometric_mean(values):.2f}" if len(values) == len(results) else ""
                                         for values in found.values())])
    return Table(title, ["", *names], rows)


def added(results, names, title):
    rows = [[result.workload, f"{result.costs[NOTHING].untraced:.2f} s", f"{result.calls / 1e6:.2f}",
             *(cell(result, name, "added", "{:.0f}") for name in names)] for result in results]
    return Table(title, ["", "untraced", "million calls", *names], rows)


def noise(results):
    rows = [[result.workload, *(cell(result, AGAIN, what, "{:.2f}") for what in ("cpu", "lowest", "highest"))] for result in results]
    return Table("Noise: cpu time of the program alone, beside itself in the same turn", ["", "median", "smallest", "largest"], rows)


def tables(results, field):
    """All tables of the workloads, in order."""
    names = columns(results, field)
    timed = [name for name in names if name != AGAIN]
    yield ratios(results, names, "cpu", "Cpu time (user and system, all processes), ratio to untraced")
    yield ratios(results, names, "wall", "Wall time, ratio to untraced")
    yield added(results, timed, "Nanoseconds of cpu time added to each allocation call")
    deep = [result for result in results if f"{LIBTM} 64" in result.costs]
    if deep:
        names = [name for name in (f"{UNWIND} 64", f"{LIBTM} 64", HEAPTRACK_NULL) if name in deep[0].costs]
        yield added(deep, names, "The same with 64 frames, where stacks are deep")
    for result in results:
        pythons = [name for name in result.costs if name.startswith("-X ")]
        if pythons:
            yield ratios([result], [LIBTM, *pythons], "cpu", "Cpu time of Python beside its own tracemalloc, ratio to untraced")
    yield noise(results)
