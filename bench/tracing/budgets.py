"""The project's budgets, each with what was measured: kept, missed and by how much, or not measured."""

import dataclasses

from kit.table import Table
from tracing.contenders import AGAIN, COUNT, HEAPTRACK_NULL, LIBTM, NOTHING, UNWIND
from tracing.overview import geometric_mean

STACK_BYTES = 10e6 / 143_700  # what 143,700 stacks of clang may take together, for each


@dataclasses.dataclass
class Verdict:
    """One budget."""

    name: str
    budget: str
    measured: str
    kept: bool

    def row(self):
        return [self.name, self.budget, self.measured, "kept" if self.kept else "missed"]


def noise(result):
    """How far the ratio of two untraced runs of one turn was from 1, the median."""
    return result.costs[AGAIN].deviation


@dataclasses.dataclass
class Share:
    """What one contender adds to a workload's cpu time, as a part of what another adds."""

    workload: str
    value: float
    resolution: float  # smaller values than this are not told from it


def shares(results, name, other):
    """A Share of each workload where what the other adds can be told from noise."""
    for result in results:
        if name in result.costs and other in result.costs and result.costs[other].cpu - 1 > noise(result):
            yield Share(result.workload, result.costs[name].added / result.costs[other].added,
                        max(noise(result) / (result.costs[other].cpu - 1), 0.01))


def worst(found):
    """(workload, value) of the largest share."""
    most = max(found, key=lambda share: share.value)
    return most.workload, most.value


def processor(results):
    """Every block traced, beside recording and walking done by others; sampling, beside counting."""
    recorded = list(shares(results, LIBTM, HEAPTRACK_NULL))
    if recorded:
        mean = geometric_mean(max(share.value, share.resolution) for share in recorded)
        name, most = worst(recorded)
        yield Verdict("cpu added, geometric mean", "1/5 of heaptrack's",
                      f"{mean:.2f} of it, over {len(recorded)} workloads of {len(results)} (the rest is noise)", mean <= 0.2)
        over = sum(share.value >= 1 / 3 for share in recorded)
        yield Verdict("cpu added, each workload", "below 1/3 of heaptrack's",
                      f"at most {most:.2f} of it: {name}; above on {over} of {len(recorded)}", most < 1 / 3)
    walked = list(shares(results, LIBTM, UNWIND))
    if walked:
        name, most = worst(walked)
        over = sum(share.value >= 1 for share in walked)
        yield Verdict("cpu added, each workload", "below unw_backtrace's, 25 frames",
                      f"at most {most:.2f} of it: {name}; above on {over} of {len(walked)}", most < 1)
    deep = list(shares(results, f"{LIBTM} 64", f"{UNWIND} 64"))
    if deep:
        name, most = worst(deep)
        yield Verdict("cpu added, 64 frames, each workload", "below unw_backtrace's, 64 frames", f"at most {most:.2f} of it: {name}",
                      most < 1)
    sampled = [Share(result.workload, result.costs["sample=512K"].cpu / result.costs[COUNT].cpu - 1 - noise(result), 0)
               for result in results if "sample=512K" in result.costs]
    if sampled:
        name, most = worst(sampled)
        over = sum(excess.value > 0 for excess in sampled)
        yield Verdict("cpu, sample=512K", "not measurable above counting",
                      f"beyond the noise on {over} of {len(sampled)}" + (f", most by {100 * most:.0f} %: {name}" if over else ""),
                      over == 0)


def pairs(result):
    """A malloc/free pair below 40 frames."""
    for mode, limit, text in (("same", 45, "same stack"), ("last4", 130, "last 4 frames vary")):
        values = {build: costs[LIBTM] for (known, build), costs in result.items() if known == mode}
        yield Verdict(f"added to a pair below 40 frames, {text}", f"{limit} ns", in_builds(values, "{:.0f} ns"),
                      max(values.values()) <= limit)
    walk = f"{UNWIND} 64"
    values = {build: costs[LIBTM] / costs[walk] for (mode, build), costs in result.items() if mode == "all40" and costs.get(walk)}
    if values:
        yield Verdict("added to a pair below 40 frames, all 40 change", "a full walk by cached rules (unw_backtrace's)",
                      in_builds(values, "{:.2f} of it"), max(values.values()) <= 1)


def in_builds(values, form):
    return ", ".join(f"{form.format(value)} ({build})" for build, value in values.items())


def memory(measured):
    """Live blocks and stacks."""
    own, base, _ = measured.resident[LIBTM]
    yield Verdict("resident memory, live blocks of 16 to 143 bytes", "1.3x", f"{own / base:.2f}x", own / base <= 1.3)
    each = (own - base) / measured.blocks
    yield Verdict("memory for each live block", "32 bytes", f"{each:.0f} bytes", each <= 32)
    yield Verdict("stacks, for each frame that is new", "16 bytes",
                  f"{measured.frame_bytes:.1f} bytes, {measured.frame_bytes_all:.1f} with indexes and counters",
                  measured.frame_bytes_all <= 16)
    for limit, tables in measured.compiler[-1:]:
        each = tables.stacks / max(tables.stack_count, 1)
        yield Verdict(f"stacks of clang, {limit} frames kept", f"{STACK_BYTES:.0f} bytes each (143,700 in 10 MB)",
                      f"{each:.0f} bytes each, {tables.stack_count:,} stacks", each <= STACK_BYTES)


def threads(result):
    """Cost of an operation when more threads allocate; where the allocator alone gets slower, the tracer may as much."""
    for program in dict.fromkeys(program for program, _ in result):
        excess = {count: costs[LIBTM] / max(1.0, costs[NOTHING])
                  for (known, count), costs in result.items() if known == program and count > 1}
        most = max(excess, key=excess.get)
        yield Verdict(f"cpu for each operation, {program}, up to {max(excess)} threads",
                      "1.1 of one thread's, or of what the allocator's own is",
                      f"at most {excess[most]:.2f} ({most} threads)", excess[most] <= 1.1)


def table(verdicts):
    return Table("Budgets", ["", "budget", "measured", ""], [verdict.row() for verdict in verdicts], numbers=False)
