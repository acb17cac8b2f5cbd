# SPDX-License-Identifier: Apache-2.0
"""The class whose methods handle the events of a namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Namespace"]


class Owner(Protocol):
    """The owner of a namespace: the SocketIO object."""

    def call_handler(self, handler: Callable[..., Any], message: str, args: tuple[Any, ...]) -> Any:
        """Calls a handler."""

    def emit(self, event: str, *args: Any, **kwargs: Any) -> None:
        """Emits to the sockets of a namespace, or of rooms."""

    def close_room(self, room: str, namespace: str | None = None) -> None:
        """Removes all sockets from a room."""


class Namespace:
    """A namespace whose methods `on_<event>` handle its events.

    Args:
        namespace: The namespace; "/" when None.
    """

    def __init__(self, namespace: str | None = None) -> None:
        self.namespace = namespace or "/"
        self.socketio: Owner | None = None
        # Made once from the class, so that an event's name, which a browser chooses, is never
        # looked up on the object.
        self._methods: dict[str, Callable[..., Any]] = {
            name[3:]: getattr(self, name)
            for name in dir(type(self))
            if name.startswith("on_") and len(name) > 3 and callable(getattr(type(self), name))
        }

    def trigger_event(self, event: str, *args: Any) -> Any:
        """Calls the method of an event. Override it to see every event of the namespace.

        Args:
            event: The event's name.
            *args: The event's arguments.

        Returns:
            The return value of the method; None without a method.
        """
        method = self._methods.get(event)
        if method is None:
            return None
        return self._bound().call_handler(method, event, args)

    def emit(
        self,
        event: str,
        data: Any = None,
        room: Any = None,
        include_self: bool = True,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Emits to the namespace, or to rooms of it.

        Args:
            event: The event's name.
            data: The argument.
            room: A room or socket id, or several.
            include_self: Whether the current socket receives it too.
            namespace: Another namespace.
            callback: Called with the ack.
        """
        self._bound().emit(
            event, data, to=room, include_self=include_self, namespace=namespace or self.namespace, callback=callback
        )

    def send(
        self,
        data: Any,
        room: Any = None,
        include_self: bool = True,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Emits `message` to the namespace, or to rooms of it.

        Args:
            data: The argument.
            room: A room or socket id, or several.
            include_self: Whether the current socket receives it too.
            namespace: Another namespace.
            callback: Called with the ack.
        """
        self.emit("message", data, room, include_self, namespace, callback)

    def close_room(self, room: str, namespace: str | None = None) -> None:
        """Removes all sockets from a room.

        Args:
            room: The room.
            namespace: Another namespace.
        """
        self._bound().close_room(room, namespace or self.namespace)

    def _bound(self) -> Owner:
        if self.socketio is None:
            raise RuntimeError("namespace: is not registered (pass it to on_namespace() first)")
        return self.socketio
