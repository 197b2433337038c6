"""The man pages and the completion of bash: what they say is what the programs, tm.h and GDB say."""

import os
import pathlib
import re
import shutil
import subprocess

import harness
import pytest

MAN = harness.BUILD / "share" / "man"
PAGES = sorted(path for path in MAN.glob("man*/*.[0-9]") if not path.read_text().startswith(".so "))
COMPLETION = pathlib.Path("/usr/share/bash-completion/bash_completion")


def page_text(name, section):
    """A page as a reader sees it, in lines that are not broken."""
    return harness.run_ok(["man", "--no-hyphenation", "--no-justification", "-l", MAN / f"man{section}" / f"{name}.{section}"],
                          env=harness.clean_environment(MANWIDTH="2000", MAN_KEEP_FORMATTING=None, MANPAGER="cat")).stdout


def listing():
    """`coreanalyze help --list`: fields of its lines."""
    return [line.split("\t") for line in harness.coreanalyze("help", "--list").stdout.splitlines()]


# ---------------------------------------------------------------------------------------------------------------- pages

def test_pages():
    assert {path.name for path in PAGES} == {"coreanalyze.1", "tm-run.1", "tm.3", "tm-gdb.7"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_page_without_warning(page):
    """As Debian's checker looks at it. No line is wider than a terminal but where it cannot be broken."""
    if not harness.have("man"):
        pytest.skip("man-db is not installed")
    result = harness.run_ok(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page],
                            env=harness.clean_environment(MANWIDTH="80", MANROFFSEQ="", LC_ALL="C.UTF-8"))
    assert result.stderr == "" and len(result.stdout) > 1000
    assert re.search(r"^@[A-Z].*@$|@VERSION@", page.read_text(), re.MULTILINE) is None, "a placeholder was left"


def test_page_whatis():
    """`man -k` finds them: the line NAME is as it reads it."""
    if not harness.have("lexgrog"):
        pytest.skip("man-db is not installed")
    for page in PAGES:
        assert re.search(r': "[\w-]+ - \S', harness.run_ok(["lexgrog", page]).stdout), page


def test_page_of_coreanalyze():
    """Every command and option, each with its text of the table, and the exit codes."""
    text = page_text("coreanalyze", 1)
    for row in listing():
        if row[0] == "command":
            name = "coreanalyze" if row[1] == "report" else f"coreanalyze {row[1]}"
            assert re.search(rf"^ +{name} \[OPTION\.\.\.\] {re.escape(row[2])}$", text, re.MULTILINE), row
        elif row[0] == "option":
            assert re.search(rf"^ +(-\w, )?{row[4]}\b", text, re.MULTILINE) and " ".join(row[7].split()) in text, row
    for code in ("0", "1", "2", "3", "64"):
        assert re.search(rf"^ +{code} +\S", text.split("EXIT STATUS")[1].split("FILTERS")[0], re.MULTILINE), code


def test_page_names_who_has_an_option():
    """`--chain` is of refs alone, `--limit` of several, `--help` of all."""
    text = page_text("coreanalyze", 1)
    options = text.split("\nOPTIONS\n")[1].split("\nEXIT STATUS\n")[0]

    def users(option):
        return {row[2] for row in listing() if row[0] == "option" and row[4] == option}

    assert users("--chain") == {"refs"} and re.search(r"--chain\n.*For refs\.", options)
    assert users("--help") == {row[1] for row in listing() if row[0] == "command"}
    assert "For" not in options.split("--help")[1].split("\n\n")[0]


def test_page_of_header():
    """Every function that tm.h declares has its prototype, its text, and a page by its own name."""
    header = (harness.REPO / "tracer" / "tm.h").read_text()
    functions = re.findall(r"^TM_API\(([^,]+), (\w+), \((.*)\)\)$", header, re.MULTILINE)
    text = page_text("tm", 3)
    assert len(functions) >= 11
    for result, name, parameters in functions:
        assert text.count(f"{result} tm_{name}({parameters});") == 2, name
        comment = re.search(rf"/\* ((?:[^*]|\*(?!/))*) \*/\nTM_API\({re.escape(result)}, {name},", header)[1]
        assert " ".join(re.sub(r"\n \*", " ", comment).split()) in " ".join(text.split()), name
        assert (MAN / "man3" / f"tm_{name}.3").read_text() == ".so man3/tm.3\n"


