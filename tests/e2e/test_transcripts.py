"""What README.md and docs/ show of a terminal is what is printed now; `make transcripts` puts in what has changed."""

import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess
import sys

import harness
import pytest

TOOL = harness.REPO / "docs" / "transcripts"


def load_tool():
    loader = importlib.machinery.SourceFileLoader("transcripts", str(TOOL))
    spec = importlib.util.spec_from_loader("transcripts", loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["transcripts"] = module  # dataclasses look there
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


tool = load_tool()
SESSIONS = tool.find_blocks()


def test_sessions():
    """Each that the tool describes is in a document, and the README has some."""
    assert set(tool.SESSIONS) <= set(SESSIONS)
    assert any(block.path.name == "README.md" for blocks in SESSIONS.values() for block in blocks)


@pytest.mark.parametrize("name", sorted(SESSIONS))
def test_transcript(name):
    if tool.session_of(name).slow and os.environ.get("TM_TRANSCRIPTS") != "all":
        pytest.skip("slow: TM_TRANSCRIPTS=all runs it, and make transcripts")
    if not harness.kernel_writes_core_here():
        pytest.skip("the kernel writes no core files into the working directory")
    if not pathlib.Path("/usr/lib/debug/.build-id").exists():
        pytest.skip("the transcripts show names that libc6-dbg brings")
    if subprocess.run(["setarch", "--addr-no-randomize", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("may not switch off the randomisation of addresses")
    outputs = tool.run_session(name, SESSIONS[name], harness.BUILD)
    for block, printed in zip(SESSIONS[name], outputs):
        stale = tool.differences(block, printed, tool.session_of(name).tolerance)
        assert stale == "", f"run make transcripts and look at what changes:\n{stale}"


# ------------------------------------------------------------------------------------------------------ the tool itself

@pytest.mark.parametrize("old, new, tolerance, same", [
    ("holds 0x55d1 bytes", "holds 0x7f bytes", 0, True),
    ("process 17 crashed", "process 9 crashed", 0, True),
    ("17 blocks", "18 blocks", 0, False),
    ("100 blocks", "103 blocks", 0.05, True),
    ("100 blocks", "110 blocks", 0.05, False),
    ("19.1 MiB", "19.1 KiB", 0.05, False),
    ("since 2026-11-22 19:39:08 UTC", "since 2027-01-01 00:00:00 UTC", 0, True),
    ("a b", "a c", 0, False),
])
def test_alike(old, new, tolerance, same):
    assert tool.alike(old, new, tolerance) is same


def test_fitted():
    """Lines that the document leaves out stay out, wherever they are."""
    printed = ["a", "b", "c", "d", "e", "f", "g"]
    assert tool.fitted(["x", "y"], printed) == printed
    assert tool.fitted(["x", "[...]"], printed) == ["a", "[...]"]
    assert tool.fitted(["[... six]", "x"], printed) == ["[... six]", "g"]
    assert tool.fitted(["x", "[...]", "d", "e2", "[...]", "x"], printed) == ["a", "[...]", "d", "e", "[...]", "g"]
    with pytest.raises(tool.Stale):
        tool.fitted(["a", "[...]", "nowhere", "[...]"], printed)


def test_addresses():
    """A command's address is that which the session has printed in its place, also an address near it."""
    addresses = tool.Addresses()
    addresses.learn(["block at 0x555555559000, 3 bytes"], ["block at 0x7f0000001000, 3 bytes"])
    assert addresses.translated("block core 0x555555559010") == "block core 0x7f0000001010"
    assert addresses.translated("block core 0x111111111110") == "block core 0x111111111110"


def test_stale_is_told(tmp_path, monkeypatch):
    """A document that shows another number than is printed is told, and rewritten."""
    document = tmp_path / "page.md"
    document.write_text("```console\n$ false\n```\n\n<!-- transcript: try -->\n```console\n$ echo 1; x=3; exit_code() { return $x; }; exit_code\n2\n\n"
                        "$ echo $?\n3\n```\n\nMore.\n\n```console\n$ sleep 100 &\n$ sh -c 'kill -SEGV $$'; echo $x\n```\n")
    monkeypatch.setattr(tool, "REPO", tmp_path)
    monkeypatch.setattr(tool, "documents", lambda: [document])
    monkeypatch.setitem(tool.SESSIONS, "try", tool.Session())
    blocks = tool.find_blocks()["try"]
    outputs = tool.run_session("try", blocks, harness.BUILD)
    assert outputs == [[["1"], ["3"]], [[], ["Segmentation fault (core dumped)", "3"]]]
    stale = tool.differences(blocks[0], outputs[0], 0)
    assert "-2\n" in stale and "+1\n" in stale
    for block, printed in zip(blocks, outputs):
        tool.rewrite(block, printed)
    assert document.read_text() == (
        "```console\n$ false\n```\n\n<!-- transcript: try -->\n```console\n$ echo 1; x=3; exit_code() { return $x; }; exit_code\n1\n\n"
        "$ echo $?\n3\n```\n\nMore.\n\n```console\n$ sleep 100 &\n$ sh -c 'kill -SEGV $$'; echo $x\nSegmentation fault (core dumped)\n3\n```\n")
