# SPDX-License-Identifier: Apache-2.0
"""What the conversation knows of a socket and of a dispatch, and what it makes of a frame."""

from __future__ import annotations

from collections import deque
from typing import Any

from ._proto import command_pb2, event_pb2, handler_pb2

__all__ = ["Dispatch", "Received", "SocketState"]


class SocketState:
    """What this process knows of one socket.

    Attributes:
        id: The socket's id.
        namespace: The socket's namespace.
        handshake: The introduction's handshake, as it came.
        queue: What waits for its turn, in order: dispatches and, from the shell, its own tasks.
        busy: Whether something of the socket is running or about to. Kept by the crew.
        current: The dispatch that is running, for redeliveries of it.
        generation: The stream that the socket was last met on.
        facade: What the layers above keep of the socket.
    """

    __slots__ = ("busy", "current", "facade", "generation", "handshake", "id", "namespace", "queue")

    def __init__(self, socket_id: str, namespace: str, generation: int) -> None:
        self.id = socket_id
        self.namespace = namespace
        self.handshake = event_pb2.Handshake()
        self.queue: deque[Any] = deque()
        self.busy = False
        self.current: Dispatch | None = None
        self.generation = generation
        self.facade: Any = None


class Dispatch:
    """One dispatch on its way through this process."""

    __slots__ = ("generation", "id", "message", "name", "route", "socket")

    def __init__(self, message: handler_pb2.Dispatch, socket: SocketState, generation: int) -> None:
        self.message = message
        self.socket = socket
        self.generation = generation
        self.id = message.id
        # The name of an event is never empty on the wire, so this tells events apart without asking for the arm.
        self.name = message.event.name
        # Found by the shell, which knows the handlers.
        self.route: Any = None


class Received:
    """What a frame brought.

    Attributes:
        dispatches: New dispatches, in order.
        answers: Pairs of what was given to `command` as waiter and the answer to it.
        unlocked: Whether frames of ours were answered, so that more may be sent.
        welcome: The welcome, when it was one.
        draining: Whether the broker said that it is about to stop.
        topology: The replicas of the cluster, when they were told.
        fault: Something wrong with an action, for logs.
        unknown: Whether the frame was of a kind that this version does not know.
    """

    __slots__ = ("answers", "dispatches", "draining", "fault", "topology", "unknown", "unlocked", "welcome")

    def __init__(self) -> None:
        self.dispatches: list[Dispatch] = []
        self.answers: list[tuple[Any, command_pb2.Answer]] = []
        self.unlocked = False
        self.welcome: handler_pb2.Welcome | None = None
        self.draining = False
        self.topology: handler_pb2.Topology | None = None
        self.fault: command_pb2.Fault | None = None
        self.unknown = False
