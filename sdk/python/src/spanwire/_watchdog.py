# SPDX-License-Identifier: Apache-2.0
"""The watchdog: finds handlers that block a leader, and brokers that wait for a frame ack."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Protocol

from ._lane import Stream, Work, Worker

__all__ = ["Watchdog"]

# The step, and the time after which the brokers' frames are acknowledged without results.
_TICK = 0.001
_CLEAN = 0.0016  # seconds that a tick may last when no other thread kept the interpreter meanwhile
_PATIENCE = 2  # clean ticks that a handler may keep the leader
_LONGEST = 0.05  # seconds that a handler may keep it in any case
_QUIET = 50  # ticks without work after which the watchdog parks


class Watched(Protocol):
    """What the watchdog observes. `Scheduler` implements it."""

    stopped: bool

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams."""

    def overtake(self, stream: Stream, leader: Worker) -> None:
        """Makes another thread the leader. The caller has taken the token."""


class Watchdog:
    """Observes the leaders while there is work."""

    def __init__(self, scheduler: Watched, work: Work) -> None:
        self._scheduler = scheduler
        self._work = work
        self.armed = False
        self._alarm = threading.Lock()
        self._alarm.acquire()

    def arm(self) -> None:
        """Starts to observe, until there has been no work for a while."""
        self.armed = True
        with contextlib.suppress(RuntimeError):  # it was released already
            self._alarm.release()

    def watch(self) -> None:
        """Watches until the scheduler is stopped."""
        while not self._scheduler.stopped:
            self._alarm.acquire()
            self._watch_while_active()

    def _watch_while_active(self) -> None:
        """Observes the leaders at each tick, until there has been no work for a while."""
        work = self._work
        quiet = 0
        now = time.monotonic()
        while not self._scheduler.stopped:
            time.sleep(_TICK)
            before, now = now, time.monotonic()
            work.answer_if_due()
            busy = False
            for stream in self._scheduler.streams:
                leader = stream.leader
                if leader is not None and leader.token:
                    busy = True
                    self._look_at(stream, leader, before, now)
            if busy:
                quiet = 0
                continue
            quiet += 1
            if quiet < _QUIET:
                continue
            self.armed = False
            # Checked after disarming, so that a leader that begins now either arms again or is
            # seen.
            if not any(stream.active for stream in self._scheduler.streams):
                return
            self.armed = True

    def _look_at(self, stream: Stream, leader: Worker, before: float, now: float) -> None:
        """Overtakes a leader that its handler has kept for too long."""
        if leader.count != stream.last:
            stream.last, stream.clean, stream.since = leader.count, 0, now
            return
        self._work.flush()
        # A leader that makes no progress is not blocked by its handler when it only waits for the
        # interpreter or a processor. Had another thread kept those, this thread would have woken
        # late itself.
        stream.clean = stream.clean + 1 if now - before < _CLEAN else 0
        if now - stream.since > _LONGEST or (stream.clean >= _PATIENCE and not _runnable(leader.native)):
            # If another handler has begun just now, it is overtaken instead, which does no harm.
            try:
                leader.token.pop()
            except IndexError:
                return
            self._scheduler.overtake(stream, leader)


def _runnable(native: int) -> bool:
    """Returns whether a thread wants a processor; False where the system does not report it."""
    try:
        with open(f"/proc/self/task/{native}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split(None, 1)[0] == b"R"
    except (OSError, IndexError):
        return False
