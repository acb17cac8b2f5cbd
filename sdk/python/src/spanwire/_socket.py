# SPDX-License-Identifier: Apache-2.0
"""The socket as handlers see it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ._records import SocketState
from ._words import Handshake, names

if TYPE_CHECKING:
    from ._link import Link
    from ._service import Service

__all__ = ["Socket"]


class Socket:
    """One client in one namespace.

    Attributes:
        id: The socket's id, which is also the name of its own room.
        namespace: The socket's namespace.
        data: A place for the handlers' own notes about the socket, kept in this process while it knows the socket.
    """

    __slots__ = ("_handshake", "_link", "_service", "_state", "data", "id", "namespace")

    def __init__(self, service: Service, link: Link, state: SocketState) -> None:
        self._service = service
        self._link = link
        self._state = state
        self._handshake: Handshake | None = None
        self.id = state.id
        self.namespace = state.namespace
        self.data: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"Socket({self.id!r}, namespace={self.namespace!r})"

    @property
    def handshake(self) -> Handshake:
        """What the browser sent when it connected."""
        message = self._state.handshake
        if self._handshake is None or self._handshake._message is not message:
            self._handshake = Handshake(message)
        return self._handshake

    def emit(self, event: str, *args: Any, volatile: bool = False, compress: bool = True) -> None:
        """Sends an event to this socket.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            volatile: Allows the event to be dropped if the browser cannot take it right now.
            compress: Whether the event may be compressed.

        Raises:
            TypeError: An argument cannot be sent.
            QueueFullError: The broker does not take what is emitted.
        """
        self._service._emit(event, args, self.id, None, self.namespace, volatile=volatile, compress=compress, link=self._link)

    def send(self, *args: Any) -> None:
        """Sends the event `message` to this socket.

        Args:
            *args: The arguments.
        """
        self.emit("message", *args)

    def broadcast(
        self,
        event: str,
        *args: Any,
        to: str | Iterable[str] | None = None,
        volatile: bool = False,
        compress: bool = True,
    ) -> None:
        """Sends an event to the others: to every socket of the namespace, or of rooms, but this one.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            to: Rooms; the whole namespace when None.
            volatile: Allows the event to be dropped for browsers that cannot take it right now.
            compress: Whether the event may be compressed.

        Raises:
            TypeError: An argument cannot be sent.
            QueueFullError: The broker does not take what is emitted.
        """
        self._service._emit(event, args, to, self.id, self.namespace, volatile=volatile, compress=compress, link=self._link)

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
        return self._service._call(event, args, self.id, self.namespace, timeout, link=self._link)

    def join(self, rooms: str | Iterable[str]) -> None:
        """Adds this socket to rooms.

        Args:
            rooms: One room or several.
        """
        self._service._rooms("join", names(rooms), self.id, self.namespace, link=self._link)

    def leave(self, rooms: str | Iterable[str]) -> None:
        """Takes this socket out of rooms.

        Args:
            rooms: One room or several.
        """
        self._service._rooms("leave", names(rooms), self.id, self.namespace, link=self._link)

    def disconnect(self, *, close_session: bool = False) -> None:
        """Ends this socket; its browser does not reconnect by itself.

        Args:
            close_session: Closes the whole session too, and with it the client's sockets of other namespaces.
        """
        self._service._disconnect(self.id, self.namespace, close_session=close_session, link=self._link)
