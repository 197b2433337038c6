"""The tracer's own memory, as bench/interposers/tables.c sees it from inside the traced process."""

import dataclasses

from kit.process import Failure
from kit.programs import compile_interposer

# enum tm_region_kind of tracer/layout.h
THREADS, MODULES, STRINGS, STACKS, LIVE, STATS, WIDE, HISTORY = 1, 2, 3, 5, 7, 8, 9, 10
NOT_STACKS = {THREADS, MODULES, STRINGS, LIVE, STATS, WIDE, HISTORY}


@dataclasses.dataclass
class Region:
    """One table; count is -1 where its elements are not counted."""

    kind: int
    element_size: int
    count: int
    committed: int

    @property
    def used(self):
        """Bytes of its elements."""
        return self.committed if self.count < 0 else min(self.committed, self.element_size * self.count)


@dataclasses.dataclass
class Tables:
    """All of them, in bytes."""

    committed: int
    private: int = 0  # thereof what readers do not need: indexes, caches
    regions: list = dataclasses.field(default_factory=list)

    def of(self, wanted):
        return sum(region.committed for region in self.regions if wanted(region.kind))

    @property
    def stacks(self):
        """Stacks and their frames."""
        return self.of(lambda kind: kind not in NOT_STACKS)

    @property
    def live(self):
        return self.of(lambda kind: kind == LIVE)

    @property
    def counters(self):
        return self.of(lambda kind: kind == STATS)

    @property
    def stack_count(self):
        return sum(region.count for region in self.regions if region.kind == STACKS and region.count > 0)

    def needed(self, blocks):
        """What a reader must look at, single blocks only if `blocks`."""
        return sum(region.used for region in self.regions if blocks or region.kind not in (LIVE, WIDE))


class Reporter:
    """Has one program say what its tables hold."""

    def __init__(self, directory):
        self.path = directory / "tables"
        self.path.unlink(missing_ok=True)
        self.library = directory / "tables.so"
        if not self.library.exists():
            compile_interposer("tables", directory)

    def environment(self, traced):
        """The environment that switches the tracer on, with the reporter behind it."""
        return {**traced, "LD_PRELOAD": f"{traced['LD_PRELOAD']} {self.library}", "BENCH_TABLES": str(self.path)}

    def largest(self):
        """Of the processes that reported, the one with the largest tables."""
        found = []
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            words = line.split()
            if words[0] == "committed":
                found.append(Tables(int(words[1])))
            elif words[0] == "private":
                found[-1].private = int(words[1])
            else:
                found[-1].regions.append(Region(*(int(word) for word in words)))
        if not found:
            raise Failure("the tracer's tables were not found: does bench/interposers/tables.c know this layout?")
        return max(found, key=lambda tables: tables.committed)
