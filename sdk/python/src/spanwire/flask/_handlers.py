# SPDX-License-Identifier: Apache-2.0
"""The registration of handlers as in Flask-SocketIO, and their calls in Flask's contexts."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable
from types import CoroutineType
from typing import Any, TypeVar, cast

import flask

from .._checks import Space, check_callable, check_registered
from .._routes import ANY, positional
from .._service import Service
from .._socket import Socket
from ..exceptions import ConnectionRefusedError
from ._context import SocketContext
from ._namespace import Namespace, Owner

__all__ = ["Handlers"]

_F = TypeVar("_F", bound=Callable[..., Any])


class Handlers:
    """The handlers of an application.

    Attributes:
        app: The application.
        service: The service that the handlers are registered with.
        manage_session: Whether each socket has its own copy of the session.
        handlers: The registered handlers: event, function, namespace.
        namespace_handlers: The registered namespace objects.
        exception_handlers: The functions for exceptions, by namespace.
        default_exception_handler: The function for exceptions in other namespaces.
    """

    def __init__(self, service: Service) -> None:
        self.app: flask.Flask | None = None
        self.service = service
        self.manage_session = True
        self.handlers: list[tuple[str, Callable[..., Any], Space]] = []
        self.namespace_handlers: list[Namespace] = []
        self.exception_handlers: dict[Space, Callable[..., Any]] = {}
        self.default_exception_handler: Callable[..., Any] | None = None

    def on(self, message: str, namespace: Space | None = None, *, concurrent: bool = False) -> Callable[[_F], _F]:
        """Registers the decorated function for an event.

        Args:
            message: The event's name, "connect", "disconnect", "message", "json", or "*".
            namespace: The namespace; "/" when None. Also "*", or a compiled pattern;
                `request.namespace` has the actual one.
            concurrent: Whether the handler's events run at any time, also beside other events of
                the same socket and out of their order.

        Returns:
            The decorator, which returns the function unchanged.
        """
        check_registered(message, "event")

        def decorate(handler: _F) -> _F:
            self.on_event(message, handler, namespace, concurrent=concurrent)
            return handler

        return decorate

    def on_event(
        self, message: str, handler: Callable[..., Any], namespace: Space | None = None, *, concurrent: bool = False
    ) -> None:
        """Registers a function for an event, like `on` without the decorator.

        Args:
            message: The event's name.
            handler: The function.
            namespace: The namespace; "/" when None.
            concurrent: As for `on`.
        """
        space = namespace or "/"
        check_callable(handler, "handler")
        self.handlers.append((message, handler, space))
        named = message == ANY

        def run(socket: Socket, *args: Any) -> Any:
            # A catch-all receives the event's name before the arguments, and request.event has it
            # too.
            return self._handle(handler, args[0] if named else message, socket, args, alone=concurrent)

        self.service.add(message, run, namespace=space, concurrent=concurrent)

    def event(self, *args: Any, **kwargs: Any) -> Any:
        """Registers the decorated function for the event with the function's name.

        Use it with or without parentheses.

        Args:
            *args: The function, without parentheses; else as for `on`, after the name.
            **kwargs: As for `on`.

        Returns:
            The function, or the decorator.
        """
        if len(args) == 1 and not kwargs and callable(args[0]):
            return self.on(args[0].__name__)(args[0])

        def decorate(handler: _F) -> _F:
            return self.on(handler.__name__, *args, **kwargs)(handler)

        return decorate

    def on_namespace(self, namespace_handler: Namespace) -> None:
        """Registers the methods of a namespace object.

        Args:
            namespace_handler: The object.

        Raises:
            ValueError: The object is not a Namespace.
        """
        if not isinstance(namespace_handler, Namespace):
            kind = type(namespace_handler).__name__
            raise ValueError(f"on_namespace: got {kind}, not a Namespace instance (pass an object of a subclass)")
        namespace_handler.socketio = cast("Owner", self)
        self.namespace_handlers.append(namespace_handler)
        events = list(namespace_handler._methods)
        if type(namespace_handler).trigger_event is not Namespace.trigger_event:
            events += [name for name in (ANY, "connect", "disconnect") if name not in events]
        for name in events:
            self._add_method(namespace_handler, name)

    def _add_method(self, namespace_handler: Namespace, message: str) -> None:
        def run(socket: Socket, *args: Any) -> Any:
            name, rest = (args[0], args[1:]) if message == ANY else (message, args)

            def trigger(*values: Any) -> Any:
                return namespace_handler.trigger_event(name, *values)

            return self._handle(trigger, name, socket, rest)

        self.service.add(message, run, namespace=namespace_handler.namespace)

    def on_error(self, namespace: Space | None = None) -> Callable[[_F], _F]:
        """Registers the decorated function for exceptions in handlers of a namespace.

        Its return value becomes the ack.

        Args:
            namespace: The namespace, or a compiled pattern; "/" when None.

        Returns:
            The decorator.

        Raises:
            ValueError: From the decorator, when the function cannot be called.
        """

        def decorate(handler: _F) -> _F:
            if not callable(handler):
                raise ValueError("exception_handler: must be callable (pass a function)")
            self.exception_handlers[namespace or "/"] = handler
            return handler

        return decorate

    def on_error_default(self, exception_handler: _F) -> _F:
        """Registers the decorated function for exceptions in all other namespaces.

        Args:
            exception_handler: The function.

        Returns:
            The function.

        Raises:
            ValueError: The function cannot be called.
        """
        if not callable(exception_handler):
            raise ValueError("exception_handler: must be callable (pass a function)")
        self.default_exception_handler = exception_handler
        return exception_handler

    # Calls of handlers.

    def _handle(
        self, handler: Callable[..., Any], message: str, socket: Socket, args: tuple[Any, ...], *, alone: bool = False
    ) -> Any:
        """Runs a handler in the contexts of its socket, or alone in contexts of its own."""
        with self._context(socket, alone=alone).handling(message, args):
            try:
                return self.call_handler(handler, message, args)
            except ConnectionRefusedError:
                raise
            except Exception as error:
                if message == "connect" and isinstance(error, builtins.ConnectionRefusedError):
                    raise
                return self._on_exception(error, socket.namespace)

    def call_handler(self, handler: Callable[..., Any], message: str, args: tuple[Any, ...]) -> Any:
        """Calls a handler; for connect and disconnect with no more arguments than it takes.

        Args:
            handler: The handler.
            message: The event's name.
            args: The event's arguments.

        Returns:
            The return value of the handler.
        """
        if message in ("connect", "disconnect"):
            takes = positional(handler)
            if takes is not None:
                args = args[:takes]
        value = handler(*args)
        if type(value) is CoroutineType:
            # It runs on the handler's own thread, which has Flask's contexts.
            value = asyncio.run(value)
        return value

    def _on_exception(self, error: BaseException, namespace: str) -> Any:
        handlers = self.exception_handlers
        if namespace not in handlers:
            for space in handlers:
                if not isinstance(space, str) and space.fullmatch(namespace):
                    return handlers[space](error)
        handler = handlers.get(namespace, self.default_exception_handler)
        if handler is None:
            raise error
        return handler(error)

    def _context(self, socket: Socket, *, alone: bool = False) -> SocketContext:
        context: SocketContext | None = socket._context
        if context is None:
            if self.app is None:
                raise RuntimeError("flask: the SocketIO object has no application (call init_app() first)")
            context = SocketContext(self, self.app, socket, manage_session=self.manage_session)
            socket._context = context
        return context.beside() if alone else context
