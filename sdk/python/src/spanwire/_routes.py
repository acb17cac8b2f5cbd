# SPDX-License-Identifier: Apache-2.0
"""Which handler an event goes to.

The order of precedence: the event by name in its namespace, `*` in its namespace, the event by name in namespace `*`, `*` in
namespace `*`. A `*` never stands for connect or disconnect.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from ._proto import handler_pb2

__all__ = ["ANY", "LIFECYCLE", "Route", "Routes"]

ANY = "*"
LIFECYCLE = ("connect", "disconnect")
_RESERVED = frozenset({"connect_error", "disconnecting", "newListener", "removeListener"})

Handler = Callable[..., Any]


class Route:
    """One registered handler and what is known of it.

    Attributes:
        handler: The function.
        event: The event that it was registered for.
        named: Whether the event's name goes before the arguments, as for `*`.
        asynchronous: Whether the function is a coroutine function.
        parameters: How many positional arguments it takes at most; None means any number.
        slow: How many of its next events go to threads of their own, because it kept the leader. Kept by the crew.
        strikes: What `slow` was set to last. Kept by the crew.
        struck: When, on the monotonic clock. Kept by the crew.
    """

    __slots__ = ("asynchronous", "event", "handler", "named", "parameters", "slow", "strikes", "struck")

    def __init__(self, handler: Handler, event: str) -> None:
        self.handler = handler
        self.event = event
        self.named = event == ANY
        self.asynchronous = is_async(handler)
        self.parameters = positional(handler)
        self.slow = 0
        self.strikes = 0
        self.struck = 0.0


def is_async(handler: Handler) -> bool:
    """Says whether calling the handler makes a coroutine, for functions, partials and callable objects.

    Args:
        handler: The handler.

    Returns:
        True when the result has to be awaited.
    """
    return inspect.iscoroutinefunction(inspect.unwrap(handler)) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - the method itself is what is looked at
    )


def positional(handler: Handler) -> int | None:
    """Counts the positional arguments that a handler takes.

    Looking at the signature, rather than calling and catching TypeError, keeps a TypeError inside the handler from
    calling it twice.

    Args:
        handler: The handler.

    Returns:
        The highest number that can be passed; None when it takes any number, or when nobody can tell.
    """
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


class Routes:
    """The table of handlers of a service."""

    def __init__(self, namespaces: Iterable[str] = ()) -> None:
        self._table: dict[str, dict[str, Route]] = {}
        self.namespaces = tuple(namespaces)
        self._found: dict[tuple[str, str], Route | None] = {}

    def add(self, event: str, handler: Handler, namespace: str) -> Route:
        """Registers a handler; a later one takes the place of an earlier one.

        Args:
            event: The event's name, "connect", "disconnect", or "*".
            handler: The function.
            namespace: The namespace, or "*".

        Returns:
            The route.

        Raises:
            ValueError: The name is one that Socket.IO keeps for itself, or the namespace is not one.
        """
        if not event or event in _RESERVED:
            raise ValueError(f"{event!r} cannot be an event's name: Socket.IO keeps it for itself")
        if namespace != ANY and not namespace.startswith("/"):
            raise ValueError(f"the namespace {namespace!r} has to start with a slash")
        route = Route(handler, event)
        self._table.setdefault(namespace, {})[event] = route
        self._found.clear()
        return route

    def find(self, namespace: str, event: str) -> Route | None:
        """Finds the handler of an event.

        Args:
            namespace: The socket's namespace.
            event: The event's name, "connect" or "disconnect".

        Returns:
            The route, or None when nobody handles it.
        """
        key = (namespace, event)
        try:
            return self._found[key]
        except KeyError:
            route = self._search(namespace, event)
            # Names come from browsers, so only what leads to a handler by its own name may grow this table.
            if route is not None and not route.named:
                self._found[key] = route
            return route

    def registrations(self) -> list[handler_pb2.Registration]:
        """Describes the table in the contract's terms.

        Returns:
            One registration per namespace, sorted. Namespace "*" stands for every namespace that is named elsewhere.
        """
        anywhere = self._table.get(ANY, {})
        known = set(self.namespaces) | set(self._table)
        known.discard(ANY)
        if anywhere and not known:
            known.add("/")
        return [self._registration(namespace, anywhere) for namespace in sorted(known)]

    def _registration(self, namespace: str, anywhere: dict[str, Route]) -> handler_pb2.Registration:
        events = set(self._table.get(namespace, {})) | set(anywhere)
        return handler_pb2.Registration(
            namespace=namespace,
            events=sorted(events - {ANY, *LIFECYCLE}),
            catch_all=ANY in events,
            connect="connect" in events,
            # Always asked for: it is also how this process learns to forget a socket.
            disconnect=True,
        )

    def _search(self, namespace: str, event: str) -> Route | None:
        for table in (self._table.get(namespace), self._table.get(ANY)):
            if table is None:
                continue
            route = table.get(event)
            if route is None and event not in LIFECYCLE:
                route = table.get(ANY)
            if route is not None:
                return route
        return None
