"""docs/layout.md says what tracer/layout.h says."""

import re

import harness

HEADER = (harness.REPO / "tracer" / "layout.h").read_text()
DOCUMENT = (harness.REPO / "docs" / "layout.md").read_text()


def evaluate(text):
    """The number that a constant expression of the header stands for."""
    for name in ("TM_REGION_MAX", "TM_OPERATION_LEVELS", "TM_MAGIC_SIZE"):
        text = text.replace(name, re.search(rf"#define {name} +(\d+)", HEADER).group(1))
    assert re.fullmatch(r"[\d *]+", text)
    return eval(text)  # pylint: disable=eval-used


def asserted_structures():
    """{structure: [(field, offset, size)]}"""
    structures = {}
    for structure, field, offset, size in re.findall(r"^TM_ASSERT_FIELD\((\w+), (\w+), (\d+), (.*)\);", HEADER, re.MULTILINE):
        structures.setdefault(structure, []).append((field, int(offset), evaluate(size)))
    return structures


def documented_tables():
    """The tables of fields, in the document's order."""
    tables = []
    for block in re.findall(r"^\| field \| offset \| size \| description \|\n\|---\|---\|---\|---\|\n((?:\|.*\n)+)", DOCUMENT, re.MULTILINE):
        rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| \S.* \|$", block, re.MULTILINE)
        assert len(rows) == block.count("\n"), block
        tables.append([(field, int(offset), int(size)) for field, offset, size in rows])
    return tables


def test_every_structure_is_documented():
    tables = documented_tables()
    tables.remove([("structure", 0, 2), ("field", 2, 2), ("offset", 4, 2), ("size", 6, 2)])  # tm_field
    assert sorted(tables) == sorted(asserted_structures().values())


def test_version():
    version = ".".join(re.search(rf"#define TM_LAYOUT_{part} (\d+)", HEADER).group(1) for part in ("MAJOR", "MINOR"))
    assert f"Version: **{version}**" in DOCUMENT


def test_enumerations():
    """The numbers of region kinds, structures and operation codes."""
    for name, number in re.findall(r"^    TM_REGION_(\w+) = (\d+),", HEADER, re.MULTILINE):
        assert number == "0" or re.search(rf"^\| {number} \| {name} \|", DOCUMENT, re.MULTILINE)
    for name, number in re.findall(r"^    TM_OPERATION_(\w+) = (\d+),", HEADER, re.MULTILINE):
        assert number == "0" or f" {number} {name}" in DOCUMENT
    for name, number in re.findall(r"^    TM_STRUCTURE_(\w+) = (\d+),", HEADER, re.MULTILINE):
        assert re.search(rf"[:,] {number} \w*{name.lower()}\b", DOCUMENT)
    for name, number in re.findall(r"^#define TM_FEATURE_(\w+) +UINT64_C\((0x\d+)\)", HEADER, re.MULTILINE):
        assert f"{number} {name}" in DOCUMENT
    for name, number in re.findall(r"^#define TM_STACK_(\w+) +(0x\d+)", HEADER, re.MULTILINE):
        assert f"{number} {name}" in DOCUMENT


def test_constants():
    for name in ("TM_PREFERRED_ADDRESS", "TM_PRIVATE_ADDRESS"):
        assert re.search(rf"#define {name} +UINT64_C\((\w+)\)", HEADER).group(1) in DOCUMENT
    assert re.search(r"#define TM_NOTE_TYPE (\w+)", HEADER).group(1) in DOCUMENT
