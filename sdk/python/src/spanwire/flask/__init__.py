# SPDX-License-Identifier: Apache-2.0
"""A replacement for Flask-SocketIO: change the import, keep the application.

    from spanwire.flask import SocketIO, emit

Handlers run in threads of this process, with Flask's contexts; the broker keeps the browsers'
connections. So any WSGI server can serve the application, with any number of workers, and nothing
is patched.
"""

from __future__ import annotations

from typing import Any

try:
    import flask
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ImportError("spanwire.flask needs Flask: pip install 'spanwire[flask]'") from error

from ..exceptions import ConnectionRefusedError
from ._context import current_context
from ._namespace import Namespace
from ._socketio import SocketIO

__all__ = [
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


def emit(event: str, *args: Any, **kwargs: Any) -> None:
    """Emits to the current socket, or to others.

    Args:
        event: The event's name.
        *args: The arguments; a lone tuple means several.
        **kwargs: `broadcast` (to the whole namespace), `to` or `room` (a room or socket id, or
            several), `namespace` (the current one by default), `include_self` (True by default),
            `skip_sid` (one or several), `callback`.

    Raises:
        TypeError: An argument cannot be sent.
        RuntimeError: No receiver is named outside of an event handler.
    """
    _socketio().emit(event, *args, **_addressed("emit", kwargs))


def send(message: Any, **kwargs: Any) -> None:
    """Emits `message`, or `json`, to the current socket, or to others.

    Args:
        message: The argument.
        **kwargs: `json` (whether to emit `json`), and the rest as for `emit`.
    """
    event = "json" if kwargs.pop("json", False) else "message"
    emit(event, message, **kwargs)


def call(event: str, *args: Any, **kwargs: Any) -> Any:
    """Emits to one socket, by default the current one, and waits for its ack.

    The wait cannot be cancelled.

    Args:
        event: The event's name.
        *args: The arguments; a lone tuple means several.
        **kwargs: `to` (a socket's id), `namespace`, `timeout` in seconds (60 by default).

    Returns:
        The arguments of the ack: None, one value, or a list of several.

    Raises:
        AckTimeoutError: No ack arrived in time; it is a TimeoutError.
    """
    return _socketio().call(event, *args, **_addressed("call", kwargs))


def join_room(room: str, sid: str | None = None, namespace: str | None = None) -> None:
    """Adds a socket, by default the current one, to a room.

    Args:
        room: The room.
        sid: The socket's id.
        namespace: The namespace.
    """
    _socketio().join_room(room, sid or _sid("join_room"), namespace or _namespace())


def leave_room(room: str, sid: str | None = None, namespace: str | None = None) -> None:
    """Removes a socket, by default the current one, from a room.

    Args:
        room: The room.
        sid: The socket's id.
        namespace: The namespace.
    """
    _socketio().leave_room(room, sid or _sid("leave_room"), namespace or _namespace())


def close_room(room: str, namespace: str | None = None) -> None:
    """Removes all sockets from a room; none is disconnected.

    Args:
        room: The room.
        namespace: The namespace.
    """
    _socketio().close_room(room, namespace or _namespace())


def rooms(sid: str | None = None, namespace: str | None = None) -> list[str]:
    """Lists the rooms that a socket is in, its own first.

    The function asks the broker; the wait cannot be cancelled.

    Args:
        sid: The socket's id; by default that of the current socket.
        namespace: The namespace.

    Returns:
        The rooms; in its disconnect handler, those that it was in.

    Raises:
        BrokerUnavailableError: The broker cannot be reached.
    """
    return _socketio().rooms(sid or _sid("rooms"), namespace or _namespace())


def disconnect(
    sid: str | None = None,
    namespace: str | None = None,
    silent: bool = False,  # noqa: ARG001 - a parameter of Flask-SocketIO
) -> None:
    """Disconnects a socket, by default the current one.

    Args:
        sid: The socket's id.
        namespace: The namespace.
        silent: Ignored; a socket that has disconnected is never an error.
    """
    _socketio().disconnect(sid or _sid("disconnect"), namespace or _namespace())


def _socketio() -> SocketIO:
    context = current_context()
    if context is not None:
        owner: SocketIO = context.socketio
        return owner
    socketio: SocketIO | None = flask.current_app.extensions.get("socketio")
    if socketio is None:
        raise RuntimeError("flask: the application has no SocketIO object (make it with SocketIO(app), or call init_app(app))")
    return socketio


def _namespace() -> str:
    context = current_context()
    return "/" if context is None else context.socket.namespace


def _sid(function: str) -> str:
    context = current_context()
    if context is None:
        raise RuntimeError(f"{function}: no event is being handled here (pass the socket's id: sid=...)")
    return context.socket.id


def _addressed(function: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Adds the receivers: the current socket, unless others are named."""
    context = current_context()
    if not kwargs.get("namespace"):
        kwargs["namespace"] = "/" if context is None else context.socket.namespace
    to = kwargs.get("to")
    if to is None:
        to = kwargs.pop("room", None)
    if to is None and not kwargs.pop("broadcast", False):
        if context is None:
            raise RuntimeError(f"{function}: no event is being handled here (pass to=... or broadcast=True)")
        to = context.socket.id
    kwargs["to"] = to
    return kwargs
