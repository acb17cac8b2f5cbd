# SPDX-License-Identifier: Apache-2.0
"""What the crew is made of: streams and their leaders, threads, and what stands in line. The rules are in `_crew.py`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ._routes import Route

__all__ = ["Alone", "Item", "Lane", "Runner", "Source", "Turn", "Work"]


class Turn(Protocol):
    """What items are run one after another for: a socket, mostly."""

    queue: deque[Any]
    busy: bool


class Item(Protocol):
    """One thing to run for a socket: a dispatch or a task."""

    socket: Any
    route: Route | None


class Work(Protocol):
    """What the crew works for. Implemented by the links."""

    def perform(self, item: Any) -> None:
        """Runs one item to its end. Never raises."""

    def perform_async(self, items: list[Any], done: Callable[[Any], None]) -> None:
        """Starts items with coroutine handlers; calls done with each when it has ended, from any thread."""

    def flush(self) -> None:
        """Sends what is queued, if the windows allow. Never blocks."""

    def answer_if_due(self) -> None:
        """Answers the brokers' frames if they wait for that. Never blocks."""


class Source(Protocol):
    """Where items come from. Implemented by a link."""

    def read(self) -> Sequence[Item] | None:
        """Waits for items. None means that there will be no more. Called by the leader only."""


class Alone:
    """The turn of an item that is in turn with nothing."""

    __slots__ = ("busy", "queue")

    def __init__(self, item: Item) -> None:
        self.queue: deque[Any] = deque((item,))
        self.busy = True


class Runner:
    """One thread of the crew."""

    __slots__ = ("count", "ident", "item", "lane", "native", "token", "wake")

    def __init__(self) -> None:
        self.ident = 0
        self.native = 0
        self.count = 0  # items begun; tells the watchdog whether time has passed in one handler
        self.item: Any = None
        self.lane: Lane | None = None  # that it leads
        # Holds one element while a handler of the leader runs. Taking it is atomic, so only one side gets it.
        self.token: list[None] = []
        self.wake = threading.Lock()
        self.wake.acquire()


class Lane:
    """One stream and its leader."""

    __slots__ = ("active", "clean", "coroutines", "last", "leader", "ready", "since", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.leader: Runner | None = None
        # Owned by the leader.
        self.ready: deque[Turn] = deque()
        self.coroutines: list[Any] = []
        self.active = False
        # Of the watchdog.
        self.last = self.clean = 0
        self.since = 0.0
