"""The documented formats: real answers of every command against the schema that is installed, and the page against the schema."""

import copy
import csv
import io
import itertools
import json

import harness
import pytest
from harness import coreanalyze

SCHEMA_FILE = harness.BUILD / "share" / "tm" / "schema" / "coreanalyze.schema.json"
DOCS = harness.REPO / "docs"
COMMANDS = ["top", "diff", "traces", "blocks", "block", "leaks", "refs", "info"]

SOURCE = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node { struct node *next; char bytes[40]; } *volatile kept;
static char *volatile gone;

static void *work(void *unused)
{
    struct node *node = calloc(1, sizeof *node);
    node->next = calloc(1, sizeof *node);
    return memset(malloc(100), 0, 100), unused;  /* forgets all three */
}

int main(int argc, char **argv)
{
    pthread_t thread;
    kept = calloc(1, sizeof *kept);
    kept->next = calloc(1, sizeof *kept);
    gone = malloc(77);
    printf("%p\\n", gone);
    fflush(stdout);
    free(gone);
    for (int i = 1; i < argc * 10; i++) {
        kept->next->next = realloc(kept->next->next, (size_t)i * sizeof *kept);
    }
    pthread_create(&thread, NULL, work, argv);
    pthread_join(thread, NULL);
    char scrub[4096];
    memset(scrub, 0, sizeof scrub);
    __asm__ volatile("" ::"r"(scrub) : "memory");
    abort();
}
"""
# What no run here shows; the tests of these have it.
NOT_SEEN = {
    "coverage.bypassed not null",
    "coverage.untraced_time not null",
    "frame.module null", "blocks.blocks[].module null", "info.program null", "info.arguments null", "reference.register not null",
    *(f"info.in_flight[].{member} not null" for member in ("thread", "level", "operation", "address", "new_address", "size", "done", "ambiguous")),
}


@pytest.fixture(scope="module")
def schema():
    return json.loads(SCHEMA_FILE.read_text())


@pytest.fixture(scope="module")
def validators(schema):
    jsonschema = pytest.importorskip("jsonschema", reason="python3-jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(schema)
    return {name: jsonschema.Draft202012Validator({"$defs": schema["$defs"], "$ref": "#/$defs/" + name}) for name in COMMANDS}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    directory = tmp_path_factory.mktemp("formats")
    (directory / "formats.c").write_text(SOURCE)
    return harness.compile_program(directory / "formats.c", directory / "formats", "-g", "-O0")


@pytest.fixture(scope="module")
def cores(program, tmp_path_factory):
    """By what the tracer was asked for."""
    directory = tmp_path_factory.mktemp("cores")
    made = {}
    for name, arguments, options in (("plain", [], []), ("larger", ["x", "y"], []), ("sampled", [], ["-o", "sample=64"]),
                                     ("detail", [], ["-o", "detail=1,freed=100,max=1G"])):
        result, made[name] = harness.crash(harness.traced([program, *arguments], *options), directory / name)
    made["freed"] = result.stdout.split()[0]  # an address of the last one
    stripped = harness.compile_program(program.with_suffix(".c"), directory / "stripped-program", "-O0", "-s", "-Wl,--build-id=none")
    made["stripped"] = harness.crash(harness.traced([stripped], "-n", "2"), directory / "stripped")[1]
    whole = made["plain"].read_bytes()
    (directory / "cut").write_bytes(whole[:len(whole) // 2])
    made["cut"] = directory / "cut"
    made["saved"] = directory / "saved.pb.gz"
    coreanalyze("save", made["detail"], made["saved"])
    (directory / "suppressions").write_text("leak:work\nleak:nothing\n")
    made["suppressions"] = directory / "suppressions"
    return made


def json_of(*arguments):
    return json.loads(coreanalyze(*arguments, "--format", "json", status=None).stdout)


def addresses(core):
    """A live block, one that another holds, one that was freed, a variable, nothing."""
    blocks = json_of("blocks", "-n", "0", core)["blocks"]
    nodes = [block["address"] for block in blocks if block["size"] == 48]
    return [*nodes[:2], "0x10"]


@pytest.fixture(scope="module")
def answers(cores):
    """(command, answer): everything that commands can say, as far as these runs go."""
    made = []
    choices = (["--by", "traceback"], ["--cumulative"], ["--cumulative=unique", "--by", "function"], ["-n", "1", "--by", "module"],
               ["--include", "nothing"])
    made.extend(("top", json_of("top", *options, cores["plain"])) for options in choices)
    made.extend((command, json_of(command, cores["stripped"])) for command in ("top", "traces", "blocks", "info"))
    made.append(("top", json_of("top", cores["sampled"])))
    made.append(("leaks", json_of("leaks", cores["cut"])))
    for name in ("plain", "detail", "saved"):
        core = cores[name]
        made.append(("top", json_of("top", core)))
        made.append(("traces", json_of("traces", core)))
        made.append(("blocks", json_of("blocks", "-n", "2", core)))
        made.append(("diff", json_of("diff", cores["plain"], core)))
        if name != "saved":
            made.append(("info", json_of("info", core)))
            made.append(("leaks", json_of("leaks", core)))
    made.append(("diff", json_of("diff", "-n", "1", cores["plain"], cores["larger"])))
    made.append(("top", json_of("top", "--value", "peak", cores["plain"])))
    made.append(("leaks", json_of("leaks", "--by", "lineno", "-n", "1", "--suppressions", cores["suppressions"], cores["detail"])))
    made.append(("leaks", json_of("leaks", "--roots", "lsan", cores["detail"])))
    for name in ("plain", "detail"):
        for address in addresses(cores[name])[0 if name == "detail" else 1:]:
            made.append(("block", json_of("block", cores[name], address)))
            made.append(("refs", json_of("refs", cores[name], address)))
        made.append(("refs", json_of("refs", "--chain", cores[name], addresses(cores[name])[-2])))
    for command in ("block", "refs"):
        made.append((command, json_of(command, cores["detail"], cores["freed"])))
    return made


def test_answers_are_as_documented(answers, validators):
    for command, answer in answers:
        errors = sorted(validators[command].iter_errors(answer), key=lambda error: list(map(str, error.path)))
        assert not errors, f"{command}: {errors[0].message} at {list(errors[0].path)}"
    assert {command for command, _ in answers} == set(COMMANDS)


def objects_of(value):
    """Every object in an answer, by a way to it."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects_of(item)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_schema_is_strict(command, answers, validators, schema):
    """An answer that lacks a member, has one more, or another type anywhere is not as documented."""
    answer = copy.deepcopy(min((answer for name, answer in answers if name == command and len(json.dumps(answer)) > 700),
                               key=lambda answer: len(json.dumps(answer))))
    valid = validators[command].is_valid
    assert valid(answer)
    for found in objects_of(answer):
        found["further"] = 1
        assert not valid(answer), found
        del found["further"]
        for key in list(found):
            value = found[key]
            found[key] = {"another": "type"}
            assert not valid(answer), key
            del found[key]
            assert not valid(answer) or key in ("bypassed", "untraced_time"), key
            found[key] = value
    assert all(node["additionalProperties"] is False for node in objects_of(schema) if "properties" in node and "required" in node)


