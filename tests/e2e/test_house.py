"""The house around the code: what is exported, what is installed, what the README says about both."""

import os
import re
import shutil
import sysconfig

import harness
import pytest

MALLOC_FAMILY = {
    "malloc", "calloc", "realloc", "reallocarray", "free", "cfree", "posix_memalign", "aligned_alloc", "memalign", "valloc",
    "pvalloc", "malloc_usable_size", "free_sized", "free_aligned_sized",
}
MAPPINGS = {"mmap", "mmap64", "munmap", "mremap"}
REQUIRED = MALLOC_FAMILY - {"cfree", "malloc_usable_size", "free_sized", "free_aligned_sized"}


def exported(library):
    """Names that a shared library defines for others."""
    lines = harness.run_ok(["nm", "-D", "--defined-only", library]).stdout.splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


def needed(program):
    """Libraries that a program names as its dependencies."""
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", harness.run_ok(["readelf", "-d", program]).stdout))


def declared(header, pattern):
    """Function names in a header, comments taken out."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", header.read_text(), flags=re.DOTALL)
    return set(re.findall(pattern, text, re.MULTILINE))


def test_tracer_exports():
    """libtm.so takes the place of the malloc family and of nothing else."""
    names = exported(harness.LIBTM)
    assert REQUIRED | MAPPINGS <= names and "tm_table" in names
    operators = {name for name in names if re.match(r"_Z(nw|na|dl|da)", name)}  # of C++: new and delete
    extra = names - MALLOC_FAMILY - MAPPINGS - operators - {"tm_table"}
    api = declared(harness.REPO / "tracer" / "tm.h", r"^TM_API\([^,]+, (\w+),")
    assert extra == {"tm_attach", *(f"tm_{name}" for name in api)} and len(api) >= 10, "tm.h, what debuggers call, no more"


def test_tracer_needs_libc_alone():
    assert needed(harness.LIBTM) <= {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
    assert needed(harness.TM_RUN) <= {"libc.so.6"}


def test_tracer_has_no_relocated_code():
    """No text relocations and no executable stack: hardened systems refuse both."""
    text = harness.run_ok(["readelf", "-dlW", harness.LIBTM]).stdout
    assert "TEXTREL" not in text
    assert re.search(r"GNU_STACK.*RW ", text)


def test_engine_exports():
    """libcoreanalyze.so exports its API and no other name: GDB has names such as xmalloc and a libdw of its own."""
    names = exported(harness.LIBCOREANALYZE)
    assert names == declared(harness.REPO / "coreanalyze" / "coreanalyze.h", r"CA_API[^;]*?\b(ca_\w+)\s*\(")
    assert len(names) > 10


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The tree that make install made."""
    prefix = tmp_path_factory.mktemp("installed") / "prefix"
    install(prefix)
    return prefix


def install(prefix, target="install", **variables):
    environment = harness.clean_environment(MAKEFLAGS=None, MAKELEVEL=None, MFLAGS=None)
    return harness.run_ok(["make", "-C", harness.REPO, "--no-print-directory", f"BUILD={harness.BUILD}", f"PREFIX={prefix}",
                           *[f"{name}={value}" for name, value in variables.items()], *target.split()], env=environment).stdout


