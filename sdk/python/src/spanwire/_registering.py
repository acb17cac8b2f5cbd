# SPDX-License-Identifier: Apache-2.0
"""Registering handlers with a service."""

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
        """Tells an attached broker of a changed table, soon."""

    def on(self, event: str, *, namespace: Space = "/", concurrent: bool = False) -> Callable[[_H], _H]:
        """Registers the decorated function for an event.

        It is called with the socket and the event's arguments. For `"*"`, every event that has no handler of its own, the name
        comes before the arguments. Decorators can be stacked.

        Args:
            event: The event's name, or "*".
            namespace: The namespace, a compiled pattern (RE2, without flags) for every one that it matches whole, or "*" for
                every namespace that the service registers. `Socket.namespace` tells which it is.
            concurrent: Lets the handler's events run at any time, also beside other events of the same socket and out of their
                order.

        Returns:
            The decorator; it gives the function back as it is.
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
        """Registers a function, like `on` without the decorator. Allowed at any time: the brokers are told.

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
        """Takes a handler back. Allowed at any time: the brokers are told, and what they had dispatched before is still handled.

        Args:
            event: The event's name, "*", "connect" or "disconnect".
            namespace: The namespace, the pattern, or "*", as it was registered.

        Raises:
            KeyError: There is none.
        """
        self._routes.remove(event, namespace)
        self._renew()

    def on_any(self, handler: _H) -> _H:
        """Has the decorated function called with each event that is handed to this process, before its handler.

        It is called with the socket, the event's name and the arguments. It must not block; what it returns and raises changes
        nothing. It registers nothing with the broker: a handler of "*" does.
        """
        self._incoming.append(check_callable(handler, "handler"))
        return handler

    def on_any_outgoing(self, handler: _H) -> _H:
        """Has the decorated function called with each event that this process emits, before it is sent.

        It is called with the `Target`, the event's name and the arguments. It must not block; what it returns and raises changes
        nothing.
        """
        self._outgoing.append(check_callable(handler, "handler"))
        return handler

    def on_message(self, name: str, *, namespace: Space = "/") -> Callable[[_H], _H]:
        """Registers the decorated function for messages that other instances send with `server_side_emit`.

        It is called with the `Message` and its arguments; what it returns is the ack. Messages are handled at the same time as
        others and as events.

        Args:
            name: The message's name, or "*" for all that have no handler of their own.
            namespace: The namespace, a compiled pattern, or "*", as for `on`.

        Returns:
            The decorator; it gives the function back as it is.
        """
        check_registered(name, "message")

        def decorate(handler: _H) -> _H:
            self._routes.add_message(name, handler, namespace)
            self._renew()
            return handler

        return decorate

    def on_room(self, change: str = ANY, *, namespace: Space = "/") -> Callable[[_H], _H]:
        """Registers the decorated function to be told what happens to rooms.

        It is told in order with the events of the socket that caused it, and called with the socket and the room. For "*", the
        change comes before the room. A socket's own room is told of too.

        Args:
            change: "joined" or "left"; "created" or "deleted", when the socket is the first or was the last of its replica in the
                room; or "*" for all that have no handler of their own.
            namespace: The namespace, a compiled pattern, or "*", as for `on`.

        Returns:
            The decorator; it gives the function back as it is.
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
        """Registers the decorated function to be asked about each socket that connects.

        It is called with the socket and the client's auth, if it takes both. It refuses by returning False or raising
        `ConnectionRefusedError`.

        Args:
            handler: The function, when used without parentheses.
            namespace: The namespace, a compiled pattern, or "*", as for `on`.
            connect_order: When this service is asked about a connect that several services handle: those with a lower number
                first, those with the same at the same time. The first refusal ends the asking.
            advisory: Whether the service is only told of connects: it hears of a socket when the other services have accepted it,
                and neither a refusal, an exception nor the absence of the service holds or refuses a connect.

        Returns:
            The function, or the decorator.
        """
        return self._lifecycle("connect", handler, namespace, connect_order, advisory=advisory)

    @overload
    def on_disconnect(self, handler: _H, /) -> _H: ...

    @overload
    def on_disconnect(self, /, *, namespace: Space = "/") -> Callable[[_H], _H]: ...

    def on_disconnect(self, handler: Any = None, /, *, namespace: Space = "/") -> Any:
        """Registers the decorated function to be told of each socket that has gone.

        It is called with the socket and the reason, if it takes both. `Socket.rooms` tells the rooms that the socket was in.

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