def test_page_of_gdb():
    """Each command, setting and function with what GDB's help prints."""
    if not harness.have("gdb"):
        pytest.skip("gdb is not installed")
    text = page_text("tm-gdb", 7)
    listed = harness.gdb(["help tm", "help set tm"]).stdout
    commands = set(re.findall(r"^tm ([\w-]+)", listed, re.MULTILINE))
    settings = set(re.findall(r"^set tm ([\w-]+)", listed, re.MULTILINE))
    assert len(commands) >= 16 and len(settings) >= 5
    assert {name for name in commands if f"\n   tm-{name}\n" not in text} == set()
    assert {name for name in settings if f"\n   set tm {name}\n" not in text} == set()
    assert len(re.findall(r"^   \$_tm_\w+$", text, re.MULTILINE)) == 3
    help_text = harness.gdb(["help tm-block"]).stdout
    for paragraph in help_text.split("\n\n"):
        assert " ".join(paragraph.replace("Usage: ", "").split()) in " ".join(text.split()), paragraph


# ----------------------------------------------------------------------------------------------------------- completion

COMPLETE = r"""
. {completion}
compopt() {{ options+=("$*"); }}  # bash has it for the time of a completion only
complete_line() {{
    local line=$1 word IFS=$' \t\n'
    COMP_LINE=$line COMP_POINT=${{#line}} COMP_WORDS=() COMPREPLY=() options=()
    while [[ $line =~ ^[[:blank:]]*([^[:blank:]=:]+|[=:]+)(.*)$ ]]; do
        COMP_WORDS+=("${{BASH_REMATCH[1]}}") line=${{BASH_REMATCH[2]}}
    done
    [[ $COMP_LINE == *[[:blank:]] ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    local program=${{COMP_WORDS[0]}}
    complete -p "$program" &>/dev/null || _completion_loader "$program"
    local function
    function=$(complete -p "$program" | sed -n 's/.*-F \([^ ]*\) .*/\1/p')
    "$function" "$program" "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
    printf '%s\n' "<" "${{COMPREPLY[@]}}" ">" "${{options[@]}}" "."
}}
while IFS= read -r line; do complete_line "$line"; done
"""


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """complete("coreanalyze to"): the words that bash offers in place of the last one, by bash-completion's own loader, in a
    directory with two files and a folder."""
    if not COMPLETION.exists():
        pytest.skip("bash-completion is not installed")
    directory = tmp_path_factory.mktemp("completion")
    (directory / "core").touch()
    (directory / "tops.pb.gz").touch()
    (directory / "folder").mkdir()
    script = COMPLETE.format(completion=COMPLETION)
    environment = harness.clean_environment(XDG_DATA_DIRS=f"{harness.BUILD}/share:/usr/share", BASH_ENV=None,
                                            PATH=f"{harness.BUILD}/bin:{os.environ['PATH']}")

    def ask(line):
        result = harness.run_ok(["bash", "--norc", "-c", script], input=line + "\n", cwd=directory, env=environment)
        assert result.stderr == "", result.stderr
        words, options = result.stdout.split("<\n")[1].split(">\n")
        return {word.rstrip() for word in words.splitlines() if word.strip()}, options

    return lambda line: ask(line)[0]


def commands():
    return {row[1] for row in listing() if row[0] == "command"}


def test_complete_commands(complete):
    assert complete("coreanalyze ") == commands() | {"help", "core", "tops.pb.gz", "folder"}
    assert complete("coreanalyze to") == {"top", "tops.pb.gz"}
    assert complete("coreanalyze help ") == commands()


