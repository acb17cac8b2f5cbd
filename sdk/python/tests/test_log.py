# SPDX-License-Identifier: Apache-2.0
"""Log lines: their form, their keys, and where run() writes them."""

from __future__ import annotations

import ast
import logging
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest
from fakebroker import WAIT, FakeBroker

import spanwire
from spanwire import _log

SOURCE = pathlib.Path(spanwire.__file__).parent
GLOSSARY = SOURCE.parents[3] / "docs" / "reference" / "glossary.md"
LEVELS = ("debug", "info", "warning", "error")


# A line is a statement, then keys and values; values are quoted when they are not one plain word.
def test_form(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "spanwire"):
        _log.info("attached", service="chat", address="127.0.0.1:50051", count=3)
        _log.warning("stream lost", err='no "route"\n', event="")
        _log.debug("not enabled")
        _log.error("handler failed", exception=ValueError("x"), event="ä")
    assert [record.getMessage() for record in caplog.records] == [
        "attached service=chat address=127.0.0.1:50051 count=3",
        'stream lost err="no \\"route\\"\\n" event=""',
        "handler failed event=ä",
    ]
    first: Any = caplog.records[0]
    assert first.spanwire == {"service": "chat", "address": "127.0.0.1:50051", "count": 3}
    assert caplog.records[0].filename == "test_log.py"
    assert "ValueError: x" in caplog.text


def keys(tree: ast.AST) -> set[str]:
    """The keys of the log lines of a module, and of the dicts that are passed to them."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in {f"_log.{level}" for level in LEVELS} or name == "write":
                found |= {k.arg for k in node.keywords if k.arg} - {"exception"}
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            if target == "facts" and node.value is not None:
                dicts = (n for n in ast.walk(node.value) if isinstance(n, ast.Dict))
                found |= {k.value for n in dicts for k in n.keys if isinstance(k, ast.Constant)}
            found |= set(re.findall(r"^facts\['(\w+)'\]$", target))
    return found


# The keys are those of the glossary. A new one needs a row there first.
def test_keys() -> None:
    known = {
        row.split("|")[1].strip().replace(" ", "_")
        for row in GLOSSARY.read_text().splitlines()
        if row.startswith("|") and "log key" in row.split("|")[3]
    }
    used = {key for path in SOURCE.rglob("*.py") for key in keys(ast.parse(path.read_text()))}
    assert {"address", "err", "event", "namespace", "socket", "peer"} <= used
    assert used <= known


# Lines about the same facts have the same words in both SDKs.
def test_same_words() -> None:
    python = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    go = "".join(path.read_text() for path in (SOURCE.parents[2] / "go").glob("*.go"))
    for statement in (
        "attached",
        "draining",
        "replica drains; attached until it ends the stream",
        "stream ended; attaching again",
        "attaching failed; trying again",
        "broker does not support changed registrations; attaching again",
        "broker rejected the changed registrations; the previous ones stay in force",
        "broker rejected what this instance sent",
        "replica is dead; its sockets count as disconnected",
        "handler failed",
    ):
        assert f'"{statement}"' in python
        assert f'"{statement}"' in go


# run() writes to standard error when the program has not configured logging: first that the service
# is attached, and where browsers go, in the words of the Go SDK.
@pytest.mark.parametrize("configured", [False, True])
def test_run_prints(broker: FakeBroker, configured: bool) -> None:
    code = (
        "import logging, spanwire;"
        + ("logging.basicConfig(level=logging.ERROR);" if configured else "")
        + f"s = spanwire.Service('chat', address='{broker.address}'); s.on('e')(print); s.run()"
    )
    env = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=env)
    try:
        broker.attached()
        if not configured:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert re.fullmatch(
                r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d INFO attached service=chat instance=\S+"
                rf" address={broker.address} peer=\S* version=test url=http://localhost:5000\n",
                line.replace('peer=""', "peer="),
            )
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=WAIT)
    assert process.returncode == 0
    assert "attached" not in errors
    assert ("draining service=chat limit=10s" in errors) is not configured
