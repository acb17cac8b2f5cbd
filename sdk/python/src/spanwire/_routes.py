# SPDX-License-Identifier: Apache-2.0
"""Routes: which handler an event goes to.

The order of precedence: the event by name in its namespace, `*` in its namespace; then the same two
of each pattern that matches the namespace, in the order of registration; then those of namespace
`*`. A `*` never stands for connect or disconnect.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from ._checks import RESERVED, Space, check_callable, check_registered, check_space, check_whole, pattern_source
from ._proto import handler_pb2

__all__ = ["ANY", "CHANGES", "LIFECYCLE", "Route", "Routes", "Table"]

ANY = "*"
LIFECYCLE = ("connect", "disconnect")
CHANGES = ("created", "deleted", "joined", "left")
_RESERVED = RESERVED - {*LIFECYCLE}
_MAX_FOUND = 4096

Handler = Callable[..., Any]


class Route:
    """One registered handler and its properties.

    Attributes:
        handler: The function.
        event: The event that it was registered for.
        named: Whether the event's name precedes the arguments, as for `*`.
        asynchronous: Whether the function is a coroutine function.
        parameters: How many positional arguments it takes at most; None means any number.
        order: The order among services that handle the connect.
        advisory: Whether connects do not depend on the handler.
        concurrent: Whether its events run at any time, also beside others of the same socket.
        held: How many threads run the handler, beside leaders. Kept by the scheduler.
        slow: How many of its next events go to threads of their own, because it blocked a leader.
            Kept by the scheduler.
        penalty: The last value that `slow` was set to. Kept by the scheduler.
        penalized_at: The time of that, on the monotonic clock. Kept by the scheduler.
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
        "penalized_at",
        "penalty",
        "slow",
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
        self.penalty = 0
        self.penalized_at = 0.0


def is_async(handler: Handler) -> bool:
    """Returns whether a handler is a coroutine function, also as a partial or callable object.

    Args:
        handler: The handler.

    Returns:
        True when the result has to be awaited.
    """
    return inspect.iscoroutinefunction(inspect.unwrap(handler)) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - the method itself is inspected
    )


def positional(handler: Handler) -> int | None:
    """Returns how many positional arguments a handler takes.

    The signature is read rather than catching TypeError from a call, so that a TypeError inside the
    handler does not call it twice.

    Args:
        handler: The handler.

    Returns:
        The highest number that can be passed; None when there is no limit, or it is unknown.
    """
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