def test_complete_options(complete):
    """The long ones of each command are those that it has, "=" after those that want a value."""
    for command in sorted(commands()):
        wanted = set()
        for row in listing():
            if row[0] == "option" and row[2] == command:
                optional = row[5].startswith("[")
                wanted |= {row[4]} if not row[5] or optional else set()
                wanted |= {row[4] + "="} if row[5] else set()
        assert complete(f"coreanalyze {command} --") == wanted, command
    assert complete("coreanalyze top --no-so") == {"--no-source"}
    assert {"--version", "--kernel-pipe", "--by="} <= complete("coreanalyze --")
    assert "-n" in complete("coreanalyze top -")


@pytest.mark.parametrize("line, words", [
    ("coreanalyze top --by ", {"lineno", "filename", "traceback", "function", "module", "domain", "thread", "source", "type"}),
    ("coreanalyze top --by=f", {"filename", "function"}),
    ("coreanalyze --by t", {"traceback", "thread", "type"}),
    ("coreanalyze top --color ", {"auto", "always", "never"}),
    ("coreanalyze top --cumulative=", {"unique"}),
    ("coreanalyze refs --roots l", {"lsan"}),
    ("coreanalyze top -n 3 --value p", {"peak"}),
    ("coreanalyze leaks --format p", set()),  # the parser knows pprof, which leaks refuses and its help does not name
    ("coreanalyze top --format p", {"pprof"}),
    ("coreanalyze top --limit ", set()),
    ("coreanalyze top --source-map ", set()),
    ("coreanalyze top --sysroot ", {"folder"}),
    ("coreanalyze top -o to", {"tops.pb.gz"}),
    ("coreanalyze top --output=to", {"tops.pb.gz"}),
    ("coreanalyze top --cumulative c", {"core"}),
    ("coreanalyze top --by lineno c", {"core"}),
    ("coreanalyze diff core to", {"tops.pb.gz"}),
    ("coreanalyze block c", {"core"}),
    ("coreanalyze block core ", set()),
    ("coreanalyze refs --chain core ", set()),
    ("coreanalyze block --pid 1 ", set()),
])
def test_complete_values_and_operands(complete, line, words):
    assert complete(line) == words


def test_complete_processes(complete, program, tmp_path):
    """Those that run under the tracer."""
    process = subprocess.Popen([harness.TM_RUN, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=harness.clean_environment())
    try:
        process.stdin.write(b"ready\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"  # cat runs, the tracer in it
        found = complete("coreanalyze top --pid ")
        assert str(process.pid) in found and "1" not in found
        assert str(process.pid) in complete(f"coreanalyze -p {str(process.pid)[:1]}")
    finally:
        process.stdin.close()
        process.wait()


def test_complete_tm_run(complete):
    keys = set(re.findall(r"^  (\w+=)\S", harness.run_ok([harness.TM_RUN, "--help"]).stdout, re.MULTILINE))
    assert {"detail=", "freed=", "max="} <= keys
    assert complete("tm-run -o ") == keys
    assert complete("tm-run -o fr") == {"freed="}
    assert complete("tm-run -o detail=") == {"0", "1"}
    assert complete("tm-run -o detail=1,mm") == {"1,mmap="}  # readline takes what is after "=" for the word
    assert complete("tm-run --options=detail=1,mmap=") == {"0", "1"}
    assert {"--nframe=", "--options=", "--help"} <= complete("tm-run --")
    assert complete("tm-run -n ") == set()


def test_complete_what_is_run(complete):
    """The program and its own words, as if tm-run were not there."""
    assert "coreanalyze" in complete("tm-run coreanal")
    assert "coreanalyze" in complete("tm-run -n 5 -- coreanal")
    assert complete("tm-run -o detail=1 coreanalyze top --by=f") == {"filename", "function"}


def test_completion_is_clean():
    """As make lint looks at scripts."""
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    for path in sorted((harness.BUILD / "share/bash-completion/completions").iterdir()):
        harness.run_ok(["shellcheck", "--severity=warning", path])
