"""GDB sessions for the tests: commands go in, what each printed comes out as bytes."""

import re

import harness


class Session:
    """The result of one GDB run: what each labelled command printed, as bytes, and all messages."""

    def __init__(self, result):
        self.stdout, self.stderr = result.stdout, result.stderr

    def __getitem__(self, label):
        pattern = rb"\n<<<" + label.encode() + rb"\n(.*?)\n?>>>" + label.encode() + rb"\n"
        match = re.search(pattern, self.stdout, re.DOTALL)
        assert match, f"no {label} in\n{self.stdout.decode()}\n{self.stderr.decode()}"
        return match.group(1)


def ask(label, command):
    """Commands that run `command` so that Session can tell its output from the program's and GDB's own."""
    return [f"echo \\n<<<{label}\\n", command, f"echo >>>{label}\\n"]


def gdb(commands, *arguments, script=harness.TM_GDB, early=(), **options):
    command_line = ["gdb", "-q", "-nx", "-batch"]
    for command in early:
        command_line += ["-iex", command]
    for command in ["set pagination off", "set width 0", *([f"source {script}"] if script else []), *commands]:
        command_line += ["-ex", command]
    return Session(harness.run([*command_line, *arguments], binary=True, **options))


PRELOADED = [f"set environment LD_PRELOAD {harness.LIBTM}"]


def talk(commands, *arguments, **options):
    """As gdb(), but the commands are typed at GDB's prompt, so that it shows one after each. The prompt is
    empty."""
    lines = ["set confirm off", "set pagination off", "set width 0", "set prompt", f"source {harness.TM_GDB}", *commands, "quit"]
    text = "".join(line + "\n" for line in lines).encode()
    return Session(harness.run(["gdb", "-q", "-nx", *arguments], binary=True, input=text, **options))
