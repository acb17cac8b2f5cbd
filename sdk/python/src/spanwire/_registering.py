# SPDX-License-Identifier: Apache-2.0
"""The methods that register handlers with a service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar, overload

from ._checks import Space, check_callable, check_registered
from ._routes import ANY, Handler, Routes

__all__ = ["Registering"]

_H = TypeVar("_H", bound=Callable[..., Any])


class Registering(ABC):
    """The decorators of a service."""

    _routes: Routes
    _incoming: list[Callable[..., Any]]
    _outgoing: list[Callable[..., Any]]

    @abstractmethod
    def _renew(self) -> None:
        """Schedules an update of the registrations at attached brokers."""

    def on(self, event: str, *, namespace: Space = "/", concurrent: bool = False) -> Callable[[_H], _H]:
        """Registers the decorated function for an event.

        The handler receives the socket and the arguments of the event. For `"*"`, which stands for
        every event without a handler of its own, it receives the name before the arguments.
        Decorators can be stacked.

        Args:
            event: The event's name, or "*".
            namespace: The namespace, a compiled pattern (RE2, without flags) for each namespace
                that it matches whole, or "*" for every namespace that the service registers.
                `Socket.namespace` has the actual one.
            concurrent: Whether the handler's events run at any time, also beside other events of
                the same socket and out of their order.

        Returns:
            The decorator, which returns the function unchanged.
        """
        check_registered(event, "event")

        def decorate(handler: _H) -> _H:
            self.add(event, handler, namespace=namespace, concurrent=concurrent)
            return handler

        return decorate

    def add(
        self,
        event: str,
        handler: Handler,
        *,
        namespace: Space = "/",
        connect_order: int = 0,
        advisory: bool = False,
        concurrent: bool = False,
    ) -> None:
        """Registers a function, like `on` without the decorator. Call it at any time.

        Args:
            event: The event's name, "*", "connect" or "disconnect".
            handler: The function.
            namespace: The namespace, a pattern, or "*".
            connect_order: For "connect", as for `on_connect`.
            advisory: For "connect", as for `on_connect`.
            concurrent: As for `on`; not for "connect" and "disconnect".
        """
        self._routes.add(event, handler, namespace, connect_order, advisory=advisory, concurrent=concurrent)
        self._renew()

    def remove(self, event: str, *, namespace: Space = "/") -> None:
        """Removes a handler. Call it at any time; earlier dispatches are still handled.

        Args:
            event: The event's name, "*", "connect" or "disconnect".
            namespace: The namespace, the pattern, or "*", as it was registered.

        Raises:
            KeyError: There is no such handler.
        """
        self._routes.remove(event, namespace)
        self._renew()

    def on_any(self, handler: _H) -> _H:
        """Registers the decorated function to observe each event before its handler runs.

        It receives the socket, the event's name and the arguments. It must not block; its return
        value and its exceptions have no effect. It registers nothing with the broker; a handler of
        "*" does.
        """
        self._incoming.append(check_callable(handler, "handler"))
        return handler

    def on_any_outgoing(self, handler: _H) -> _H:
        """Registers the decorated function to observe each event before this process sends it.

        It receives the `Target`, the event's name and the arguments. It must not block; its return
        value and its exceptions have no effect.
        """
        self._outgoing.append(check_callable(handler, "handler"))
        return handler

    def on_message(self, name: str, *, namespace: Space = "/") -> Callable[[_H], _H]:
        """Registers the decorated function for messages from `server_side_emit`.

        It receives the `Message` and its arguments; its return value is the ack. Messages run at
        the same time as other messages and events.

        Args:
            name: The message's name, or "*" for all messages without a handler of their own.
            namespace: The namespace, a compiled pattern, or "*", as for `on`.

        Returns:
            The decorator, which returns the function unchanged.
        """
        check_registered(name, "message")

        def decorate(handler: _H) -> _H:
            self._routes.add_message(name, handler, namespace)
            self._renew()
            return handler

        return decorate

    def on_room(self, change: str = ANY, *, namespace: Space = "/") -> Callable[[_H], _H]:
        """Registers the decorated function for changes of rooms.

        Changes arrive in order with the events of the socket that caused them. The handler receives
        the socket and the room; for "*" it receives the change before the room. A socket's own room
        is included.

        Args:
            change: "joined" or "left"; "created" or "deleted", when the socket is the first or was
                the last of its replica in the room; or "*" for all changes without a handler of
                their own.
            namespace: The namespace, a compiled pattern, or "*", as for `on`.

        Returns:
            The decorator, which returns the function unchanged.
        """
        check_registered(change, "room change")

        def decorate(handler: _H) -> _H:
            self._routes.add_room(change, handler, namespace)
            self._renew()
            return handler

        return decorate

    @overload
    def on_connect(self, handler: _H, /) -> _H: ...

    @overload
    def on_connect(self, /, *, namespace: Space = "/", connect_order: int = 0, advisory: bool = False) -> Callable[[_H], _H]: ...

    def on_connect(
        self, handler: Any = None, /, *, namespace: Space = "/", connect_order: int = 0, advisory: bool = False
    ) -> Any:
        """Registers the decorated function to accept or refuse each socket that connects.

        It receives the socket and the client's auth, if it takes both. It refuses by returning
        False or raising `ConnectionRefusedError`.

        Args:
            handler: The function, when used without parentheses.
            namespace: The namespace, a compiled pattern, or "*", as for `on`.
            connect_order: The order among several services that handle the connect: those with a
                lower number first, those with the same number at the same time. The first refusal
                ends it.
            advisory: Whether connects do not depend on this service: it is notified of a socket
                when the other services have accepted it, and neither a refusal, an exception nor
                the absence of the service delays or refuses a connect.

        Returns:
            The function, or the decorator.
        """
        return self._lifecycle("connect", handler, namespace, connect_order, advisory=advisory)

    @overload
    def on_disconnect(self, handler: _H, /) -> _H: ...

    @overload
    def on_disconnect(self, /, *, namespace: Space = "/") -> Callable[[_H], _H]: ...

    def on_disconnect(self, handler: Any = None, /, *, namespace: Space = "/") -> Any:
        """Registers the decorated function for each socket that has disconnected.

        It receives the socket and the reason, if it takes both. `Socket.rooms` returns the rooms
        that the socket was in.

        Args:
            handler: The function, when used without parentheses.
            namespace: The namespace, a compiled pattern, or "*", as for `on`.

        Returns:
            The function, or the decorator.
        """
        return self._lifecycle("disconnect", handler, namespace)

    def _lifecycle(self, event: str, handler: Any, namespace: Space, order: int = 0, *, advisory: bool = False) -> Any:
        def decorate(function: _H) -> _H:
            self.add(event, function, namespace=namespace, connect_order=order, advisory=advisory)
            return function

        return decorate if handler is None else decorate(handler)
