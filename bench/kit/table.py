"""Tables and lists, as text for the terminal or as Markdown."""

import dataclasses


@dataclasses.dataclass
class Table:
    """Rows of text below a header. The first column stands to the left, the others to the right where they are numbers."""

    title: str
    header: list
    rows: list
    numbers: bool = True

    def render(self, markdown):
        cells = [[str(cell) for cell in row] for row in [self.header, *self.rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.header))]
        lines = [f"**{self.title}**" if markdown else self.title, ""]
        for number, row in enumerate(cells):
            padded = [self.align(i, cell, width) for i, (cell, width) in enumerate(zip(row, widths))]
            lines.append("| " + " | ".join(padded) + " |" if markdown else "  ".join(padded).rstrip())
            if number == 0 and markdown:
                lines.append("|" + "|".join("-" * (width + 1) + (":" if self.is_right(i) else "-")
                                            for i, width in enumerate(widths)) + "|")
        return "\n".join(lines) + "\n"

    def is_right(self, column):
        return self.numbers and column > 0

    def align(self, column, cell, width):
        return cell.rjust(width) if self.is_right(column) else cell.ljust(width)


@dataclasses.dataclass
class Bullets:
    """A list of sentences."""

    title: str
    lines: list

    def render(self, markdown):
        return "\n".join([f"**{self.title}**" if markdown else self.title, "", *(f"- {line}" for line in self.lines)]) + "\n"
