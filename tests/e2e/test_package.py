"""The Debian packages. What they are made of is looked at always; `make check-package` builds them and sets TM_PACKAGES to the
folder where they are."""

import os
import pathlib
import re
import subprocess

import harness
import pytest

PACKAGING = harness.REPO / "docs" / "packaging"
DEBIAN = PACKAGING / "debian"
PACKAGES = pathlib.Path(os.environ["TM_PACKAGES"]) if os.environ.get("TM_PACKAGES") else None
built = pytest.mark.skipif(PACKAGES is None, reason="make check-package builds the Debian packages")


def control():
    """Fields of debian/control: the source's, and by name the packages'."""
    stanzas = []
    for text in (DEBIAN / "control").read_text().strip().split("\n\n"):
        stanzas.append(dict(re.findall(r"^([\w-]+): *((?:.|\n(?= ))*)", text, re.MULTILINE)))
    return stanzas[0], {stanza["Package"]: stanza for stanza in stanzas[1:]}


def names(field):
    return set(re.findall(r"(?:^|[,|])\s*([a-z0-9][\w.+-]*)", field))


# -------------------------------------------------------------------------------------------------------- before a build

def test_build_dependencies():
    """What .ci/packages.txt says the tools need, and nothing else."""
    wanted = set()
    for line in (harness.REPO / ".ci" / "packages.txt").read_text().splitlines():
        fields = [field.strip() for field in line.split("|")]
        if not line.startswith("#") and "run" in fields[0].split():
            wanted.add(fields[1])
    assert names(control()[0]["Build-Depends"]) - {"debhelper-compat"} == wanted


def test_every_installed_file_has_a_package(tmp_path):
    """What `make install` puts below /usr, each file in exactly one of the packages."""
    stage = tmp_path / "stage"
    harness.run_ok(["make", "-C", harness.REPO, "--no-print-directory", f"BUILD={harness.BUILD}", "PREFIX=/usr", f"DESTDIR={stage}",
                    "install"], env=harness.clean_environment(MAKEFLAGS=None, MAKELEVEL=None, MFLAGS=None))
    files = {path.relative_to(stage) for path in stage.rglob("*") if path.is_file()}
    owners = {file: set() for file in files}
    for listing in DEBIAN.glob("*.install"):
        for pattern in listing.read_text().split():
            found = {file for file in files for parent in (file, *file.parents) if parent.match(pattern.replace("lib/*", "lib"))}
            assert found, f"{listing.name}: {pattern} is nowhere"
            for file in found:
                owners[file].add(listing.stem)
    assert {file: owner for file, owner in owners.items() if len(owner) != 1} == {}


def test_changelog(tmp_path):
    """Of CHANGELOG.md: every entry, every word, in lines that Debian's tools take."""
    text = harness.run_ok(["awk", "-v", "maintainer=A B <a@example.org>", "-v", "date=Thu, 26 Nov 2026 03:05:16 +0000",
                           "-f", PACKAGING / "changelog.awk", harness.REPO / "CHANGELOG.md"]).stdout
    source = (harness.REPO / "CHANGELOG.md").read_text()
    version = re.search(r"^VERSION := (\S+)", (harness.REPO / "Makefile").read_text(), re.MULTILINE)[1]
    assert re.match(rf"tm \({re.escape(version)}\) (unstable|UNRELEASED); urgency=medium\n\n  \* ", text)
    assert max(map(len, text.splitlines())) <= 80
    items = re.findall(r"^- ((?:.|\n  )*)", source, re.MULTILINE)
    assert len(items) > 10 and text.count("\n  * ") == len(items)
    flat = " ".join(text.split())
    assert [item for item in items if " ".join(item.replace("`", "").split()) not in flat] == []
    if harness.have("dpkg-parsechangelog"):
        path = tmp_path / "changelog"
        path.write_text(text)
        assert harness.run_ok(["dpkg-parsechangelog", "-l", path, "-S", "Version"]).stdout.strip() == version


def test_overrides_are_explained():
    """Each has its reason above, and names a tag; none is for all tags."""
    for path in DEBIAN.glob("*.lintian-overrides"):
        lines = path.read_text().splitlines()
        assert lines[0].startswith("# ")
        for line in lines:
            assert line.startswith("# ") or re.match(rf"{path.stem}( source)?: [a-z][a-z-]+( |$)", line), line


# --------------------------------------------------------------------------------------------------------- after a build

