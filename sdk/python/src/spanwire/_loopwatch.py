# SPDX-License-Identifier: Apache-2.0
"""The loop watch: finds a coroutine handler that blocks the event loop, and so all others."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from . import _log

__all__ = ["LoopWatch"]

_PATIENCE = 1.0  # seconds within which the loop must answer
_PAUSE = 0.5  # seconds between two checks


class LoopWatch:
    """Checks that the event loop responds while coroutine handlers run on it.

    Attributes:
        tasks: The running handlers, by task. Only the loop's thread changes it.
        parked: Whether the watch sleeps because no handler runs.
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
        """Resumes the checks, since a handler runs."""
        self._wake.set()

    def stop(self) -> None:
        """Stops the watch."""
        self._over = True
        self._wake.set()

    def _watch(self) -> None:
        while not self._over:
            self._wake.clear()
            self.parked = True
            # Checked after parking, so that a thread that adds a task now either wakes the watch or
            # is seen.
            if not self.tasks:
                self._wake.wait()
            self.parked = False
            while self.tasks and not self._over:
                if not self._alive():
                    return
                self._wake.wait(_PAUSE)

    def _alive(self) -> bool:
        """Checks once. Returns whether the loop still exists."""
        beat = threading.Event()
        try:
            self._loop.call_soon_threadsafe(beat.set)
        except RuntimeError:  # the loop is closed
            return False
        if beat.wait(_PATIENCE):
            return True
        _log.warning(
            "event loop blocked, so no other async handler runs (register a handler that blocks with def, or await in it)",
            **self._culprit(),
            duration=f"{_PATIENCE:g}s",
        )
        while not beat.wait(_PATIENCE):  # logged once
            if self._over:
                return False
        return True

    def _culprit(self) -> dict[str, Any]:
        """Returns the facts of the handler that the loop runs."""
        try:
            task: Any = asyncio.current_task(self._loop)
        except RuntimeError:
            task = None
        item = self.tasks.get(task)
        if item is None:
            return {}
        facts = {"event": item.name} if item.kind == "event" else {"handler": item.kind}
        facts["namespace"] = item.socket.namespace
        return facts
