"""What is asked of a core with many blocks, how long the answer takes, and how long it should."""

import dataclasses
import statistics
import time

from kit import process


@dataclasses.dataclass
class Question:
    """A command of coreanalyze."""

    arguments: tuple
    needs: str  # "counters", "blocks" or "core": what must be read to answer it
    repeats: bool = True  # in every turn; else once

    @property
    def command(self):
        return self.arguments[0]

    @property
    def title(self):
        return " ".join(argument for argument in self.arguments if argument != "--no-source")

    def needed(self, core, tables, counted):
        """Bytes of what it needs; without counters the blocks must be counted."""
        return core.stat().st_size if self.needs == "core" else tables.needed(self.needs == "blocks" or not counted)


QUESTIONS = (
    Question(("top", "--no-source"), "counters"),
    Question(("top", "--no-source", "--by", "traceback"), "counters"),
    Question(("top", "--no-source", "--min-size", "100"), "blocks"),
    Question(("leaks", "--no-source"), "core"),
    Question(("traces", "--format", "csv"), "blocks", repeats=False),
    Question(("save",), "blocks", repeats=False),
)
SPARSE = (Question(("info",), "counters"), Question(("top", "--no-source"), "counters"))


@dataclasses.dataclass
class Answer:
    """Cpu seconds, medians."""

    reading: float  # as many bytes as the command needs
    command: float
    rest: float  # of the command, without what it costs on a small core: start, symbols
    ratio: float  # rest to reading

    def verdicts(self, question, setting):
        """Lines on the project's budgets."""
        name = f"`{question.title}`, {setting}"
        if question.command == "top":
            yield f"{name}: {self.rest:.2f} s besides symbols, budget 1 s: {kept(self.rest <= 1)}"
            yield f"{name}: {self.ratio:.1f}x the time to read what it needs, budget 2x: {kept(self.ratio <= 2)}"
        elif question.command == "leaks":
            yield f"{name}: {self.ratio:.1f}x the time to read the core once, budget 3x: {kept(self.ratio <= 3)}"


def kept(fact):
    return "kept" if fact else "missed"


def read_bytes(path, size):
    """Cpu seconds of reading the first bytes of a file, from the page cache, a mebibyte at a time into one buffer."""
    buffer = memoryview(bytearray(1 << 20))
    with open(path, "rb", buffering=0) as file:
        begin = time.process_time()
        while size > 0:
            got = file.readinto(buffer[:min(size, len(buffer))])
            if not got:
                break
            size -= got
        return time.process_time() - begin


class Reader:
    """coreanalyze of one build."""

    def __init__(self, build):
        self.program = build / "bin" / "coreanalyze"

    def knows(self, command):
        try:
            process.run([self.program, "help", command])
            return True
        except process.Failure:
            return False

    def ask(self, question, core):
        """Cpu seconds of one command."""
        target = [core.parent / "saved.pb.gz"] if question.command == "save" else []
        return process.run([self.program, *question.arguments, core, *target], limit=600).cpu

    def measure(self, question, core, small, size, runs):
        """An Answer; the bytes are read in the same turn."""
        rows = []
        for _ in range(runs if question.repeats else 1):
            read = read_bytes(core, size)
            seconds = self.ask(question, core)
            rest = seconds - self.ask(question, small)
            rows.append((read, seconds, rest, rest / max(read, 1e-6)))
        return Answer(*(statistics.median(column) for column in zip(*rows)))