def files_below(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_install_puts_everything_in_place(tmp_path):
    prefix = tmp_path / "prefix"
    output = install(prefix)
    found = files_below(prefix)
    assert {"bin/coreanalyze", "bin/tm-run", "lib/libtm.so", "lib/libtm.a", "lib/libcoreanalyze.so", "include/tm.h",
            "lib/pkgconfig/tm.pc", "share/tm/gdb/tm-gdb.py", "share/tm/python/tm/__init__.py",
            "share/man/man1/coreanalyze.1", "share/man/man1/tm-run.1",
            f"share/gdb/auto-load{prefix}/lib/libtm.so-gdb.py"} <= found
    assert f"source {prefix}/share/tm/gdb/tm-gdb.py" in output.splitlines()
    # the build tree holds the same
    for path in found - {f"share/gdb/auto-load{prefix}/lib/libtm.so-gdb.py"}:
        assert (harness.BUILD / path).read_bytes() == (prefix / path).read_bytes(), path


def test_install_honours_destdir(tmp_path):
    output = install("/usr", DESTDIR=tmp_path / "stage")
    stage = tmp_path / "stage"
    assert {path.name for path in stage.iterdir()} == {"usr"}
    assert (stage / "usr/share/gdb/auto-load/usr/lib/libtm.so-gdb.py").exists()
    assert str(stage) not in output.split("source ")[-1]


def test_uninstall_leaves_nothing(tmp_path):
    """What install has put there goes, compiled modules too; what somebody else has put there stays."""
    prefix = tmp_path / "prefix"
    install(prefix)
    (prefix / "share/man/man1/other.1").touch()
    harness.run_ok(["python3", "-c", "import tm"], env=harness.clean_environment(PYTHONPATH=prefix / "share/tm/python", PYTHONDONTWRITEBYTECODE=None))
    assert list(prefix.rglob("*.pyc"))
    install(prefix, target="uninstall")
    assert [str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()] == ["share/man/man1/other.1"]
    assert not (prefix / "share" / "tm").exists() and not (prefix / "share/gdb").exists()


def test_libraries_of_the_system(tmp_path):
    """LIBDIR=lib/TRIPLET, as Debian has it: the package finds the engine there, GDB's script the package from there."""
    triplet = sysconfig.get_config_var("MULTIARCH")
    if not triplet:
        pytest.skip("this Python is not built for a system with several architectures")
    prefix = tmp_path / "prefix"
    install(prefix)
    (prefix / "lib" / triplet).mkdir()
    for name in ("libcoreanalyze.so", "libtm.so"):
        (prefix / "lib" / name).rename(prefix / "lib" / triplet / name)
    answer = harness.run_ok(["python3", "-c", "from tm import engine; print(engine.library_path(), engine.tracer_path(), engine.version())"],
                            env=harness.clean_environment(PYTHONPATH=prefix / "share/tm/python")).stdout
    assert answer.split() == [f"{prefix}/lib/{triplet}/libcoreanalyze.so", f"{prefix}/lib/{triplet}/libtm.so", version()]


def crash_installed(prefix, tmp_path):
    """A core of a program run by the installed tm-run."""
    source = tmp_path / "leak.c"
    source.write_text("#include <stdlib.h>\nvoid *p;\nint main(void)\n{\n    p = malloc(4321);\n    abort();\n}\n")
    program = harness.compile_program(source, tmp_path / "leak", "-g")
    return harness.crash([prefix / "bin" / "tm-run", "--", program], tmp_path / "run")[1], program, source


def test_installed_tree_works_anywhere(installed, tmp_path):
    """Moved after the install, with no environment variables and the build tree out of reach."""
    moved = shutil.copytree(installed, tmp_path / "moved")
    core, program, source = crash_installed(moved, tmp_path)
    environment = {"PATH": os.environ["PATH"]}
    answer = harness.run_ok([moved / "bin" / "coreanalyze", "top", core], env=environment).stdout
    assert f"{source}:5: size=4321 B, count=1, average=4321 B" in answer
    loaded = harness.run_ok(["ldd", moved / "bin" / "coreanalyze"], env=environment).stdout
    assert str(moved / "lib" / "libcoreanalyze.so") in os.path.normpath(loaded.replace("/bin/../", "/"))
    in_gdb = harness.run(["gdb", "-q", "-nx", "-batch", "-ex", f"source {moved}/share/tm/gdb/tm-gdb.py", "-ex", "tm-top",
                          program, core], env=environment).stdout
    assert f"{source}:5: size=4321 B, count=1, average=4321 B" in in_gdb


def test_auto_load_script(installed, tmp_path):
    """With its directory on GDB's auto-load path, as /usr's is, GDB has the commands when libtm.so is loaded."""
    core, program, source = crash_installed(installed, tmp_path)
    scripts = installed / "share" / "gdb" / "auto-load"
    result = harness.run(["gdb", "-q", "-nx", "-batch", "-iex", f"set auto-load scripts-directory {scripts}",
                          "-iex", "set auto-load safe-path /", "-ex", "tm-top", program, core])
    assert f"{source}:5: size=4321 B" in result.stdout, result.stdout + result.stderr


def test_pkg_config(installed, tmp_path):
    """A program that calls tm.h builds with what pkg-config says and runs, tracer linked in."""
    environment = harness.clean_environment(PKG_CONFIG_PATH=installed / "lib" / "pkgconfig")
    assert harness.run_ok(["pkg-config", "--modversion", "tm"], env=environment).stdout.strip() == version()
    source = tmp_path / "calls.c"
    source.write_text("#include <tm.h>\nint main(void)\n{\n    tm_start(25);\n    return tm_is_tracing() ? 7 : 8;\n}\n")
    command = f'{harness.CC} {source} -o {tmp_path}/calls $(pkg-config --cflags --libs tm) -Wl,-rpath,{installed}/lib'
    harness.run_ok(["sh", "-c", command], env=environment)
    assert harness.run([tmp_path / "calls"]).returncode == 7


def version():
    return re.search(r"^VERSION := (\S+)", (harness.REPO / "Makefile").read_text(), re.MULTILINE)[1]


def test_version_is_one():
    assert version() in harness.run_ok([harness.COREANALYZE, "--version"]).stdout
    assert f"## {version()}" in (harness.REPO / "CHANGELOG.md").read_text()


def test_readme_lists_the_dependencies():
    """The README's table is .ci/packages.txt, row by row."""
    rows = []
    for line in (harness.REPO / ".ci" / "packages.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            group, package, _, why = (part.strip() for part in line.split("|"))
            rows.append(f"| `{package}` | {group} | {why} |")
    readme = (harness.REPO / "README.md").read_text().splitlines()
    assert [line for line in readme if line in set(rows)] == rows


def test_readme_names_every_folder():
    """Every folder of the tree has its line."""
    folders = {path.split("/")[0] for path in harness.run_ok(["git", "-C", harness.REPO, "ls-files"]).stdout.splitlines() if "/" in path}
    readme = (harness.REPO / "README.md").read_text()
    assert {folder for folder in folders if f"`{folder}/`" not in readme} == set()


def test_make_help_lists_every_target():
    makefile = (harness.REPO / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (\w[\w-]*)$", makefile, re.MULTILINE))
    output = harness.run_ok(["make", "-C", harness.REPO, "--no-print-directory", "help"]).stdout
    assert {target for target in targets - {"FORCE"} if not re.search(rf"^  {target} ", output, re.MULTILINE)} == set()


def test_dependencies_are_quiet_and_offline():
    """When nothing is missing, .ci/deps says and fetches nothing."""
    environment = harness.clean_environment(http_proxy="http://127.0.0.1:1", https_proxy="http://127.0.0.1:1")
    result = harness.run_ok([harness.REPO / ".ci" / "deps"], env=environment)
    assert result.stdout + result.stderr == ""


def test_dependencies_say_what_is_missing(tmp_path):
    """Without root and without sudo it names the packages and fails."""
    for name, text in {"id": "#!/bin/sh\necho 1000\n", "sudo": "#!/bin/sh\nexit 1\n", "dpkg-query": "#!/bin/sh\nexit 1\n",
                       "gdb": ""}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755 if text else 0o644)
    for tool in ("sh", "awk", "sed", "grep", "dirname", "apt-get"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    result = harness.run([harness.REPO / ".ci" / "deps", "run"], env={"PATH": str(tmp_path)})
    assert result.returncode == 1
    assert re.search(r"sudo apt-get install .*\bgdb\b", result.stderr), result.stdout + result.stderr
