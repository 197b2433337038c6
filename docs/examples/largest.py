"""Who holds most, in the words of tracemalloc; docs/for-tracemalloc-users.md shows it. To be sourced in GDB."""

import tm as tracemalloc

snapshot = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/import.c")])
for statistic in snapshot.statistics("lineno")[:3]:
    print(statistic)
most = max(snapshot.statistics("traceback"), key=lambda statistic: statistic.count)
print(f"{most.count} blocks, {most.size} bytes, by one way:")
print("\n".join(most.traceback.format(2)))
