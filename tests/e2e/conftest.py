"""Fixtures of the end-to-end tests; functions are in harness.py."""

import functools

import harness
import pytest


@pytest.fixture(scope="session", autouse=True)
def built():
    """The build tree must be there: a test that finds none fails instead of testing something else."""
    for path in (harness.COREANALYZE, harness.TM_RUN, harness.LIBTM, harness.LIBCOREANALYZE):
        assert path.exists(), f"{path} is missing: run make, or set TM_BUILD"


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """program("known.c", "-O2", ...): path of that program of tests/programs, compiled once per set of flags."""

    @functools.lru_cache(maxsize=None)
    def compile_once(source, *flags, compiler=None):
        directory = tmp_path_factory.mktemp(source.replace("/", "_").replace(".", "_"))
        return harness.compile_program(harness.PROGRAMS / source, directory / source.rsplit("/", 1)[-1].rsplit(".", 1)[0],
                                       *(flags or ("-g", "-O2")), compiler=compiler)

    return compile_once