class Table:
    """Handlers by namespace and name: of events, of messages, or of changes of rooms."""

    def __init__(self) -> None:
        self._routes: dict[Space, dict[str, Route]] = {}
        # As registered, and as the broker reads it.
        self._patterns: dict[re.Pattern[str], re.Pattern[str]] = {}
        self._found: dict[tuple[str, str], Route | None] = {}

    @property
    def namespaces(self) -> set[Space]:
        """The namespaces with handlers."""
        return set(self._routes)

    def names(self, namespace: Space) -> set[str]:
        """The names with handlers in a namespace."""
        return set(self._routes.get(namespace, ()))

    def add(self, name: str, route: Route, namespace: Space) -> None:
        """Registers a handler; a later one replaces an earlier one.

        Args:
            name: The name, or "*".
            route: The handler.
            namespace: The namespace, a pattern, or "*".

        Raises:
            ValueError: The namespace or the pattern is not valid.
        """
        check_space(namespace)
        if not isinstance(namespace, str):
            # The broker's \\d, \\w and \\s match ASCII only.
            self._patterns = {**self._patterns, namespace: re.compile(pattern_source(namespace), re.ASCII)}
        elif namespace != ANY and not namespace.startswith("/"):
            raise ValueError(f"namespace {namespace!r}: does not begin with a slash (pass {'/' + str(namespace)!r})")
        self._routes[namespace] = {**self._routes.get(namespace, {}), name: route}
        self._found.clear()

    def remove(self, name: str, namespace: Space) -> None:
        """Removes a handler.

        Args:
            name: The name, or "*".
            namespace: The namespace, the pattern, or "*".

        Raises:
            KeyError: There is no such handler.
        """
        routes = self._routes.get(namespace, {})
        if name not in routes:
            raise KeyError(f"remove: no handler of {name!r} is registered in namespace {namespace!r}")
        # Replaced rather than changed, since other threads look events up meanwhile.
        left = {other: route for other, route in routes.items() if other != name}
        if left:
            self._routes[namespace] = left
        else:
            del self._routes[namespace]
            if not isinstance(namespace, str):
                self._patterns = {p: read for p, read in self._patterns.items() if p != namespace}
        self._found.clear()

    def get(self, namespace: Space, name: str) -> Route | None:
        """Returns the handler that was registered with exactly this namespace and name."""
        return self._routes.get(namespace, {}).get(name)

    def find(self, namespace: str, name: str) -> Route | None:
        """Finds the handler of a dispatch.

        Args:
            namespace: The socket's namespace.
            name: The name of the event, "connect" or "disconnect".

        Returns:
            The route, or None without a handler.
        """
        key = (namespace, name)
        try:
            return self._found[key]
        except KeyError:
            route = self._search(namespace, name)
            # Browsers choose event names and the namespaces of patterns, so only names with a
            # handler of their own are added to this table, which is bounded.
            if route is not None and not route.named:
                if len(self._found) >= _MAX_FOUND:
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
        events: The handlers of events, connects and disconnects.
        messages: The handlers of messages.
        rooms: The handlers of changes of rooms.
        namespaces: The namespaces to register beside those that have handlers of their own.
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
            order: The order among services that handle the connect.
            advisory: Whether connects do not depend on the handler.
            concurrent: Whether its events run at any time.

        Returns:
            The route.

        Raises:
            ValueError: Socket.IO reserves the name, or the namespace is not valid.
        """
        if check_registered(event, "event") in _RESERVED:
            raise ValueError(f"event name {event!r}: reserved by Socket.IO itself (choose another name)")
        if not 0 <= check_whole(order, "connect_order") < 1 << 32 or (order and event != "connect"):
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
            ValueError: Socket.IO reserves the name, or the namespace is not valid.
        """
        if not check_registered(name, "message") or name in RESERVED:
            raise ValueError(f"message name {name!r}: empty, or reserved by Socket.IO itself (choose another name)")
        self.messages.add(name, Route(check_callable(handler, "handler"), name), namespace)

    def add_room(self, change: str, handler: Handler, namespace: Space) -> None:
        """Registers a handler of changes of rooms.

        Args:
            change: "created", "deleted", "joined", "left", or "*".
            handler: The function.
            namespace: The namespace, a pattern, or "*".

        Raises:
            ValueError: The change or the namespace is not valid.
        """
        if check_registered(change, "room change") not in (*CHANGES, ANY):
            raise ValueError(f"room change {change!r}: unknown (pass one of {', '.join(CHANGES)}, or '*' for all)")
        self.rooms.add(change, Route(check_callable(handler, "handler"), change), namespace)

    def remove(self, event: str, namespace: Space) -> None:
        """Removes the handler of an event. The namespace of the last one stays registered.

        Args:
            event: The event's name, "connect", "disconnect", or "*".
            namespace: The namespace, the pattern, or "*".

        Raises:
            KeyError: There is no such handler.
        """
        self.events.remove(event, namespace)
        if not self.registrations():
            self.namespaces = ("/" if namespace == ANY else namespace,)

    def find(self, namespace: str, event: str) -> Route | None:
        """Finds the handler of an event; see `Table.find`."""
        return self.events.find(namespace, event)

    def registrations(self) -> list[handler_pb2.Registration]:
        """Returns the handlers as registrations of the contract.

        Returns:
            One registration per namespace, sorted, then those of the patterns. Namespace "*" stands
            for every namespace that is named elsewhere.
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
            # Always registered, since a disconnect is also the signal to forget the socket.
            disconnect=True,
            room_events=bool(names(self.rooms)),
            messages=sorted(names(self.messages)),
            concurrent_events=sorted(filter(concurrent, events - {*LIFECYCLE})),
        )
