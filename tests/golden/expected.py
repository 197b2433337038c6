"""What the tables of tests/programs/golden.c hold, by its source alone."""

import collections

LIMIT = 25  # frames, tm-run's default
MAIN, WORKER = "main", "worker"

Trace = collections.namedtuple("Trace", "domain address size thread functions")  # address None: not known; most recent function first


def grown(depth, size, thread, outermost):
    """grow() calls itself `depth` times before leaf()."""
    return Trace(0, None, size, thread, ("leaf", *["grow"] * (depth + 1), outermost))


def traces():
    found = [Trace(0, None, 100, MAIN, ("leaf", "main"))]
    found += [grown(depth, 1000 + depth, MAIN, "main") for depth in range(1, 31)]  # those of 31 to 40 are freed
    found.append(Trace(0, None, 50, MAIN, ("enlarge", "main")))
    found.append(Trace(0, None, 0, MAIN, ("leaf", "main")))
    found += [grown(2, 2000, WORKER, "work")] * 3
    found += [Trace(5, 0x10000, 77, MAIN, ("track", "main")), Trace(5, 0x123457, 3, MAIN, ("track", "main")),
              Trace(7, 0x10000, 4000, MAIN, ("track", "main"))]
    return found


CURRENT = sum(trace.size for trace in traces())
PEAK = 100 + sum(1000 + depth for depth in range(1, 41)) + 300000
# Every allocation since the clear: those above, the freed ones, the block of 10 bytes that became one of 50, and what was untracked.
TOTAL_COUNT = len(traces()) + 10 + 1 + 1 + 2
TOTAL_BY_DOMAIN = {5: 80, 7: 4001, 8: 6}  # of domain 8 nothing is left
TOTAL_SIZE = CURRENT + sum(1000 + depth for depth in range(31, 41)) + 300000 + 10 + 1 + 6
