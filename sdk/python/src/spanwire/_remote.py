# SPDX-License-Identifier: Apache-2.0
"""A socket on any replica, as a query found it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._target import Target
from ._values import Handshake
from .exceptions import AckTimeoutError

__all__ = ["RemoteSocket"]


class RemoteSocket:
    """The state of one socket at the time of a query.

    Its methods reach the socket, as those of `Socket` do. `Target.fetch_sockets` returns it, for
    programs that need facts about sockets of other instances; to emit to many, use the target.

    Attributes:
        id: The socket's id.
        namespace: The socket's namespace.
        rooms: The rooms that it was in, its own first.
        handshake: The handshake of the browser. The auth payload and the headers Cookie and
            Authorization are absent unless the service registered with `credentials`.
        data: The data that handlers stored with the socket; an empty dict by default.
        data_version: The version of the data; 0 when none was ever set.
        replica: The replica that has the socket.
        transport: The present transport: "polling" or "websocket". The handshake has the first one.
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
            seconds: How long to wait, in seconds.

        Returns:
            The socket with the bound.
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
        """Sends an event to the socket and waits for its ack.

        The method blocks and cannot be cancelled, so it refuses to run on an event loop: use
        `asyncio.to_thread` there.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.

        Returns:
            The arguments of the ack.

        Raises:
            AckTimeoutError: No ack arrived in time, or the socket has disconnected.
            BrokerUnavailableError: The stream broke before the answer arrived.
        """
        acks = self._target.emit_with_ack(event, *args).acks
        if not acks:
            raise AckTimeoutError(f"emit with ack: socket {self.id!r} did not answer {event!r} in time", event=event)
        return acks[0].args

    def join(self, rooms: str | Iterable[str]) -> None:
        """Adds the socket to rooms.

        Args:
            rooms: One room or several.
        """
        self._target.sockets_join(rooms)

    def leave(self, rooms: str | Iterable[str]) -> None:
        """Removes the socket from rooms.

        Args:
            rooms: One room or several.
        """
        self._target.sockets_leave(rooms)

    def disconnect(self, close: bool = False) -> None:
        """Disconnects the socket; its browser does not reconnect by itself.

        Args:
            close: Whether to close the whole session too, with the client's sockets of other
                namespaces.
        """
        self._target.disconnect_sockets(close)
