"""Pages that hold results between markers, so that a program can write them anew."""

import pathlib

from kit.process import Failure


def markers(name):
    return f"<!-- {name}: written by a program, see above -->", f"<!-- end of {name} -->"


def replace(path, name, text):
    """Puts `text` between the markers of `name` in the page at `path`."""
    path = pathlib.Path(path)
    page = path.read_text()
    begin, end = markers(name)
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise Failure(f"{path}: expected one line {begin!r} and below it one line {end!r}")
    head, rest = page.split(begin)
    tail = rest.split(end)[1]
    path.write_text(f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}")
