"""What tracing costs in memory: for each live block, for each frame of new stacks, for the stacks of a compiler."""

import dataclasses

from kit import process
from kit.programs import compile_program
from kit.table import Table
from kit.tables import Reporter
from tracing.contenders import HEAPTRACK_NULL, LIBTM, NOTHING


def read_tables(field, arguments, frames, directory):
    """(Tables, output) of a program that ran under libtm, the largest of its processes."""
    reporter = Reporter(directory)
    sample = process.run(arguments, {**reporter.environment(field.find(LIBTM).environment), "TRACEMALLOC": str(frames)})
    return reporter.largest(), sample.output


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
    rows = []
    for name, (own, base, count) in memory.resident.items():
        relative = [f"{own / base:.2f}x", f"{(own - base) / count:.0f}"] if name != NOTHING else ["", ""]
        rows.append([name, f"{own / 1e6:.1f} MB", *relative])
    yield Table(f"Memory with {memory.blocks:,} live blocks of 16 to 143 bytes (HEAPPROFILE: fewer)",
                ["", "resident", "to its base", "bytes for each block"], rows)
    rows = [["live table, for each of these blocks", f"{memory.live_bytes:.1f} B"],
            ["stacks of new frames, for each frame", f"{memory.frame_bytes:.1f} B"],
            ["the same with indexes and counters", f"{memory.frame_bytes_all:.1f} B"]]
    for limit, own in memory.compiler:
        rows.append([f"clang, {limit} frames kept: {own.stack_count:,} stacks", f"{own.stacks / 1e6:.1f} MB"])
        rows.append(["the same with indexes and counters",
                     f"{(own.stacks + own.private + own.counters) / 1e6:.1f} MB"])
    yield Table("The tracer's own tables", ["", "committed"], rows)
