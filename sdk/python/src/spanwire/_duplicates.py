# SPDX-License-Identifier: Apache-2.0
"""The deduplicator: handlers that take effect once, although delivery is at least once."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from ._checks import check_callable
from ._event import current_event
from ._routes import is_async

__all__ = ["Deduplicator", "DuplicateStore"]

_H = TypeVar("_H", bound=Callable[..., Any])

_RUNNING = "running"  # the value in the store while a run is under way
_POLLS = 20  # how often within a lease the store is asked whether a run has ended


class DuplicateStore(Protocol):
    """A key-value store that several processes share, for example Redis.

    Its methods are called from any thread.
    """

    def set_if_absent(self, key: str, value: str, keep: float) -> str | None:
        """Stores the value for some seconds unless the key has one; returns that one, or None.

        In Redis: `SET key value NX GET PX milliseconds`.
        """

    def set(self, key: str, value: str, keep: float) -> None:
        """Stores the value for some seconds, replacing the present one."""

    def delete(self, key: str) -> None:
        """Deletes the key."""


class _Run:
    """A run of a handler, under way or remembered."""

    __slots__ = ("good", "over", "value")

    def __init__(self) -> None:
        self.over = threading.Event()
        self.good = False
        self.value: Any = None


class Deduplicator:
    """Makes events take effect once, although they may be delivered more than once.

    Use it for handlers whose effect must not be repeated, such as a payment.

    It decorates handlers, below the decorator that registers them, and may serve many::

        once = spanwire.Deduplicator()

        @service.on("order")
        @once
        def order(socket, data):
            return place(data)

    An event whose first run is under way waits for it. An event that was handled is answered as it
    was then, without the handler. A run that raised does not count: the event runs again.

    In this process that holds for the last `remember` events. Without a store it does not cover
    other processes, nor this one after a restart.

    A process that dies after the handler's effect, and before the store was written, leaves the
    effect without its mark, and the event runs again when the lease has expired. Where that must
    not happen, write the effect and the mark together: in one transaction of the database that
    holds the effect, under `current_event().id`.

    Args:
        store: Remembers events for all processes that share it. Answers that JSON cannot represent
            are not stored: the event is then answered without arguments.
        remember: How many events are remembered in this process.
        lease: How long a run keeps other processes from running the event, in seconds: longer than
            a run takes.
        keep: How long the store remembers, in seconds.
        prefix: The prefix of the keys in the store.
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
        """Makes a handler run once for each event. Cancelling a coroutine lets the event run again.

        Args:
            handler: The handler.

        Returns:
            The handler with the check.
        """
        check_callable(handler, "handler")
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
        """Returns the key of the event that is being handled; None outside of handlers."""
        event = current_event()
        # The socket's id is random, while a broker that has restarted may repeat ids of events.
        return None if event is None else f"{self._prefix}{event.socket_id}:{event.id:x}"

    def _begin(self, key: str) -> tuple[bool, _Run]:
        """Returns whether the caller has to run the handler; otherwise waits for the other run."""
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
        """Claims an event in the store; returns the answer of another process, if there is one."""
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
