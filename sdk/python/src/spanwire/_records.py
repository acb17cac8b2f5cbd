# SPDX-License-Identifier: Apache-2.0
"""The records of a conversation: a socket, a dispatch, and the contents of a frame."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from ._proto import command_pb2, event_pb2, handler_pb2

__all__ = ["Dispatch", "Home", "Kind", "Received", "Recent", "SocketState", "State"]

Kind = Literal["event", "connect", "disconnect", "room", "message"]

# The number of message ids that are remembered to recognise a repeated one.
_RECENT = 1024


class State(enum.Enum):
    """The state of the conversation."""

    LOST = "lost"
    OPENING = "opening"
    ATTACHED = "attached"


class SocketState:
    """The state of one socket in this process.

    Attributes:
        id: The socket's id.
        namespace: The socket's namespace.
        handshake: The handshake of the introduction.
        data: The data that is stored with the socket, as JSON, and its version, as far as this
            process knows.
        recovered: Whether the client resumed the socket.
        refused: Whether a handler refused the socket.
        gone: Whether the socket has disconnected.
        left: The rooms that the socket was in when it disconnected.
        queue: The items that wait for their turn, in order: dispatches and tasks of the shell.
        busy: Whether an item of the socket runs or is about to. Kept by the scheduler.
        current: The dispatch that runs, for redeliveries of it.
        generation: The stream that the socket arrived on last.
        facade: The object that the layers above keep for the socket.
    """

    __slots__ = (
        "busy",
        "current",
        "data",
        "facade",
        "generation",
        "gone",
        "handshake",
        "id",
        "left",
        "namespace",
        "queue",
        "recovered",
        "refused",
    )

    def __init__(self, socket_id: str, namespace: str, generation: int) -> None:
        self.id = socket_id
        self.namespace = namespace
        self.handshake = event_pb2.Handshake()
        self.data: tuple[bytes, int] = (b"", 0)
        self.recovered = False
        self.refused = False
        self.gone = False
        self.left: tuple[str, ...] = ()
        self.queue: deque[Any] = deque()
        self.busy = False
        self.current: Dispatch | None = None
        self.generation = generation
        self.facade: Any = None

    def keep(self, data: bytes, version: int) -> None:
        """Stores data of the socket, unless a later version is known.

        Args:
            data: The data as JSON.
            version: Its version.
        """
        if version > self.data[1]:
            self.data = (data, version)


class Recent:
    """The ids of recent messages; each attached replica delivers every message."""

    def __init__(self) -> None:
        self._ids: dict[int, object] = {}

    def seen(self, number: int) -> bool:
        """Returns whether an id came before, and remembers it. Safe from any thread.

        Args:
            number: The dispatch's id.

        Returns:
            True when it did.
        """
        mine = object()
        # One step, so that of two threads with the same id exactly one is the first.
        if self._ids.setdefault(number, mine) is not mine:
            return True
        if len(self._ids) > _RECENT:
            self._ids.pop(next(iter(self._ids)), None)
        return False


class Home(Protocol):
    """The origin of a dispatch and the receiver of its result: a conversation or a substitute."""

    generation: int
    state: State
    memory: Any
    link: Any

    def stale(self, dispatch: Dispatch) -> bool:
        """Returns whether the dispatch must not start any more."""

    def resolve(self, dispatch: Dispatch, args: bytes | None = None, attachments: Sequence[bytes] = ()) -> None:
        """Resolves the dispatch."""

    def refuse(self, dispatch: Dispatch, message: str = "", data: bytes = b"") -> None:
        """Refuses a connect."""

    def fail(self, dispatch: Dispatch, message: str, *, keep: bool = False) -> None:
        """Resolves the dispatch as failed."""

    def recall(self, number: int) -> bool:
        """Queues the remembered result of a dispatch. Returns whether there is one."""


class Dispatch:
    """One dispatch in this process.

    Attributes:
        home: The conversation that it arrived over and that its result goes to; another one after a
            redelivery while it runs.
    """

    __slots__ = ("generation", "home", "id", "kind", "message", "name", "route", "socket")

    def __init__(self, message: handler_pb2.Dispatch, socket: SocketState, home: Home, generation: int) -> None:
        self.message = message
        self.socket = socket
        self.home = home
        self.generation = generation
        self.id = message.id
        # The name of an event is not empty on the wire, so this recognises events without asking
        # for the arm.
        self.name = message.event.name
        self.kind: Kind = "event"
        # Set by the shell, which has the handlers.
        self.route: Any = None


class Received:
    """The contents of a frame.

    Attributes:
        dispatches: New dispatches, in order.
        answers: Pairs of the waiter that was passed to `command` and the answer.
        ordinary: Whether the frame is a batch, or an answer to one.
        unlocked: Whether sent frames were answered, so that more may be sent.
        welcome: The welcome, if the frame is one.
        draining: Whether the broker drains.
        registered: The answer to changed registrations.
        topology: The replicas of the cluster, if the frame lists them.
        fault: The fault of an action, for the log.
        unknown: Whether this version does not know the kind of the frame.
    """

    __slots__ = (
        "answers",
        "dispatches",
        "draining",
        "fault",
        "ordinary",
        "registered",
        "topology",
        "unknown",
        "unlocked",
        "welcome",
    )

    def __init__(self) -> None:
        self.dispatches: list[Dispatch] = []
        self.answers: list[tuple[Any, command_pb2.Answer]] = []
        self.ordinary = False
        self.unlocked = False
        self.welcome: handler_pb2.Welcome | None = None
        self.draining = False
        self.registered: handler_pb2.Registered | None = None
        self.topology: handler_pb2.Topology | None = None
        self.fault: command_pb2.Fault | None = None
        self.unknown = False
