# SPDX-License-Identifier: Apache-2.0
"""What the conversation knows of a socket and of a dispatch, and what it makes of a frame."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from ._proto import command_pb2, event_pb2, handler_pb2

__all__ = ["Dispatch", "Home", "Kind", "Received", "Recent", "SocketState", "State"]

Kind = Literal["event", "connect", "disconnect", "room", "message"]

# How many ids of messages are remembered, to tell that one came before.
_RECENT = 1024


class State(enum.Enum):
    """Where the conversation stands."""

    LOST = "lost"
    OPENING = "opening"
    ATTACHED = "attached"


class SocketState:
    """What this process knows of one socket.

    Attributes:
        id: The socket's id.
        namespace: The socket's namespace.
        handshake: The introduction's handshake, as it came.
        data: What is kept with the socket, as JSON, and its version, as this process knows them.
        recovered: Whether the client resumed the socket.
        refused: Whether a handler did not let the socket in.
        gone: Whether the socket is not there any more.
        left: The rooms that the socket was in when it went.
        queue: What waits for its turn, in order: dispatches and, from the shell, its own tasks.
        busy: Whether something of the socket is running or about to. Kept by the crew.
        current: The dispatch that is running, for redeliveries of it.
        generation: The stream that the socket was last met on.
        facade: What the layers above keep of the socket.
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
        """Remembers what is kept with the socket, unless something later is known.

        Args:
            data: The data as JSON.
            version: Its version.
        """
        if version > self.data[1]:
            self.data = (data, version)


class Recent:
    """The ids of the messages that came last: an instance that is attached to several replicas gets each over all of them."""

    def __init__(self) -> None:
        self._ids: dict[int, object] = {}

    def seen(self, number: int) -> bool:
        """Says whether an id came before, and remembers it. Allowed from any thread.

        Args:
            number: The dispatch's id.

        Returns:
            True when it did.
        """
        mine = object()
        # One step, so that of two threads with the same id only one is the first.
        if self._ids.setdefault(number, mine) is not mine:
            return True
        if len(self._ids) > _RECENT:
            self._ids.pop(next(iter(self._ids)), None)
        return False


class Home(Protocol):
    """What a dispatch comes from and its result goes to: a conversation, or what stands in for one."""

    generation: int
    state: State
    memory: Any
    link: Any

    def stale(self, dispatch: Dispatch) -> bool:
        """Says whether the dispatch must not start any more."""

    def resolve(self, dispatch: Dispatch, args: bytes | None = None, attachments: Sequence[bytes] = ()) -> None:
        """Resolves the dispatch."""

    def refuse(self, dispatch: Dispatch, message: str = "", data: bytes = b"") -> None:
        """Refuses a connect."""

    def fail(self, dispatch: Dispatch, message: str, *, keep: bool = False) -> None:
        """Resolves the dispatch as failed."""

    def recall(self, number: int) -> bool:
        """Queues the remembered result of a dispatch; says whether there is one."""


class Dispatch:
    """One dispatch on its way through this process.

    Attributes:
        home: The conversation that it came over, and that its result goes to; another one when it is redelivered while it runs.
    """

    __slots__ = ("generation", "home", "id", "kind", "message", "name", "route", "socket")

    def __init__(self, message: handler_pb2.Dispatch, socket: SocketState, home: Home, generation: int) -> None:
        self.message = message
        self.socket = socket
        self.home = home
        self.generation = generation
        self.id = message.id
        # The name of an event is never empty on the wire, so this tells events apart without asking for the arm.
        self.name = message.event.name
        self.kind: Kind = "event"
        # Found by the shell, which knows the handlers.
        self.route: Any = None


class Received:
    """What a frame brought.

    Attributes:
        dispatches: New dispatches, in order.
        answers: Pairs of what was given to `command` as waiter and the answer to it.
        ordinary: Whether it was a batch, or an answer to one.
        unlocked: Whether frames of ours were answered, so that more may be sent.
        welcome: The welcome, when it was one.
        draining: Whether the broker said that it is about to stop.
        registered: The answer to changed registrations.
        topology: The replicas of the cluster, when they were told.
        fault: Something wrong with an action, for logs.
        unknown: Whether the frame was of a kind that this version does not know.
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
