# SPDX-License-Identifier: Apache-2.0
"""A socket wherever it lives, as it was found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._target import Target
from ._words import Handshake
from .exceptions import AckTimeoutError

__all__ = ["RemoteSocket"]


class RemoteSocket:
    """What the cluster knew of one socket when it was asked. Its methods reach the socket, as those of `Socket` do.

    Attributes:
        id: The socket's id.
        namespace: The socket's namespace.
        rooms: The rooms that it was in, its own first.
        handshake: What the browser sent when it connected. The auth payload and the headers Cookie and Authorization are left out
            unless the service asked for credentials.
        data: What handlers keep with the socket; an empty dict when there is nothing.
        data_version: The version of the data; 0 when none was ever set.
        replica: The replica that the socket lives on.
        transport: The present transport: "polling" or "websocket". That of the handshake is the first one.
    """

    __slots__ = ("_target", "data", "data_version", "handshake", "id", "namespace", "replica", "rooms", "transport")

    def __init__(
        self,
        target: Target,
        *,
        id: str,  # noqa: A002 - the name that Socket.IO users know
        namespace: str,
        rooms: tuple[str, ...],
        handshake: Handshake,
        data: Any,
        data_version: int,
        replica: str,
        transport: str = "",
    ) -> None:
        self._target = target
        self.id = id
        self.namespace = namespace
        self.rooms = rooms
        self.handshake = handshake
        self.data = data
        self.data_version = data_version
        self.replica = replica
        self.transport = transport

    def __repr__(self) -> str:
        return f"RemoteSocket({self.id!r}, namespace={self.namespace!r}, replica={self.replica!r})"

    def timeout(self, seconds: float) -> RemoteSocket:
        """Bounds the wait for acks.

        Args:
            seconds: How long to wait.

        Returns:
            The socket again, with the bound.
        """
        return RemoteSocket(
            self._target.timeout(seconds),
            id=self.id,
            namespace=self.namespace,
            rooms=self.rooms,
            handshake=self.handshake,
            data=self.data,
            data_version=self.data_version,
            replica=self.replica,
            transport=self.transport,
        )

    def emit(self, event: str, *args: Any) -> None:
        """Sends an event to the socket.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.

        Raises:
            TypeError: An argument cannot be sent.
        """
        self._target.emit(event, *args)

    def emit_with_ack(self, event: str, *args: Any) -> list[Any]:
        """Sends an event to the socket and waits for what its client answers. Not for coroutines.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.

        Returns:
            The arguments of the ack.

        Raises:
            AckTimeoutError: No answer came in time, or the socket has gone.
            BrokerUnavailableError: The stream broke meanwhile.
        """
        acks = self._target.emit_with_ack(event, *args).acks
        if not acks:
            raise AckTimeoutError(f"{event!r} was not answered by {self.id!r} in time", event=event)
        return acks[0].args

    def join(self, rooms: str | Iterable[str]) -> None:
        """Adds the socket to rooms.

        Args:
            rooms: One room or several.
        """
        self._target.sockets_join(rooms)

    def leave(self, rooms: str | Iterable[str]) -> None:
        """Takes the socket out of rooms.

        Args:
            rooms: One room or several.
        """
        self._target.sockets_leave(rooms)

    def disconnect(self, close: bool = False) -> None:
        """Ends the socket; its browser does not reconnect by itself.

        Args:
            close: Closes the whole session too, and with it the client's sockets of other namespaces.
        """
        self._target.disconnect_sockets(close)
