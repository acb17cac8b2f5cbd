# SPDX-License-Identifier: Apache-2.0
"""What is public stays public, and what is kept apart stays apart."""

from __future__ import annotations

import ast
import importlib.metadata
import pathlib
import subprocess
import sys

import pytest

import spanwire
import spanwire.flask

SOURCE = pathlib.Path(spanwire.__file__).parent

PUBLIC = [
    "AckTimeoutError",
    "Acks",
    "BrokerError",
    "BrokerNotFoundError",
    "BrokerUnavailableError",
    "CommandError",
    "ConflictError",
    "ConnectionRefusedError",
    "Count",
    "Deduplicator",
    "DuplicateStore",
    "Emitter",
    "Event",
    "Handshake",
    "InstanceAck",
    "InstanceAcks",
    "Message",
    "PartialDeliveryError",
    "QueueFullError",
    "RegistrationError",
    "RemoteSocket",
    "Rooms",
    "Service",
    "Socket",
    "SocketAck",
    "Sockets",
    "Target",
    "__version__",
    "current_event",
]
FLASK = [
    "ConnectionRefusedError",
    "Namespace",
    "SocketIO",
    "call",
    "close_room",
    "disconnect",
    "emit",
    "join_room",
    "leave_room",
    "rooms",
    "send",
]
# Modules without I/O, and what they must never import.
PURE = [
    "_checks",
    "_commands",
    "_core",
    "_memory",
    "_outbox",
    "_payloads",
    "_records",
    "_remote",
    "_routes",
    "_target",
    "_wire",
    "_words",
]
IMPURE = {"grpc", "asyncio", "threading", "socket", "queue", "time", "flask"}


# The lists of public names are frozen: a change here is a change for users.
def test_exports() -> None:
    assert spanwire.__all__ == PUBLIC
    assert spanwire.flask.__all__ == FLASK
    for module in (spanwire, spanwire.flask):
        for name in module.__all__:
            assert getattr(module, name) is not None


# The version is that of the installed package, which takes it from the tag.
def test_version() -> None:
    assert spanwire.__version__ == importlib.metadata.version("spanwire")
    assert "version =" not in (SOURCE.parent.parent / "pyproject.toml").read_text().split("[tool.", 1)[0]


# The core and what it stands on do no I/O.
@pytest.mark.parametrize("module", PURE)
def test_pure(module: str) -> None:
    tree = ast.parse((SOURCE / f"{module}.py").read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
            assert node.level == 0 or f"{(node.module or '').split('.')[0]}" in {*PURE, "_proto", "exceptions", ""}
    assert not imported & IMPURE


# Only the Flask package needs Flask, and importing starts nothing.
def test_import() -> None:
    code = (
        "import sys, threading; import spanwire;"
        "assert 'flask' not in sys.modules;"
        "s = spanwire.Service('x'); s.on('e')(print);"
        "import spanwire.flask, flask; spanwire.flask.SocketIO(flask.Flask('x')).on('e')(print);"
        "assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=SOURCE.parent)


# Every file says its licence and what it is; none is too long.
@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_files(path: pathlib.Path) -> None:
    if path.name.endswith("_pb2.py"):
        return
    text = path.read_text()
    assert text.startswith('# SPDX-License-Identifier: Apache-2.0\n"""')
    assert len(text.splitlines()) <= 500
