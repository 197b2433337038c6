"""Measuring: every contender once in each turn, beginning with another one each time, so that whatever else the machine does
touches all alike; a ratio is of two runs of one turn, and the median of the turns is what counts."""

import dataclasses
import statistics

from kit.process import Failure, TimeLimit
from tracing.contenders import COUNT, NOTHING

TIME_LIMIT = 120  # seconds for one run


@dataclasses.dataclass
class Cost:
    """What one contender costs one workload, beside its base."""

    cpu: float  # ratio
    wall: float
    added: float  # nanoseconds of cpu time for each allocation call
    lowest: float  # smallest and largest ratio of cpu time
    highest: float
    deviation: float  # how far the ratio was from 1, the median
    untraced: float  # seconds of cpu time of the base


@dataclasses.dataclass
class Result:
    """One workload's line."""

    workload: str
    calls: int  # allocations, at scale 1
    costs: dict  # contender's name: Cost
    failures: list


def count_calls(workload, scale, field, directory):
    """Allocations of one run, in all its processes."""
    path = directory / "calls"
    path.unlink(missing_ok=True)
    workload.run(field.find(COUNT), scale, {"BENCH_CALLS": str(path)})
    return sum(int(line.split()[0]) for line in path.read_text().splitlines())


def measure(workload, field, runs, scale, directory):
    """A Result. A contender that fails once is left out from there on, and the failure is told."""
    contenders = [contender for contender in field.contenders if contender.fits(workload)]
    samples = {contender.name: [] for contender in contenders}
    failures, digests = [], {}
    for turn in range(runs):
        first = turn * 3 % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            if turn >= contender.most_runs or samples[contender.name] is None:
                continue
            try:
                sample = workload.run(contender, scale * contender.scale, limit=TIME_LIMIT)
                check_output(workload, contender, sample, digests)
                samples[contender.name].append(sample)
            except (TimeLimit, Failure) as error:
                if contender.name == NOTHING:
                    raise
                samples[contender.name] = None
                failures.append(str(error))
    calls = {one: count_calls(workload, scale * one, field, directory) for one in {contender.scale for contender in contenders}}
    costs = {contender.name: compare(samples[contender.name], samples[contender.base], calls[contender.scale])
             for contender in contenders if samples[contender.name] and samples[contender.base]}
    return Result(workload.title, calls[1.0], costs, failures)


def check_output(workload, contender, sample, digests):
    """A traced program must say what it says untraced."""
    if contender.prefix:
        return  # the tool prints, too
    if digests.setdefault(contender.scale, sample.digest) != sample.digest:
        raise Failure(f"{workload.name} printed something else under {contender.name} than before")


def compare(samples, base, calls):
    pairs = list(zip(samples, base))
    ratios = [one.cpu / other.cpu for one, other in pairs]
    return Cost(cpu=statistics.median(ratios), wall=statistics.median(one.wall / other.wall for one, other in pairs),
                added=statistics.median(one.cpu - other.cpu for one, other in pairs) * 1e9 / max(calls, 1),
                lowest=min(ratios), highest=max(ratios),
                deviation=statistics.median(abs(ratio - 1) for ratio in ratios),
                untraced=statistics.median(other.cpu for _, other in pairs))
