"""Servers of several processes run under the tracer with load on them, while GDB looks in from outside; they notice nothing.

TM_SECONDS=60 puts the load on for a minute; the default is 4 seconds."""

import os
import pathlib
import re
import shutil
import socket
import subprocess

import harness
import pytest

SECONDS = int(os.environ.get("TM_SECONDS", "4"))
POSTGRES = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def children(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid):
    """Empty for a process that has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def look(pid):
    """Blocks, dropped and in flight of a process as GDB sees it, and what its snapshot holds."""
    result = harness.gdb(["python import tm", "python s = tm.take_snapshot()",
                          'python print("traces", len(s.traces))', "tm-top -n 3 --no-source", "tm-info", "detach"], "-p", pid)
    coverage = re.search(r"coverage: (\d+) blocks, (\d+) dropped, (\d+) in flight", result.stdout)
    assert coverage, result.stdout[-2000:] + result.stderr[-2000:]
    blocks, dropped, in_flight = map(int, coverage.groups())
    assert int(re.search(r"^traces (\d+)$", result.stdout, re.MULTILINE)[1]) == blocks
    assert dropped == 0 and in_flight <= 3, coverage[0]
    return blocks


@pytest.fixture
def end_of():
    """Processes that are ended when the test is, by their ids."""
    started = []
    yield started.append
    for process in started:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_port(port, process):
    while True:
        assert process.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return


@pytest.mark.skipif(not (harness.have("nginx") and harness.have("wrk")), reason="nginx and wrk are not installed")
def test_nginx(tmp_path, end_of):
    port = free_port()
    (tmp_path / "page.html").write_text("x" * 5000)
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(f"""
        daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; worker_processes 2; user root;
        events {{ worker_connections 256; }}
        http {{ access_log off; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;
               uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s; gzip on; gzip_types *; gzip_comp_level 1;
               server {{ listen 127.0.0.1:{port}; root {tmp_path}; }} }}""" if os.getuid() == 0 else "")
    if os.getuid() != 0:
        pytest.skip("nginx is configured for root here")
    server = subprocess.Popen(harness.traced(["nginx", "-e", tmp_path / "error.log", "-c", configuration]),
                              env=harness.clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end_of(server)
    wait_for_port(port, server)
    load = subprocess.Popen(["wrk", "-t", "1", "-c", "16", "-d", f"{SECONDS}s", "-H", "Accept-Encoding: gzip",
                             f"http://127.0.0.1:{port}/page.html"], stdout=subprocess.PIPE, text=True)
    end_of(load)
    while len(workers := children(server.pid)) < 2:
        assert server.poll() is None
    blocks = [look(worker) for worker in [*workers, server.pid]]
    assert min(blocks) > 50
    answer, _ = load.communicate(timeout=SECONDS + 120)
    assert int(re.search(r"(\d+) requests in", answer)[1]) > 100
    assert "Non-2xx" not in answer and "Socket errors: connect" not in answer, answer
    server.terminate()
    assert server.wait(60) == 0


@pytest.mark.skipif(not POSTGRES or not harness.have("runuser"), reason="PostgreSQL is not installed")
def test_postgresql(tmp_path, end_of):
    if os.getuid() != 0:
        pytest.skip("needs root to become postgres")
    directory, port = tmp_path / "data", free_port()
    for path in [tmp_path, *tmp_path.parents]:  # postgres must reach it
        if path.stat().st_uid == os.getuid() and path != pathlib.Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    shutil.chown(tmp_path, "postgres")
    for built in (harness.TM_RUN, harness.LIBTM):  # the build tree need not be readable for it
        (tmp_path / built.parent.name).mkdir()
        shutil.copy(built, tmp_path / built.parent.name)
    tools = POSTGRES[-1]

    def as_postgres(*arguments):
        return ["runuser", "-u", "postgres", "--", *map(str, arguments)]

    harness.run_ok(as_postgres(tools / "initdb", "-D", directory, "-A", "trust", "--no-sync", "-E", "UTF8", "--no-locale"),
                   cwd=tmp_path)
    server = subprocess.Popen(as_postgres(tmp_path / "bin" / "tm-run", "--", tools / "postgres", "-D", directory, "-p", port,
                                          "-k", tmp_path, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"),
                              env=harness.clean_environment(), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end_of(server)
    wait_for_port(port, server)
    bench = [tools / "pgbench", "-h", "127.0.0.1", "-p", port]
    while harness.run(as_postgres(*bench, "-i", "-s", "1", "-q", "postgres"), cwd=tmp_path).returncode != 0:
        assert server.poll() is None
    postmaster = int((directory / "postmaster.pid").read_text().split()[0])

    def backends():
        lines = {pid: command_line(pid) for pid in children(postmaster)}
        return [pid for pid, line in lines.items() if b"[local]" in line or b"127.0.0.1" in line]

    # this load lasts as long as GDB looks, however long that takes here; a connection of pgbench's own comes and goes before the four
    held = subprocess.Popen(as_postgres(*bench, "-n", "-c", "4", "-T", 3600, "postgres"), cwd=tmp_path, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    end_of(held)
    while len(found := backends()) < 4:
        assert held.poll() is None
    assert look(postmaster) > 100
    for backend in found[-2:]:
        assert look(backend) > 20
    assert held.poll() is None, "the load ended while GDB looked in"
    held.terminate()
    held.wait(60)
    load = harness.run(as_postgres(*bench, "-n", "-c", "4", "-T", SECONDS, "postgres"), cwd=tmp_path, stderr=subprocess.STDOUT)
    answer = load.stdout
    assert load.returncode == 0 and int(re.search(r"actually processed: (\d+)", answer)[1]) > 10, answer
    assert "number of failed transactions: 0 " in answer, answer
    harness.run(as_postgres(tools / "pg_ctl", "stop", "-D", directory, "-m", "fast", "-t", "60"), cwd=tmp_path)
    assert server.wait(60) == 0
