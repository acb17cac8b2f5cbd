# SPDX-License-Identifier: Apache-2.0
"""Which handler an event goes to.

The order of precedence: the event by name in its namespace, `*` in its namespace; then the same two of each pattern that matches
the namespace, in the order in which they were registered; then those of namespace `*`. A `*` never stands for connect or
disconnect.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from ._checks import RESERVED, Space, check_callable, check_registered, check_space, pattern_source
from ._proto import handler_pb2

__all__ = ["ANY", "CHANGES", "LIFECYCLE", "Route", "Routes", "Table"]

ANY = "*"
LIFECYCLE = ("connect", "disconnect")
CHANGES = ("created", "deleted", "joined", "left")
_RESERVED = RESERVED - {*LIFECYCLE}
_MOST_FOUND = 4096

Handler = Callable[..., Any]


class Route:
    """One registered handler and what is known of it.

    Attributes:
        handler: The function.
        event: The event that it was registered for.
        named: Whether the event's name goes before the arguments, as for `*`.
        asynchronous: Whether the function is a coroutine function.
        parameters: How many positional arguments it takes at most; None means any number.
        order: When the service is asked about a connect, among services.
        advisory: Whether nothing waits for the answer to a connect.
        concurrent: Whether its events run at any time, also beside others of the same socket.
        held: How many threads are in the handler, beside leaders. Kept by the crew.
        slow: How many of its next events go to threads of their own, because it kept the leader. Kept by the crew.
        strikes: What `slow` was set to last. Kept by the crew.
        struck: When, on the monotonic clock. Kept by the crew.
    """

    __slots__ = (
        "advisory",
        "asynchronous",
        "concurrent",
        "event",
        "handler",
        "held",
        "named",
        "order",
        "parameters",
        "slow",
        "strikes",
        "struck",
    )

    def __init__(self, handler: Handler, event: str) -> None:
        self.handler = handler
        self.event = event
        self.named = event == ANY
        self.asynchronous = is_async(handler)
        self.parameters = positional(handler)
        self.order = 0
        self.advisory = False
        self.concurrent = False
        self.held = 0
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


class Table:
    """Handlers by namespace and name: of events, of messages, or of what happens to rooms."""

    def __init__(self) -> None:
        self._routes: dict[Space, dict[str, Route]] = {}
        self._patterns: dict[re.Pattern[str], re.Pattern[str]] = {}  # as registered, and as the broker reads it
        self._found: dict[tuple[str, str], Route | None] = {}

    @property
    def namespaces(self) -> set[Space]:
        """The namespaces with handlers."""
        return set(self._routes)

    def names(self, namespace: Space) -> set[str]:
        """The names with handlers in a namespace."""
        return set(self._routes.get(namespace, ()))

    def add(self, name: str, route: Route, namespace: Space) -> None:
        """Registers a handler; a later one takes the place of an earlier one.

        Args:
            name: The name, or "*".
            route: The handler.
            namespace: The namespace, a pattern, or "*".

        Raises:
            ValueError: The namespace is not one, or the pattern is none that the broker can be told.
        """
        check_space(namespace)
        if not isinstance(namespace, str):
            # The broker's \d, \w and \s know ASCII only.
            self._patterns = {**self._patterns, namespace: re.compile(pattern_source(namespace), re.ASCII)}
        elif namespace != ANY and not namespace.startswith("/"):
            raise ValueError(f"namespace {namespace!r}: does not begin with a slash (pass {'/' + str(namespace)!r})")
        self._routes[namespace] = {**self._routes.get(namespace, {}), name: route}
        self._found.clear()

    def remove(self, name: str, namespace: Space) -> None:
        """Takes a handler back.

        Args:
            name: The name, or "*".
            namespace: The namespace, the pattern, or "*".

        Raises:
            KeyError: There is none.
        """
        routes = self._routes.get(namespace, {})
        if name not in routes:
            raise KeyError(f"remove: no handler of {name!r} is registered in namespace {namespace!r}")
        # Replaced rather than changed, since events are looked up meanwhile.
        left = {other: route for other, route in routes.items() if other != name}
        if left:
            self._routes[namespace] = left
        else:
            del self._routes[namespace]
            if not isinstance(namespace, str):
                self._patterns = {p: read for p, read in self._patterns.items() if p != namespace}
        self._found.clear()

    def get(self, namespace: Space, name: str) -> Route | None:
        """The handler that was registered for exactly this."""
        return self._routes.get(namespace, {}).get(name)

    def find(self, namespace: str, name: str) -> Route | None:
        """Finds the handler of something that came.

        Args:
            namespace: The socket's namespace.
            name: Its name, "connect" or "disconnect".

        Returns:
            The route, or None when nobody handles it.
        """
        key = (namespace, name)
        try:
            return self._found[key]
        except KeyError:
            route = self._search(namespace, name)
            # Names come from browsers, so only what leads to a handler by its own name may grow this table; and so do names of
            # namespaces that match a pattern.
            if route is not None and not route.named:
                if len(self._found) >= _MOST_FOUND:
                    self._found.clear()
                self._found[key] = route
            return route

    def _search(self, namespace: str, name: str) -> Route | None:
        matching = [p for p, read in self._patterns.items() if read.fullmatch(namespace)] if self._patterns else ()
        for space in (namespace, *matching, ANY):
            routes = self._routes.get(space)
            if routes is None:
                continue
            route = routes.get(name)
            if route is None and name not in LIFECYCLE:
                route = routes.get(ANY)
            if route is not None:
                return route
        return None


class Routes:
    """The handlers of a service.

    Attributes:
        events: Those of events, connects and disconnects.
        messages: Those of messages.
        rooms: Those of what happens to rooms.
        namespaces: Namespaces to register beside those that have handlers of their own.
    """

    def __init__(self, namespaces: Iterable[Space] = ()) -> None:
        self.events = Table()
        self.messages = Table()
        self.rooms = Table()
        if isinstance(namespaces, (str, re.Pattern)):
            namespaces = (namespaces,)
        self.namespaces = tuple(map(check_space, namespaces))

    def add(
        self,
        event: str,
        handler: Handler,
        namespace: Space,
        order: int = 0,
        *,
        advisory: bool = False,
        concurrent: bool = False,
    ) -> Route:
        """Registers a handler of an event.

        Args:
            event: The event's name, "connect", "disconnect", or "*".
            handler: The function.
            namespace: The namespace, a pattern, or "*".
            order: When the service is asked about a connect, among services.
            advisory: Whether nothing waits for the answer to a connect.
            concurrent: Whether its events run at any time.

        Returns:
            The route.

        Raises:
            ValueError: The name is one that Socket.IO keeps for itself, or the namespace is not one.
        """
        if check_registered(event, "event") in _RESERVED:
            raise ValueError(f"event name {event!r}: reserved by Socket.IO itself (choose another name)")
        if not 0 <= order < 1 << 32 or (order and event != "connect"):
            raise ValueError("connect_order: must be a number from 0, and only 'connect' has one (leave it out elsewhere)")
        if advisory and event != "connect":
            raise ValueError("advisory: only the handler of 'connect' can be advisory (leave it out elsewhere)")
        if concurrent and event in LIFECYCLE:
            raise ValueError(
                f"concurrent: the handler of {event!r} cannot be concurrent, since a socket's events follow its connect"
                " (leave it out here)"
            )
        route = Route(check_callable(handler, "handler"), event)
        route.order = order
        route.advisory = advisory
        route.concurrent = concurrent
        self.events.add(event, route, namespace)
        return route

    def add_message(self, name: str, handler: Handler, namespace: Space) -> None:
        """Registers a handler of a message.

        Args:
            name: The message's name, or "*".
            handler: The function.
            namespace: The namespace, a pattern, or "*".

        Raises:
            ValueError: The name is one that Socket.IO keeps for itself, or the namespace is not one.
        """
        if not check_registered(name, "message") or name in RESERVED:
            raise ValueError(f"message name {name!r}: empty, or reserved by Socket.IO itself (choose another name)")
        self.messages.add(name, Route(check_callable(handler, "handler"), name), namespace)

    def add_room(self, change: str, handler: Handler, namespace: Space) -> None:
        """Registers a handler of what happens to rooms.

        Args:
            change: "created", "deleted", "joined", "left", or "*".
            handler: The function.
            namespace: The namespace, a pattern, or "*".

        Raises:
            ValueError: The change is not one, or the namespace is not.
        """
        if check_registered(change, "room change") not in (*CHANGES, ANY):
            raise ValueError(f"room change {change!r}: unknown (pass one of {', '.join(CHANGES)}, or '*' for all)")
        self.rooms.add(change, Route(check_callable(handler, "handler"), change), namespace)

    def remove(self, event: str, namespace: Space) -> None:
        """Takes the handler of an event back. The namespace of the last one stays registered.

        Args:
            event: The event's name, "connect", "disconnect", or "*".
            namespace: The namespace, the pattern, or "*".

        Raises:
            KeyError: There is none.
        """
        self.events.remove(event, namespace)
        if not self.registrations():
            self.namespaces = ("/" if namespace == ANY else namespace,)

    def find(self, namespace: str, event: str) -> Route | None:
        """Finds the handler of an event; see `Table.find`."""
        return self.events.find(namespace, event)

    def registrations(self) -> list[handler_pb2.Registration]:
        """Describes the handlers in the contract's terms.

        Returns:
            One registration per namespace, sorted, then those of the patterns. Namespace "*" stands for every one that is named
            elsewhere.
        """
        with_handlers = self.events.namespaces | self.messages.namespaces | self.rooms.namespaces
        known = set(self.namespaces) | with_handlers
        known.discard(ANY)
        if ANY in with_handlers and not known:
            known.add("/")
        named = sorted(n for n in known if isinstance(n, str))
        patterns = sorted((n for n in known if not isinstance(n, str)), key=lambda p: p.pattern)
        return [*map(self._registration, named), *map(self._registration, patterns)]

    def _registration(self, namespace: Space) -> handler_pb2.Registration:
        def names(table: Table) -> set[str]:
            return table.names(namespace) | table.names(ANY)

        def concurrent(event: str) -> bool:
            route = self.events.get(namespace, event) or self.events.get(ANY, event)
            return route is not None and route.concurrent

        events = names(self.events)
        asked = self.events.get(namespace, "connect") or self.events.get(ANY, "connect")
        return handler_pb2.Registration(
            namespace=namespace if isinstance(namespace, str) else pattern_source(namespace),
            pattern=not isinstance(namespace, str),
            events=sorted(events - {ANY, *LIFECYCLE}),
            catch_all=ANY in events,
            connect=asked is not None,
            connect_order=0 if asked is None else asked.order,
            connect_advisory=asked is not None and asked.advisory,
            # Always asked for: it is also how this process learns to forget a socket.
            disconnect=True,
            room_events=bool(names(self.rooms)),
            messages=sorted(names(self.messages)),
            concurrent_events=sorted(filter(concurrent, events - {*LIFECYCLE})),
        )
