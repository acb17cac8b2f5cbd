# SPDX-License-Identifier: Apache-2.0
"""Who notices that a handler keeps a leader from reading, and that a broker waits for an answer."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Protocol

from ._lane import Lane, Runner, Work

__all__ = ["Watchdog"]

_TICK = 0.001  # the step, and the time after which the brokers' frames are answered without results
_CLEAN = 0.0016  # seconds that a tick may last if nobody else kept the interpreter meanwhile
_PATIENCE = 2  # clean ticks that a handler may keep the leader
_LONGEST = 0.05  # seconds that it may, clean or not
_QUIET = 50  # ticks without work after which the watchdog parks


class Watched(Protocol):
    """What the watchdog looks at. Implemented by the crew."""

    stopped: bool

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The streams."""

    def overtake(self, lane: Lane, leader: Runner) -> None:
        """Makes another thread the leader; the caller has taken the token."""


class Watchdog:
    """Looks at the leaders while there is something to do."""

    def __init__(self, crew: Watched, work: Work) -> None:
        self._crew = crew
        self._work = work
        self.armed = False
        self._alarm = threading.Lock()
        self._alarm.acquire()

    def arm(self) -> None:
        """Has it look, until there has been nothing to do for a while."""
        self.armed = True
        with contextlib.suppress(RuntimeError):  # released already
            self._alarm.release()

    def watch(self) -> None:
        """Watches until the crew is stopped."""
        while not self._crew.stopped:
            self._alarm.acquire()
            self._watch_while_active()

    def _watch_while_active(self) -> None:
        """Looks at the leaders at each tick, until there has been nothing to do for a while."""
        work = self._work
        quiet = 0
        now = time.monotonic()
        while not self._crew.stopped:
            time.sleep(_TICK)
            before, now = now, time.monotonic()
            work.answer_if_due()
            busy = False
            for lane in self._crew.lanes:
                leader = lane.leader
                if leader is not None and leader.token:
                    busy = True
                    self._look_at(lane, leader, before, now)
            if busy:
                quiet = 0
                continue
            quiet += 1
            if quiet < _QUIET:
                continue
            self.armed = False
            # Asked after, so that a leader who begins now either arms again or is seen.
            if not any(lane.active for lane in self._crew.lanes):
                return
            self.armed = True

    def _look_at(self, lane: Lane, leader: Runner, before: float, now: float) -> None:
        """Deposes a leader that its handler has kept for too long."""
        if leader.count != lane.last:
            lane.last, lane.clean, lane.since = leader.count, 0, now
            return
        self._work.flush()
        # A leader that makes no progress is not held up by its handler when it only waits for the interpreter or a
        # processor. Had somebody else kept those, this thread would have come late itself.
        lane.clean = lane.clean + 1 if now - before < _CLEAN else 0
        if now - lane.since > _LONGEST or (lane.clean >= _PATIENCE and not _runnable(leader.native)):
            # Should another handler have begun just now, it is overtaken in place of the one that was meant; no harm comes of it.
            try:
                leader.token.pop()
            except IndexError:
                return
            self._crew.overtake(lane, leader)


def _runnable(native: int) -> bool:
    """Says whether a thread wants a processor, rather than sleeps. False where the system does not tell."""
    try:
        with open(f"/proc/self/task/{native}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split(None, 1)[0] == b"R"
    except (OSError, IndexError):
        return False
