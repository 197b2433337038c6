"""docs/c-api.md: the example is built and run as the page says, and what the page says of it is true."""

import os
import re
import shutil

import pytest

import harness

EXAMPLE = harness.REPO / "docs" / "examples" / "arena.c"


@pytest.fixture(scope="module", params=["nothing", "-ltm", "-ltm, another copy", "libtm.a"])
def arena(request, tmp_path_factory):
    """The example, linked with each of what tm.h allows. Preloading then brings a second tracer, except in the first two."""
    directory = tmp_path_factory.mktemp("arena")
    copy = directory / "lib"
    copy.mkdir()
    shutil.copy(harness.LIBTM, copy)
    flags = {"nothing": [], "-ltm": [f"-L{harness.BUILD}/lib", f"-Wl,-rpath,{harness.BUILD}/lib", "-ltm"],
             "-ltm, another copy": [f"-L{copy}", f"-Wl,-rpath,{copy}", "-ltm"],
             "libtm.a": [harness.BUILD / "lib" / "libtm.a"]}[request.param]
    output = directory / "arena"
    harness.run_ok([harness.CC, "-g", "-Wall", "-Wextra", "-Werror", "-o", output, EXAMPLE, f"-I{harness.BUILD}/include",
                    *flags, "-pthread"])
    return output


def cached_words():
    text = re.search(r'parse_line\(&cache, "(.*)"\)', EXAMPLE.read_text()).group(1)
    rounds = int(re.search(r"i < (\d+)", EXAMPLE.read_text()).group(1)) // 10
    return text.split() * rounds


def test_without_the_tracer_it_runs_untraced(arena, tmp_path):
    result = harness.run([arena], cwd=tmp_path)
    assert result.returncode == -6
    assert result.stdout == "traced now: 0 bytes, at most: 0 bytes\n" and result.stderr == ""


def test_what_the_arena_holds_is_told_exactly(arena, tmp_path):
    _, core = harness.crash(harness.traced([arena]), tmp_path)
    words = cached_words()
    answer = harness.coreanalyze_json("top", "--include-domain", "7", "--skip", "arena_*", core)
    assert answer["total"] == {"size": sum(len(word) + 1 for word in words), "count": len(words)}
    (only,) = answer["statistics"]
    place = only["traceback"][0]
    assert place["function"] == "parse_word" and place["filename"] == str(EXAMPLE)
    line = EXAMPLE.read_text().splitlines()[place["lineno"] - 1]
    assert "arena_allocate(" in line
    assert all("hooks.c" not in frame["filename"] for item in
               harness.coreanalyze_json("top", "--by", "traceback", core)["statistics"] for frame in item["traceback"])
    domains = harness.coreanalyze_json("top", "--by", "domain", core)
    assert {item["traceback"][0]["filename"] for item in domains["statistics"]} == {"domain 0", "domain 7"}


def test_pkg_config_finds_header_and_library(tmp_path):
    environment = harness.clean_environment(PKG_CONFIG_PATH=harness.BUILD / "lib" / "pkgconfig")
    flags = harness.run_ok(["pkg-config", "--cflags", "--libs", "tm"], env=environment).stdout.split()
    output = tmp_path / "arena"
    harness.run_ok([harness.CC, "-o", output, EXAMPLE, *flags, f"-Wl,-rpath,{harness.BUILD}/lib"])
    assert os.path.exists(output)
    assert "libtm.so" in harness.run_ok(["readelf", "-d", output]).stdout
