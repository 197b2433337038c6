"""Builds and runs tests/programs/steps, the harness that steps through the tracer."""

import os

import harness

STEPS = harness.PROGRAMS / "steps"
LONG = os.environ.get("TM_STEPS") == "all"


def build(directory):
    """The harness, the program that it steps through, and what that loads."""
    library = harness.LIBCOREANALYZE.parent
    sources = [STEPS / f"{name}.c" for name in ("steps", "ledger", "view", "tracee", "stores")] + [harness.LIBCOREANALYZE]
    harness.compile_program(sources, directory / "steps", "-g", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
                            f"-I{harness.REPO}", f"-Wl,-rpath,{library}")
    harness.compile_program(STEPS / "subject.c", directory / "subject", "-g", "-O1", "-fno-builtin", "-w")
    for name, size in (("plugin_a", 11), ("plugin_b", 12)):
        harness.compile_program(harness.PROGRAMS / "plugin.c", directory / f"{name}.so", "-shared", "-fPIC", "-O2",
                                f"-DPLUGIN_SIZE={size}")
    harness.compile_program(STEPS / "thrower.cpp", directory / "thrower.so", "-shared", "-fPIC", "-O1", "-fno-builtin",
                            "-fno-inline", compiler=harness.CXX)
    return directory


# What a scenario needs: more options of the tracer, options of the harness, a library behind the tracer.
NEEDS = {"history": (",freed=3", ("-f", "3"), None), "throws": ("", (), "thrower.so")}


def step_through(directory, scenario, *options, tracer=None, variable="8", **run_options):
    more, own_options, library = NEEDS.get(scenario, ("", (), None))
    preload = [str(tracer or harness.LIBTM), *([str(directory / library)] if library else [])]
    environment = harness.clean_environment(STEPS_PRELOAD=" ".join(preload), TRACEMALLOC=variable + more, PLUGINS=directory,
                                            STEPS_ALL="1" if LONG else None)
    options = (*own_options, *options)
    return harness.run([directory / "steps", *options, directory / "subject", scenario], env=environment, **run_options)


def build_stops(directory):
    """The program that stops another one at random, and the one that it stops."""
    sources = [STEPS / f"{name}.c" for name in ("stops", "view", "tracee")] + [harness.LIBCOREANALYZE]
    harness.compile_program(sources, directory / "stops", "-g", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
                            f"-I{harness.REPO}", f"-Wl,-rpath,{harness.LIBCOREANALYZE.parent}")
    harness.compile_program(harness.PROGRAMS / "hammer.c", directory / "hammer", "-g", "-O2", "-Wall", "-Wextra", "-Werror")
    return directory
