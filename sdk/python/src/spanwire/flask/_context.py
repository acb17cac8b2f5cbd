# SPDX-License-Identifier: Apache-2.0
"""Flask's contexts for the events of one socket, and the socket's copy of the session.

A new request context costs more than the rest of an event, most of it for matching a URL that has
no route. So one request context is kept per socket and pushed for each of its events; they run one
after another, so it is never pushed twice. The application context inside it, and with it
`flask.g`, is new each time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import flask
from flask.sessions import SessionMixin

from .._records import Dispatch
from .._scheduler import current_item
from .._socket import Socket
from ._environ import handshake_to_environ

__all__ = ["SocketContext", "current_context"]

# Kept beside Flask's own, because each look through its proxies costs as much as serialising a
# small event.
_current: ContextVar[SocketContext | None] = ContextVar("spanwire_socket", default=None)


def current_context() -> SocketContext | None:
    """Returns the context of the socket that is being handled; None in views and elsewhere."""
    context = _current.get()
    if context is None and flask.has_request_context():
        # A thread that runs with a copy of the request context.
        context = getattr(flask.request, "spanwire", None)
    return context


class ManagedSession(dict, SessionMixin):  # type: ignore[type-arg]
    """A socket's copy of the session.

    Changes by handlers stay with the socket; no HTTP request sees them.
    """


class SocketContext:
    """Flask's view of one socket.

    Attributes:
        socketio: The SocketIO object whose handlers run.
        socket: The socket.
        rooms: The rooms that this process added the socket to.
    """

    def __init__(self, socketio: Any, app: flask.Flask, socket: Socket, *, manage_session: bool) -> None:
        self.socketio = socketio
        self.socket = socket
        self.rooms: set[str] = set()
        self._app = app
        self._manage_session = manage_session
        self._handshake: Any = None
        self._context: Any = None
        self._session: Any = None

    def beside(self) -> SocketContext:
        """Makes a context for a concurrent handler; it shares the socket's session and rooms."""
        made = SocketContext(self.socketio, self._app, self.socket, manage_session=self._manage_session)
        made.rooms = self.rooms
        made._session = self._session
        return made

    @contextlib.contextmanager
    def handling(self, message: str | None, args: tuple[Any, ...]) -> Iterator[None]:
        """Runs the body in an application context and a request context.

        Args:
            message: The event's name.
            args: The event's arguments.

        Yields:
            Nothing.
        """
        context = self._request_context()
        with context:
            if self._manage_session:
                self._adopt_session(context)
            request = context.request
            request.event = {"message": message, "args": args}
            item = current_item()
            if type(item) is Dispatch:
                # Distinguishes a redelivered event.
                request.event["id"] = item.id
                request.event["redeliveries"] = item.message.redeliveries
            token = _current.set(self)
            try:
                yield
            finally:
                _current.reset(token)
            if not self._manage_session:
                self._save_session(context)

    def _request_context(self) -> Any:
        handshake = self.socket.handshake
        context: Any = self._context
        if context is None or self._handshake is not handshake or not _REUSABLE:
            context = self._app.request_context(handshake_to_environ(handshake))
            request: Any = context.request
            request.sid = self.socket.id
            request.namespace = self.socket.namespace
            request.spanwire = self
            if _REUSABLE:
                # No route can match, and matching would be the largest cost.
                context.match_request = _nothing
            self._handshake, self._context = handshake, context
        elif not self._manage_session:
            _set_session(context, None)  # so that a push opens it again
        return context

    def _adopt_session(self, context: Any) -> None:
        """Sets the socket's copy of the session, made from the handshake's at the first event."""
        if self._session is None:
            self._session = ManagedSession(context.session)
        if context.session is not self._session:
            _set_session(context, self._session)

    def _save_session(self, context: Any) -> None:
        """Saves a session that Flask manages, where its interface stores it on the server.

        A cookie cannot be set any more.
        """
        session = context.session
        if getattr(session, "modified", True):
            self._app.session_interface.save_session(self._app, session, self._app.response_class())


def _nothing() -> None:
    """Replaces the matching of the URL."""


def _reusable() -> bool:
    """Returns whether a request context makes a new application context at each push."""
    from flask import ctx

    kind = getattr(ctx, "RequestContext", None)
    return kind is not None and kind is not ctx.AppContext and hasattr(kind, "match_request")


_REUSABLE = _reusable()


def _set_session(context: Any, session: Any) -> None:
    # The attribute has a leading underscore since Flask 3.1.
    if hasattr(context, "_session"):
        context._session = session
    else:
        context.session = session
