# SPDX-License-Identifier: Apache-2.0
"""The socket as handlers see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

from . import _commands
from ._checks import names
from ._link import Link
from ._records import SocketState
from ._target import Target, emit_flags
from ._verbs import Verbs
from ._words import Handshake
from .exceptions import ConflictError

__all__ = ["Socket"]


class Socket:
    """One client in one namespace.

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
        self._known: tuple[bytes, int] | None = None  # what the next was made of
        self._data: Any = None
        self._context: Any = None  # of the layer above
        self._target: Target | None = None
        self.id = state.id
        self.namespace = state.namespace

    def __repr__(self) -> str:
        return f"Socket({self.id!r}, namespace={self.namespace!r})"

    # What is known of it.

    @property
    def handshake(self) -> Handshake:
        """What the browser sent when it connected."""
        message = self._state.handshake
        if self._handshake is None or self._handshake._message is not message:
            self._handshake = Handshake(message)
        return self._handshake

    @property
    def connected(self) -> bool:
        """Whether the socket is there, as far as this process knows."""
        return not self._state.gone

    @property
    def recovered(self) -> bool:
        """Whether the client resumed this socket after a loss of its connection, with the id, rooms and data that it had."""
        return self._state.recovered

    def rooms(self) -> tuple[str, ...]:
        """Asks which rooms the socket is in, its own first. Not for coroutines, whose loop it would stop.

        Returns:
            The rooms; those that it was in, when this process knows that it has gone.

        Raises:
            BrokerUnavailableError: The stream broke meanwhile.
        """
        if self._state.gone:
            return self._state.left
        return self._service._rooms_of(self._itself())

    # Data that is kept with it.

    @property
    def data(self) -> Any:
        """What handlers keep with the socket, as this process knows it; an empty dict when there is nothing.

        It was told when the socket was introduced to this process, or set here since. What is changed inside it stays in this
        process, until `set_data` keeps it with the socket.
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
        """Keeps a value with the socket for as long as it lives, across instances and recovery. Not for coroutines.

        Every instance is told it when it is introduced to the socket, and `fetch_sockets` tells it to everyone.

        Args:
            value: What JSON has words for; None takes the data away.
            if_version: Changes nothing unless this is the version that is there; 0 overwrites whatever is there.

        Returns:
            The new version.

        Raises:
            TypeError: The value cannot be sent.
            ConflictError: Another version is there; it tells the data and the version.
            CommandError: The broker refused it: the socket has gone ("NOT_FOUND"), or the value is too large.
            BrokerUnavailableError: The stream broke meanwhile.
        """
        data = b"" if value is None else self._service._codec.value(value)
        return self._service._set_data(self._state, data, if_version, link=self._link)

    def update_data(self, change: Callable[[Any], Any]) -> Any:
        """Changes what is kept with the socket without losing what others set meanwhile. Not for coroutines.

        Args:
            change: Is given a copy of the present value, and returns the new one. It is called again when somebody else was
                faster.

        Returns:
            The new value.

        Raises:
            CommandError: The broker refused it: the socket has gone ("NOT_FOUND"), or the value is too large.
            BrokerUnavailableError: The stream broke meanwhile.
        """
        while True:
            data, version = self._state.data
            value = change(_commands.value_from_json(self._service._codec, data))
            try:
                self.set_data(value, if_version=version)
            except ConflictError:
                if self.data_version == version:
                    raise  # nothing later is there, so trying again would end like this for ever
                continue
            return value

    # What is asked of it.

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
            volatile: Allows the event to be dropped if the browser cannot take it right now.
            compress: Whether the event may be compressed.
            callback: Called with what the client answers, in turn with the socket's events; not called when no answer comes.

        Raises:
            TypeError: An argument cannot be sent.
            QueueFullError: The broker does not take what is emitted.
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
        """Sends an event to this socket and waits for what its client answers. Not for coroutines, whose loop it would stop.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            timeout: How long to wait, in seconds.

        Returns:
            The arguments of the ack.

        Raises:
            AckTimeoutError: No answer came in time, or the socket has gone.
            BrokerUnavailableError: The stream broke meanwhile.
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
        """Sends an event to the others: to every socket of the namespace, or of rooms, but this one.

        Args:
            event: The event's name. Without one nothing is sent, and the others are returned as a target.
            *args: The arguments; a lone tuple means several.
            to: Rooms; the whole namespace when None.
            volatile: Allows the event to be dropped for browsers that cannot take it right now.
            compress: Whether the event may be compressed.

        Returns:
            The others, when no event was named.

        Raises:
            TypeError: An argument cannot be sent.
            QueueFullError: The broker does not take what is emitted.
        """
        target = Target(to, self.id, self.namespace, False, self._service, self._link)
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
        """Does what `to` does.

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
        """Takes this socket out of rooms.

        Args:
            rooms: One room or several.
        """
        self._service._move("leave", names(rooms), self._itself())

    def disconnect(self, *, close_session: bool = False) -> None:
        """Ends this socket; its browser does not reconnect by itself.

        Args:
            close_session: Closes the whole session too, and with it the client's sockets of other namespaces.
        """
        self._service._disconnect(self._itself(), close_session=close_session)

    def _itself(self) -> Target:
        """Returns the target of this socket alone."""
        target = self._target
        if target is None:
            target = self._target = Target(
                self.id, namespace=self.namespace, _executor=self._service, _link=self._link
            )
        return target

    def _use(self, link: Link) -> None:
        """Changes the link that commands of this socket's handlers go over."""
        self._link = link
        self._target = None
