# SPDX-License-Identifier: Apache-2.0
"""Signals that begin a drain: those of `Service.run`, and those of a server that owns them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["drain_at", "stopping_on_signals"]


@contextlib.contextmanager
def stopping_on_signals(stop: threading.Event) -> Iterator[None]:
    """Sets an event at the first SIGINT or SIGTERM in the body; a second one acts as before.

    Args:
        stop: The event. Outside of the main thread no signal sets it.

    Yields:
        Nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)] or signal.SIG_DFL)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def drain_at(number: int, drain: Callable[[], None]) -> None:
    """Begins a drain at a signal, on a thread, then runs the present handler of the signal.

    Args:
        number: The signal. Without a handler it ends the process after the drain.
        drain: Drains, and returns when that is done.

    Raises:
        ValueError: This is not the main thread.
    """
    before = signal.getsignal(number)

    def finish() -> None:
        drain()
        if before == signal.SIG_DFL:
            os.kill(os.getpid(), number)

    def handle(_number: int, frame: Any) -> None:
        signal.signal(number, before if before is not None else signal.SIG_DFL)
        threading.Thread(target=finish, name="spanwire-drain").start()
        if callable(before):
            before(number, frame)

    signal.signal(number, handle)
