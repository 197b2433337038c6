"""What tracing costs in memory: for each live block, for each frame of new stacks, for the stacks of a compiler."""

import dataclasses

from harness import process
from harness.programs import compile_interposer, compile_program
from harness.table import Table
from tracing.contenders import HEAPTRACK_NULL, LIBTM, NOTHING

# enum tm_region_kind of tracer/layout.h
THREADS, MODULES, STRINGS, LIVE, STATS, WIDE, HISTORY = 1, 2, 3, 7, 8, 9, 10
STACKS = 5
NOT_STACKS = {THREADS, MODULES, STRINGS, LIVE, STATS, WIDE, HISTORY}


@dataclasses.dataclass
class Tables:
    """The tracer's own memory at the end of a process, in bytes."""

    committed: int
    private: int  # thereof what readers do not need: indexes, caches
    regions: list  # (kind, element size, elements, committed)

    def of(self, wanted):
        return sum(committed for kind, _, _, committed in self.regions if wanted(kind))

    @property
    def stacks(self):
        """Stacks and their frames."""
        return self.of(lambda kind: kind not in NOT_STACKS)

    @property
    def live(self):
        """The live table."""
        return self.of(lambda kind: kind == LIVE)

    @property
    def stack_count(self):
        return sum(count for kind, _, count, _ in self.regions if kind == STACKS and count > 0)


def read_tables(field, arguments, frames, directory):
    """Tables of a program that ran under libtm, the largest of its processes."""
    path = directory / "tables"
    path.unlink(missing_ok=True)
    reporter = directory / "tables.so"
    if not reporter.exists():
        compile_interposer("tables", directory)
    traced = field.find(LIBTM).environment
    sample = process.run(arguments, {**traced, "LD_PRELOAD": f"{traced['LD_PRELOAD']} {reporter}", "TRACEMALLOC": str(frames),
                                     "BENCH_TABLES": str(path)})
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        words = line.split()
        if words[0] == "committed":
            found.append(Tables(int(words[1]), 0, []))
        elif words[0] == "private":
            found[-1].private = int(words[1])
        else:
            found[-1].regions.append(tuple(int(word) for word in words))
    if not found:
        raise process.Failure("the tracer's tables were not found: does bench/interposers/tables.c know this layout?")
    return max(found, key=lambda tables: tables.committed), sample.output


@dataclasses.dataclass
class Memory:
    """All that this module measures."""

    blocks: int
    resident: dict  # contender: (resident bytes, those of its base, blocks)
    live_bytes: float  # of the live table alone, for each block
    frame_bytes: float  # tables of stacks, for each new frame
    frame_bytes_all: float  # with indexes and counters
    compiler: list  # (frames kept, Tables)


def measure_resident(field, program, blocks):
    """{contender: (resident bytes, those of its base, blocks)}"""
    result = {}
    for contender in field.contenders:
        if contender.name in (NOTHING, LIBTM, *field.keys, HEAPTRACK_NULL, "jemalloc prof", "HEAPPROFILE"):
            count = round(blocks * contender.scale)
            own, base = (int(process.run([program, count], one.environment).output) for one in (contender, field.find(contender.base)))
            result[contender.name] = (own, base, count)
    return result


def measure(field, collection, scale, directory):
    """A Memory."""
    live = compile_program("micro/live.c", directory / "live")
    blocks = round(1_000_000 * scale)
    tables_live, _ = read_tables(field, [live, blocks], 25, directory)
    stacks = compile_program("micro/stacks.cpp", directory / "stacks")
    (few, _), (many, frames) = (read_tables(field, [stacks, number], 64, directory) for number in (1, round(100_000 * scale)))
    frames = int(frames)
    clang = next((workload for workload in collection.workloads if workload.name == "clang"), None)
    compiler = [(limit, read_tables(field, clang.arguments(1.0), limit, directory)[0]) for limit in (25, 64)] if clang else []
    return Memory(blocks, measure_resident(field, live, blocks), tables_live.live / blocks, (many.stacks - few.stacks) / frames,
                  (many.committed - many.live - few.committed + few.live) / frames, compiler)


def tables(memory):
    """What was measured, in two tables."""
    rows = [[name, f"{own / 1e6:.1f} MB", f"{own / base:.2f}x" if name != NOTHING else "", f"{(own - base) / count:.0f}" if name != NOTHING else ""]
            for name, (own, base, count) in memory.resident.items()]
    yield Table(f"Memory with {memory.blocks:,} live blocks of 16 to 143 bytes (HEAPPROFILE: fewer)",
                ["", "resident", "to its base", "bytes for each block"], rows)
    rows = [["live table, for each of these blocks", f"{memory.live_bytes:.1f} B"],
            ["stacks of new frames, for each frame", f"{memory.frame_bytes:.1f} B"],
            ["the same with indexes and counters", f"{memory.frame_bytes_all:.1f} B"]]
    for limit, own in memory.compiler:
        rows.append([f"clang, {limit} frames kept: {own.stack_count:,} stacks", f"{own.stacks / 1e6:.1f} MB"])
        rows.append(["the same with indexes and counters",
                     f"{(own.stacks + own.private + own.of(lambda kind: kind == STATS)) / 1e6:.1f} MB"])
    yield Table("The tracer's own tables", ["", "committed"], rows)