@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The files of all packages in one tree."""
    root = tmp_path_factory.mktemp("root")
    for path in PACKAGES.glob("*.deb"):
        harness.run_ok(["dpkg-deb", "-x", path, root])
    return root


def libraries(root):
    return next((root / "usr" / "lib").glob("*/libtm.so")).parent


@built
def test_packages():
    found = {path.name.split("_")[0] for path in PACKAGES.glob("*.deb")}
    assert found == set(control()[1]) | {"tm-run-dbgsym", "coreanalyze-dbgsym"}


@built
def test_lintian():
    if not harness.have("lintian"):
        pytest.skip("lintian is not installed")
    result = harness.run(["lintian", "--fail-on", "error,warning", *PACKAGES.glob("*.changes")])
    assert (result.returncode, result.stdout) == (0, "")


@built
def test_dependencies():
    """The tracer needs libc alone."""
    package = next(PACKAGES.glob("tm-run_*.deb"))
    assert names(harness.run_ok(["dpkg-deb", "-f", package, "Depends"]).stdout) == {"libc6"}
    package = next(PACKAGES.glob("coreanalyze_*.deb"))
    assert {"libc6", "libdw1", "libelf1", "libprotobuf-c1", "zlib1g"} == names(harness.run_ok(["dpkg-deb", "-f", package, "Depends"]).stdout)


@built
def test_hardened(unpacked):
    """Positions are independent, relocations read-only from the start, and no search path is built in."""
    for path in (unpacked / "usr/bin/coreanalyze", unpacked / "usr/bin/tm-run", libraries(unpacked) / "libtm.so",
                 libraries(unpacked) / "libcoreanalyze.so"):
        text = harness.run_ok(["readelf", "-hdlW", path]).stdout
        assert "DYN" in text and "GNU_RELRO" in text and re.search("BIND_NOW|NOW", text), path
        assert "RUNPATH" not in text and "RPATH" not in text
    assert "__stack_chk_fail" in harness.run_ok(["nm", "-D", libraries(unpacked) / "libcoreanalyze.so"]).stdout
    assert "__stack_chk_fail" not in harness.run_ok(["nm", "-D", libraries(unpacked) / "libtm.so"]).stdout, "it would run inside malloc"


@built
def test_unpacked_tools(unpacked, tmp_path):
    """A crash, recorded and read by what is in the packages, stripped as they are."""
    source = tmp_path / "leak.c"
    source.write_text("#include <stdlib.h>\nvoid *p;\nint main(void)\n{\n    p = malloc(4321);\n    abort();\n}\n")
    program = harness.compile_program(source, tmp_path / "leak", "-g")
    core = harness.crash([unpacked / "usr/bin/tm-run", "--", program], tmp_path / "run")[1]
    environment = harness.clean_environment(LD_LIBRARY_PATH=libraries(unpacked))
    answer = harness.run_ok([unpacked / "usr/bin/coreanalyze", "top", core], env=environment).stdout
    assert f"{source}:5: size=4321 B, count=1, average=4321 B" in answer
    scripts = unpacked / "usr/share/gdb/auto-load"
    script = next(scripts.rglob("libtm.so-gdb.py"))
    assert script.relative_to(scripts).parts[:2] == ("usr", "lib") and len(script.relative_to(scripts).parts) == 4
    in_gdb = harness.run(["gdb", "-q", "-nx", "-batch", "-ex", f"source {unpacked}/usr/share/tm/gdb/tm-gdb.py", "-ex", "tm-top", program, core],
                         env=harness.clean_environment())
    assert f"{source}:5: size=4321 B" in in_gdb.stdout, in_gdb.stderr


@built
def test_copyright(unpacked):
    """The licence of the project, and those of the libraries in the page of --format html where the packages have that."""
    text = (unpacked / "usr/share/doc/coreanalyze/copyright").read_text()
    own = (harness.REPO / "LICENSE").read_text()
    assert own[own.index("Permission"):].split() == [word for word in text.split("\n\n")[2].split() if word != "."][2:]
    engine = (libraries(unpacked) / "libcoreanalyze.so").read_bytes()
    page = harness.REPO / "build" / "page" / "page.html"
    has_page = page.exists() and page.stat().st_size > 0
    assert (b"Libraries in this page:" in engine) == has_page
    if has_page:
        libraries_named = re.findall(r"^[a-z0-9-]+ [\d.]+, (\S+)$", page.read_text().rpartition("<!--")[2], re.MULTILINE)
        assert set(libraries_named) == set(re.findall(r"^License: (\S+)$", text, re.MULTILINE)) - {"Expat"} and "Mike Bostock" in text


@built
def test_static_library_survives(unpacked, tmp_path):
    """libtm.a as it was stripped for the package makes a static program that is traced."""
    source = tmp_path / "calls.c"
    source.write_text("#include <tm.h>\nint main(void)\n{\n    tm_start(25);\n    return tm_is_tracing() ? 7 : 8;\n}\n")
    environment = harness.clean_environment(PKG_CONFIG_PATH=libraries(unpacked) / "pkgconfig", PKG_CONFIG_SYSROOT_DIR=unpacked)
    harness.run_ok(["sh", "-c", f"{harness.CC} -static {source} -o {tmp_path}/calls $(pkg-config --static --cflags --libs tm)"
                    f" -I{unpacked}/usr/include -L{libraries(unpacked)}"], env=environment)
    assert harness.run([tmp_path / "calls"]).returncode == 7


@built
def test_minimal_root():
    """Installed in a system that has nothing else: tests/installed.sh."""
    result = subprocess.run([harness.REPO / "tests" / "minimal-root.sh", PACKAGES], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, check=False)
    last = result.stdout.strip().splitlines()[-1]
    if last.startswith("skipped: "):
        pytest.skip(last[len("skipped: "):])
    assert result.returncode == 0 and last == "all ok", result.stdout[-3000:]
