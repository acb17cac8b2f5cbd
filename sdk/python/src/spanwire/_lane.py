# SPDX-License-Identifier: Apache-2.0
"""The parts of the scheduler: lanes, streams with their leaders, and threads.

`_scheduler.py` has the rules.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ._routes import Route

__all__ = ["Item", "Lane", "SingleLane", "Source", "Stream", "Work", "Worker"]


class Lane(Protocol):
    """The ordered queue of items that run one after another: a socket, usually."""

    queue: deque[Any]
    busy: bool


class Item(Protocol):
    """One thing to run for a socket: a dispatch or a task."""

    socket: Any
    route: Route | None


class Work(Protocol):
    """Runs items for the scheduler. `Links` implements it."""

    def invoke(self, item: Any) -> None:
        """Runs one item to its end. Never raises."""

    def invoke_async(self, items: list[Any], done: Callable[[Any], None]) -> None:
        """Starts items with coroutine handlers; calls `done` after each, from any thread."""

    def flush(self) -> None:
        """Sends what is queued, if the windows allow it. Never blocks."""

    def answer_if_due(self) -> None:
        """Acknowledges the brokers' frames if they wait for that. Never blocks."""


class Source(Protocol):
    """Delivers items. `Link` implements it."""

    def read(self) -> Sequence[Item] | None:
        """Waits for items; None means the end. Only the leader calls it."""


class SingleLane:
    """The lane of an item that runs beside all others."""

    __slots__ = ("busy", "queue")

    def __init__(self, item: Item) -> None:
        self.queue: deque[Any] = deque((item,))
        self.busy = True


class Worker:
    """One thread of the scheduler."""

    __slots__ = ("count", "ident", "item", "native", "stream", "token", "wake")

    def __init__(self) -> None:
        self.ident = 0
        self.native = 0
        self.count = 0  # of items begun, in which the watchdog sees progress
        self.item: Any = None
        self.stream: Stream | None = None  # the stream that it leads
        # Holds one element while the leader runs a handler. Taking it is atomic, so one side gets
        # it.
        self.token: list[None] = []
        self.wake = threading.Lock()
        self.wake.acquire()


class Stream:
    """One stream and the thread that leads it."""

    __slots__ = ("active", "clean", "coroutines", "last", "leader", "ready", "since", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.leader: Worker | None = None
        # Owned by the leader.
        self.ready: deque[Lane] = deque()
        self.coroutines: list[Any] = []
        self.active = False
        # Owned by the watchdog.
        self.last = self.clean = 0
        self.since = 0.0
