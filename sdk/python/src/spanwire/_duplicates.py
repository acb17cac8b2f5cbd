# SPDX-License-Identifier: Apache-2.0
"""Handlers that take effect once, although an event is handed out at least once."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from ._event import current_event
from ._routes import is_async

__all__ = ["Deduplicator", "DuplicateStore"]

_H = TypeVar("_H", bound=Callable[..., Any])

_RUNNING = "running"  # in the store, under the key of an event whose run is under way
_POLLS = 20  # how often within a lease the store is asked whether a run is over


class DuplicateStore(Protocol):
    """A key-value store that several processes share, for example Redis. Its methods are called from any thread."""

    def set_if_absent(self, key: str, value: str, keep: float) -> str | None:
        """Keeps the value for some seconds unless the key has one; returns the one it had, or None.

        In Redis: `SET key value NX GET PX milliseconds`.
        """

    def set(self, key: str, value: str, keep: float) -> None:
        """Keeps the value for some seconds, whatever the key had."""

    def delete(self, key: str) -> None:
        """Takes the key away."""


class _Run:
    """A run of a handler, under way or remembered."""

    __slots__ = ("good", "over", "value")

    def __init__(self) -> None:
        self.over = threading.Event()
        self.good = False
        self.value: Any = None


class Deduplicator:
    """Makes events take effect once that are handed out more than once.

    It is a decorator for handlers, below the one that registers them, and may serve many::

        once = spanwire.Deduplicator()

        @service.on("order")
        @once
        def order(socket, data):
            return place(data)

    An event whose first run is under way waits for it, and one that was handled is answered as it was then, without the handler.
    A run that raised does not count: the event is run again.

    In this process that holds for the last events, as many as `remember` says. Without a store it says nothing about other
    processes, nor about this one after it was started anew.

    A process that dies after the handler's effect, and before the store was told, leaves the effect without its mark, and the
    event is run again when the lease is over. Where that must not be, write the effect and the mark together: in one transaction
    of the database that the effect is in, under `current_event().id`.

    Args:
        store: Remembers for all processes that share it. Answers that JSON has no words for are not kept there: the event is then
            answered with nothing.
        remember: How many events are remembered in this process.
        lease: For how long a run keeps other processes from running the event, in seconds: longer than a run takes.
        keep: For how long the store is asked to remember, in seconds.
        prefix: What keys of the store begin with.
    """

    def __init__(
        self,
        store: DuplicateStore | None = None,
        *,
        remember: int = 16_384,
        lease: float = 60.0,
        keep: float = 3600.0,
        prefix: str = "spanwire:",
    ) -> None:
        self._store = store
        self._remember = remember
        self._lease = lease
        self._keep = keep
        self._prefix = prefix
        # Guarded by the lock.
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, _Run] = OrderedDict()

    def __call__(self, handler: _H) -> _H:
        """Makes a handler run once for each event.

        Args:
            handler: The handler.

        Returns:
            A handler in its place.
        """
        if is_async(handler):

            @functools.wraps(handler)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                key = self._key()
                if key is None:
                    return await handler(*args, **kwargs)
                first, run = await asyncio.to_thread(self._begin, key)
                if not first:
                    return run.value
                try:
                    value = await handler(*args, **kwargs)
                except BaseException:
                    await asyncio.to_thread(self._failed, key, run)
                    raise
                await asyncio.to_thread(self._done, key, run, value)
                return value

            return cast("_H", run_async)

        @functools.wraps(handler)
        def run_once(*args: Any, **kwargs: Any) -> Any:
            key = self._key()
            if key is None:
                return handler(*args, **kwargs)
            first, run = self._begin(key)
            if not first:
                return run.value
            try:
                value = handler(*args, **kwargs)
            except BaseException:
                self._failed(key, run)
                raise
            self._done(key, run, value)
            return value

        return cast("_H", run_once)

    def _key(self) -> str | None:
        """The key of the event that is being handled; None outside of handlers."""
        event = current_event()
        # The socket's id is drawn at random: a broker that was started anew might give out ids of events again.
        return None if event is None else f"{self._prefix}{event.socket_id}:{event.id:x}"

    def _begin(self, key: str) -> tuple[bool, _Run]:
        """Says whether the run is the caller's to carry out; else waits until it is over."""
        while True:
            with self._lock:
                run = self._runs.get(key)
                if run is None:
                    run = self._runs[key] = _Run()
                    break
            run.over.wait()
            if run.good:
                return False, run
        try:
            present = self._claim(key)
        except BaseException:
            self._drop(key, run)
            raise
        if present is None:
            return True, run
        self._keep_run(key, run, json.loads(present))
        return False, run

    def _claim(self, key: str) -> str | None:
        """Claims an event in the store; returns the answer that another process gave."""
        while self._store is not None:
            present = self._store.set_if_absent(key, _RUNNING, self._lease)
            if not present:
                return None
            if present != _RUNNING:
                return present
            time.sleep(self._lease / _POLLS)
        return None

    def _done(self, key: str, run: _Run, value: Any) -> None:
        self._keep_run(key, run, value)
        if self._store is not None:
            try:
                kept = json.dumps(value)
            except (TypeError, ValueError):
                kept = "null"
            self._store.set(key, kept, self._keep)

    def _failed(self, key: str, run: _Run) -> None:
        self._drop(key, run)
        if self._store is not None:
            self._store.delete(key)

    def _keep_run(self, key: str, run: _Run, value: Any) -> None:
        with self._lock:
            run.value, run.good = value, True
            self._runs.move_to_end(key)
            while len(self._runs) > self._remember and next(iter(self._runs.values())).good:
                self._runs.popitem(last=False)
        run.over.set()

    def _drop(self, key: str, run: _Run) -> None:
        with self._lock:
            self._runs.pop(key, None)
        run.over.set()