def seen_in(schema, node, value, path, seen):
    """Notes which members of the schema an answer has, and which of the nullable ones are null or not."""
    while "$ref" in node:
        path = node["$ref"].rpartition("/")[2]
        node = schema["$defs"][path]
    if "anyOf" in node and value is not None:
        return seen_in(schema, node["anyOf"][0], value, path, seen)
    if isinstance(value, dict):
        for key, item in value.items():
            member = node["properties"][key]
            seen.add((f"{path}.{key}", item is None))
            seen_in(schema, member, item, f"{path}.{key}", seen)
    elif isinstance(value, list) and "items" in node and node["items"]:
        for item in value:
            seen_in(schema, node["items"], item, path + "[]", seen)
    return None


def is_nullable(node):
    kinds = node.get("type", [])
    return "null" in kinds if isinstance(kinds, list) else any(choice.get("type") == "null" for choice in node.get("anyOf", []))


def members_of(schema, node, path):
    """(path, may be null) of each member of a definition, those of shared ones apart."""
    for key, member in node.get("properties", {}).items():
        yield f"{path}.{key}", is_nullable(member)
        yield from members_of(schema, member, f"{path}.{key}")
    for choice in (node.get("items") or {}, *node.get("anyOf", [])):
        if choice:
            yield from members_of(schema, choice, path + ("[]" if choice is node.get("items") else ""))


def test_nothing_is_documented_that_is_not_there(answers, schema):
    """Each member is in an answer, and each that may be null is so in one and has a value in another."""
    seen = set()
    for command, answer in answers:
        seen_in(schema, schema["$defs"][command], answer, command, seen)
    expected = set()
    for name, node in schema["$defs"].items():
        for path, nullable in members_of(schema, node, name):
            expected |= {(path, False)} | ({(path, True)} if nullable else set())
    missing = {f"{path} {'null' if null else 'not null'}" for path, null in expected - seen}
    assert missing == NOT_SEEN, "\n".join(sorted(missing ^ NOT_SEEN))


def test_csv_has_the_documented_columns(cores, schema):
    for command in COMMANDS:
        node = schema["$defs"][command]
        sources = [cores["plain"], cores["larger"]] if command == "diff" else [cores["plain"]]
        if "csv" not in node:
            continue
        for key in ("lineno", "traceback"):
            by = ["--by", key] if command in ("top", "diff", "leaks") else []
            text = coreanalyze(command, *by, "--format", "csv", *sources, binary=True).stdout.decode()
            rows = list(csv.reader(io.StringIO(text, newline="")))
            assert rows[0] == node["csv"] + (node.get("csv_by_traceback", []) if key == "traceback" else []), command
            assert len(rows) > 1 and all(len(row) == len(rows[0]) for row in rows) and text.endswith("\r\n")


def test_the_page_is_made_of_the_schema():
    harness.run_ok([DOCS / "output-formats", "--check"])
    assert (DOCS / "schema" / "coreanalyze.schema.json").read_bytes() == SCHEMA_FILE.read_bytes()


def test_the_page_says_which_command_has_which_format():
    """Its table is what --help says."""
    page = (DOCS / "output-formats.md").read_text()
    table = {row.split("|")[1].strip(" `"): set(row.split("|")[2].replace("`", "").replace(";", " ").split())
             for row in page.split("## JSON")[0].splitlines() if row.startswith("| `")}
    for command in [*COMMANDS, "report", "save"]:
        words = "".join(itertools.takewhile(lambda line: not line.lstrip().startswith("-o"),
                                            coreanalyze(command, "--help").stdout.partition("--format=FORMAT")[2].splitlines(True)))
        for name in table:
            offered = name in words.replace("(", " ").replace(",", " ").split() or (name == "text") or (name, command) == ("pprof", "save")
            offered = offered and (name, command) != ("pprof", "diff")  # refused, with the reason
            assert offered == (command in table[name] or table[name] == {"all"}), (command, name)
