# SPDX-License-Identifier: Apache-2.0
"""Who notices that a coroutine handler blocks the event loop, and with it every other coroutine handler."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

__all__ = ["LoopWatch"]

log = logging.getLogger("spanwire")

_PATIENCE = 1.0  # seconds in which the loop must answer
_PAUSE = 0.5  # seconds between two questions


class LoopWatch:
    """Asks the event loop for a sign of life while coroutine handlers run on it.

    Attributes:
        tasks: The handlers that run, by task. Changed by the loop's thread only.
        parked: Whether the watch sleeps because none runs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tasks: dict[asyncio.Task[None], Any] = {}
        self.parked = False
        self._loop = loop
        self._wake = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._watch, name="spanwire-loop-watch", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Has it look again, since a handler runs."""
        self._wake.set()

    def stop(self) -> None:
        """Ends it."""
        self._over = True
        self._wake.set()

    def _watch(self) -> None:
        while not self._over:
            self._wake.clear()
            self.parked = True
            # Asked after, so that who adds a task now either wakes it or is seen.
            if not self.tasks:
                self._wake.wait()
            self.parked = False
            while self.tasks and not self._over:
                if not self._alive():
                    return
                self._wake.wait(_PAUSE)

    def _alive(self) -> bool:
        """Asks once, and says whether there is a loop to ask."""
        beat = threading.Event()
        try:
            self._loop.call_soon_threadsafe(beat.set)
        except RuntimeError:  # the loop is closed
            return False
        if beat.wait(_PATIENCE):
            return True
        log.warning(
            "%s blocks the event loop for more than %g s, and no other async handler runs meanwhile:"
            " register a handler that blocks with def instead of async def, or let it await",
            self._culprit(),
            _PATIENCE,
        )
        while not beat.wait(_PATIENCE):  # said once
            if self._over:
                return False
        return True

    def _culprit(self) -> str:
        """Names the handler that the loop is in."""
        try:
            task: Any = asyncio.current_task(self._loop)
        except RuntimeError:
            task = None
        item = self.tasks.get(task)
        if item is None:
            return "something beside the service's handlers"
        what = f"event {item.name!r}" if item.kind == "event" else item.kind
        return f"the async handler of {what} in namespace {item.socket.namespace}"
