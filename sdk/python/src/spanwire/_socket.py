# SPDX-License-Identifier: Apache-2.0
"""The socket that handlers receive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

from . import _commands
from ._checks import check_callable, check_whole, names
from ._link import Link
from ._records import SocketState
from ._target import Target, emit_flags
from ._values import Handshake
from ._verbs import Verbs
from .exceptions import ConflictError

__all__ = ["Socket"]


class Socket:
    """One client in one namespace.

    Handlers receive it as their first argument. It may be kept after the handler has returned, for
    example to emit later from another thread.

    Attributes:
        id: The socket's id, which is also the name of its own room.
        namespace: The socket's namespace.
    """

    __slots__ = ("_context", "_data", "_handshake", "_known", "_link", "_service", "_state", "_target", "id", "namespace")

    def __init__(self, service: Verbs, link: Link, state: SocketState) -> None:
        self._service = service
        self._link = link
        self._state = state
        self._handshake: Handshake | None = None
        self._known: tuple[bytes, int] | None = None  # the source of the next attribute
        self._data: Any = None
        self._context: Any = None  # of the layer above
        self._target: Target | None = None
        self.id = state.id
        self.namespace = state.namespace

    def __repr__(self) -> str:
        return f"Socket({self.id!r}, namespace={self.namespace!r})"

    # The state of the socket.

    @property
    def handshake(self) -> Handshake:
        """The handshake of the browser."""
        message = self._state.handshake
        if self._handshake is None or self._handshake._message is not message:
            self._handshake = Handshake(message)
        return self._handshake

    @property
    def connected(self) -> bool:
        """Whether the socket is connected, as far as this process knows."""
        return not self._state.gone

    @property
    def recovered(self) -> bool:
        """Whether the client resumed this socket, with its id, rooms and data."""
        return self._state.recovered

    def rooms(self) -> tuple[str, ...]:
        """Returns the rooms that the socket is in, its own first.

        The method asks the broker: it blocks and cannot be cancelled, so it refuses to run on an
        event loop: use `asyncio.to_thread` there.

        Returns:
            The rooms; after the disconnect those that the socket was in.

        Raises:
            BrokerUnavailableError: The stream broke before the answer arrived.
        """
        if self._state.gone:
            return self._state.left
        return self._service._rooms_of(self._itself())

    # The data that is stored with the socket.

    @property
    def data(self) -> Any:
        """The data that handlers stored with the socket; an empty dict by default.

        It is what this process knows: it arrived when the socket was introduced to this process, or
        was set here since. A change inside the value stays in this process, until `set_data` stores
        it.
        """
        if self._known is not self._state.data:
            self._known = self._state.data
            self._data = _commands.value_from_json(self._service._codec, self._known[0])
        return self._data

    @property
    def data_version(self) -> int:
        """The version of the data; 0 when none was ever set."""
        return self._state.data[1]

    def set_data(self, value: Any, *, if_version: int = 0) -> int:
        """Stores a value with the socket for as long as it lives, across instances and recovery.

        The method blocks and cannot be cancelled, so it refuses to run on an event loop: use
        `asyncio.to_thread` there.

        Each instance receives the value when it is introduced to the socket, and `fetch_sockets`
        returns it.

        Args:
            value: A value that JSON can represent; None deletes the data.
            if_version: The version that must be present for the change; 0 overwrites any version.

        Returns:
            The new version.

        Raises:
            TypeError: The value cannot be sent.
            ConflictError: Another version is present; the error has its data and version.
            CommandError: The broker rejected it: the socket has disconnected ("NOT_FOUND"), or the
                value is too large.
            BrokerUnavailableError: The stream broke before the answer arrived.
        """
        data = b"" if value is None else self._service._codec.value(value)
        return self._service._set_data(self._state, data, check_whole(if_version, "if_version"), link=self._link)

    def update_data(self, change: Callable[[Any], Any]) -> Any:
        """Changes the data of the socket without losing the changes of others.

        The method blocks and cannot be cancelled, so it refuses to run on an event loop: use
        `asyncio.to_thread` there.

        Args:
            change: Receives a copy of the present value, and returns the new one. It is called
                again when another caller was faster.

        Returns:
            The new value.

        Raises:
            CommandError: The broker rejected it: the socket has disconnected ("NOT_FOUND"), or the
                value is too large.
            BrokerUnavailableError: The stream broke before the answer arrived.
        """
        check_callable(change, "change")
        while True:
            data, version = self._state.data
            value = change(_commands.value_from_json(self._service._codec, data))
            try:
                self.set_data(value, if_version=version)
            except ConflictError:
                if self.data_version == version:
                    raise  # no later version is present, so a retry would end in the same way
                continue
            return value

    # Commands to the socket.

    def emit(
        self,
        event: str,
        *args: Any,
        volatile: bool = False,
        compress: bool = True,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Sends an event to this socket.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            volatile: Whether the event may be dropped if the browser cannot take it at once.
            compress: Whether the event may be compressed.
            callback: Called with the client's ack, in order with the socket's events; not called
                without an ack.

        Raises:
            TypeError: An argument cannot be sent.
            QueueFullError: The queue to the broker is full.
        """
        flags = emit_flags(volatile, compress)
        target = self._target or self._itself()
        if callback is None:
            self._service._emit(event, args, target, flags)
        else:
            self._service._emit_with_callback(event, args, target, callback, self._state, flags)

    def send(self, *args: Any) -> None:
        """Sends the event `message` to this socket.

        Args:
            *args: The arguments.
        """
        self.emit("message", *args)

    def emit_with_ack(self, event: str, *args: Any, timeout: float = 60.0) -> list[Any]:
        """Sends an event to this socket and waits for its ack.

        The method blocks and cannot be cancelled, so it refuses to run on an event loop: use
        `asyncio.to_thread` there.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            timeout: How long to wait, in seconds.

        Returns:
            The arguments of the ack.

        Raises:
            AckTimeoutError: No ack arrived in time, or the socket has disconnected.
            BrokerUnavailableError: The stream broke before the answer arrived.
        """
        return self._service._call(event, args, self._itself().timeout(timeout))

    @overload
    def broadcast(self) -> Target: ...

    @overload
    def broadcast(
        self, event: str, *args: Any, to: str | Iterable[str] | None = None, volatile: bool = False, compress: bool = True
    ) -> None: ...

    def broadcast(
        self,
        event: str | None = None,
        *args: Any,
        to: str | Iterable[str] | None = None,
        volatile: bool = False,
        compress: bool = True,
    ) -> Target | None:
        """Sends an event to the other sockets of the namespace, or of rooms.

        Args:
            event: The event's name. Without one nothing is sent, and the method returns the others
                as a target.
            *args: The arguments; a lone tuple means several.
            to: Rooms; the whole namespace when None.
            volatile: Whether the event may be dropped for browsers that cannot take it at once.
            compress: Whether the event may be compressed.

        Returns:
            The others as a target, when no event was named.

        Raises:
            TypeError: An argument cannot be sent.
            QueueFullError: The queue to the broker is full.
        """
        target = Target(to, self.id, self.namespace, _executor=self._service, _link=self._link)
        if event is None:
            return target
        flags = emit_flags(volatile, compress)
        self._service._emit(event, args, target, flags)
        return None

    def to(self, rooms: str | Iterable[str]) -> Target:
        """Chooses the other sockets of rooms.

        Args:
            rooms: A room or socket id, or several.

        Returns:
            The target.
        """
        return self.broadcast().to(rooms)

    def in_(self, rooms: str | Iterable[str]) -> Target:
        """Chooses the other sockets of rooms, exactly as `to` does.

        Args:
            rooms: A room or socket id, or several.

        Returns:
            The target.
        """
        return self.to(rooms)

    def except_(self, rooms: str | Iterable[str]) -> Target:
        """Chooses the other sockets that are in none of the rooms.

        Args:
            rooms: A room or socket id, or several.

        Returns:
            The target.
        """
        return self.broadcast().except_(rooms)

    def join(self, rooms: str | Iterable[str]) -> None:
        """Adds this socket to rooms.

        Args:
            rooms: One room or several.
        """
        self._service._move("join", names(rooms), self._itself())

    def leave(self, rooms: str | Iterable[str]) -> None:
        """Removes this socket from rooms.

        Args:
            rooms: One room or several.
        """
        self._service._move("leave", names(rooms), self._itself())

    def disconnect(self, *, close_session: bool = False) -> None:
        """Disconnects this socket; its browser does not reconnect by itself.

        Args:
            close_session: Whether to close the whole session too, with the client's sockets of
                other namespaces.
        """
        self._service._disconnect(self._itself(), close_session=close_session)

    def _itself(self) -> Target:
        """Returns the target of this socket alone."""
        target = self._target
        if target is None:
            target = self._target = Target(self.id, namespace=self.namespace, _executor=self._service, _link=self._link)
        return target

    def _use(self, link: Link) -> None:
        """Changes the link that commands of this socket's handlers go over."""
        self._link = link
        self._target = None
