# SPDX-License-Identifier: Apache-2.0
"""The public names, and the imports of the modules."""

from __future__ import annotations

import ast
import dataclasses
import importlib.metadata
import inspect
import pathlib
import subprocess
import sys

import pytest

import spanwire
import spanwire.flask
from spanwire._target import PLAIN, EmitFlags, emit_flags

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
    "_values",
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


# Each file begins with its licence and its purpose; none is too long.
@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_files(path: pathlib.Path) -> None:
    if path.name.endswith("_pb2.py"):
        return
    text = path.read_text()
    assert text.startswith('# SPDX-License-Identifier: Apache-2.0\n"""')
    assert len(text.splitlines()) <= 500


# Each flag of emits is a keyword of every public emit, in the order of the fields, and a method of
# targets. A new one that is missing somewhere fails here.
def test_emit_flags() -> None:
    flags = [field.name for field in dataclasses.fields(EmitFlags)]
    for emit in (spanwire.Service.emit, spanwire.Emitter.emit, spanwire.Socket.emit, spanwire.Socket.broadcast):
        keywords = [p for p in inspect.signature(emit).parameters.values() if p.name in flags]
        assert [p.name for p in keywords] == flags
        assert [p.default for p in keywords] == [field.default for field in dataclasses.fields(EmitFlags)]
    for kind in (spanwire.Target, spanwire.Service, spanwire.Emitter):
        assert all(callable(getattr(kind, flag)) for flag in flags)
    assert emit_flags(*(field.default for field in dataclasses.fields(EmitFlags))) is PLAIN


# The circles of modules, each closed by an import for annotations only, with the reason why it
# stays.
CIRCLES = {
    ("_link", "_links"): "a link works for the Links that made it: one state in two files, for their length",
    ("_values", "_remote"): "a target lists sockets, and each of them takes commands through a target",
}


def imports(path: pathlib.Path) -> tuple[set[str], set[str]]:
    """The modules of the package that a module imports: at run time, and for annotations only."""
    package = path.parent.relative_to(SOURCE).parts

    def targets(node: ast.ImportFrom) -> set[str]:
        base = list(package[: len(package) - node.level + 1]) + (node.module or "").split(".")
        names = [".".join(filter(None, base))] if node.module else [".".join([*base, a.name]).strip(".") for a in node.names]
        return {name for name in names if not name.startswith("_proto")}

    tree = ast.parse(path.read_text())
    guarded = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    hidden = {id(child) for node in guarded for child in ast.walk(node)}
    at_run_time: set[str] = set()
    for_annotations: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            (for_annotations if id(node) in hidden else at_run_time).update(targets(node))
    return at_run_time, for_annotations


# Modules import each other in one direction. A new circle fails here: resolve it, with a protocol
# in the module that uses the other, or list it above with its reason.
def test_circles() -> None:
    graph: dict[str, set[str]] = {}
    circles: set[tuple[str, str]] = set()
    for path in SOURCE.rglob("*.py"):
        if "_proto" in path.parts:
            continue
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        graph[module], for_annotations = imports(path)
        circles |= {(module, other) for other in for_annotations}
    assert circles == set(CIRCLES)
    order: list[str] = []

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, f"circle: {' -> '.join((*above, module))}"
        if module not in order:
            for other in sorted(graph.get(module, ())):
                visit(other, (*above, module))
            order.append(module)

    for module in sorted(graph):
        visit(module, ())
