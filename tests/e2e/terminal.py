"""Programs at a terminal of their own: a pseudo-terminal that passes bytes on as they are, and what it would show."""

import errno
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import harness

SGR = re.compile(r"\x1b\[([\d;]*)m")


def plain(text):
    """Without colours."""
    return SGR.sub("", text)


class Terminal:
    """A program whose streams are a terminal, but for those that options of subprocess.Popen send elsewhere."""

    def __init__(self, arguments, columns=80, environment=None, **options):
        self.output = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST  # no CR before a newline
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        variables = harness.clean_environment(**{"TERM": "xterm", "NO_COLOR": None, "COLUMNS": None, **(environment or {})})
        for stream in ("stdin", "stdout", "stderr"):
            options.setdefault(stream, slave)

        def take_terminal():
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen([str(argument) for argument in arguments], env=variables, start_new_session=True,
                                        preexec_fn=take_terminal, **options)
        os.close(slave)

    def read(self, until=None):
        """All output so far, read until it holds `until` or the program has closed the terminal."""
        deadline = time.monotonic() + 60
        while until is None or until not in self.output:
            assert select.select([self._master], [], [], max(0, deadline - time.monotonic()))[0], self.output
            try:
                got = os.read(self._master, 1 << 16)
            except OSError as error:
                assert error.errno == errno.EIO
                got = b""
            if not got:
                assert until is None, self.output
                break
            self.output += got
        return self.output

    def finish(self):
        """What came in all, as text; the program has ended."""
        text = self.read().decode("utf-8", "surrogateescape")
        self.process.wait(harness.TIMEOUT)
        os.close(self._master)
        return text


def run(arguments, columns=80, environment=None, status=0, **options):
    """What a program writes to a terminal of that width."""
    terminal = Terminal(arguments, columns, environment, **options)
    text = terminal.finish()
    assert terminal.process.returncode == status, text
    return text


def screen(text):
    """What a terminal shows after it got this: carriage returns and erasing to the end of the line are done."""
    lines = []
    for line in plain(text).split("\n"):
        shown, column = "", 0
        for part in re.split(r"(\r|\x1b\[K)", line):
            if part == "\r":
                column = 0
            elif part == "\x1b[K":
                shown = shown[:column]
            else:
                shown = shown[:column] + part + shown[column + len(part):]
                column += len(part)
        lines.append(shown)
    return "\n".join(lines)
