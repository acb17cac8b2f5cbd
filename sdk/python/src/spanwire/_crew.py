# SPDX-License-Identifier: Apache-2.0
"""Who runs the handlers: one thread that leads, and others that take over when it is held up.

The rules:

- The leader reads the stream and runs the handlers itself, one after another, without handing anything to another thread. That
  is what makes an event cheap: a hop to another thread costs more than the rest of the event.
- While a handler runs, the leader's token lies on the table. Whoever takes it decides: the leader, when the handler has returned,
  goes on leading; the watchdog, when the handler has kept it for about two milliseconds, makes another thread the leader. The
  overtaken thread finishes its socket's queue and is then free for other work.
- A handler that was overtaken is slow: its next events go straight to threads of their own, 16 of them, and twice as many each
  time that the leader then tries it and is held up again. So handlers that wait for a database do so side by side, and
  one that was slow by accident is soon run by the leader again.
- At most `workers` handlers are held up at a time. When that many are, the leader runs none itself: it goes on reading, so
  that answers still come in, and what is ready waits for a thread.
- One socket's items run one after another: a socket is in one thread's hands, or in one queue, or idle.
- Coroutine handlers run on an event loop in a thread of their own.

Only the leader appends to a socket's queue, and only whoever has the socket in hands takes from it. The leader does both
without a lock for sockets in its own hands; everybody else holds the lock.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ._records import SocketState
from ._routes import Route

__all__ = ["Crew", "Item", "Work"]

_TICK = 0.001  # the watchdog's step, and the time after which the broker's frames are answered without results
_CLEAN = 0.0016  # seconds that a tick may last if nobody else kept the interpreter meanwhile
_PATIENCE = 2  # clean ticks that a handler may keep the leader
_LONGEST = 0.05  # seconds that it may, clean or not
_QUIET = 50  # ticks without work after which the watchdog parks
_SLOW, _SLOWEST = 16, 4096  # events of a slow handler that the leader does not run
_GRUDGE = 5.0  # seconds of good behaviour after which a handler's record is clean
_FLUSH_EVERY = 64  # results after which the leader sends without having finished


class Item(Protocol):
    """One thing to run for a socket: a dispatch or a task."""

    socket: SocketState
    route: Route | None


class Work(Protocol):
    """What the crew works for. Implemented by the link."""

    def read(self) -> Sequence[Item] | None:
        """Waits for items. None means that there will be no more. Called by the leader only."""

    def perform(self, item: Any) -> None:
        """Runs one item to its end. Never raises."""

    def perform_async(self, items: list[Any], done: Callable[[SocketState], None]) -> None:
        """Starts items with coroutine handlers; calls done for each when it has ended, from any thread."""

    def flush(self) -> None:
        """Sends what is queued, if the window allows. Never blocks."""

    def answer_if_due(self) -> None:
        """Answers the broker's frames if it waits for that. Never blocks."""


class _Runner:
    """One thread of the crew."""

    __slots__ = ("count", "ident", "item", "native", "token", "wake")

    def __init__(self) -> None:
        self.ident = 0
        self.native = 0
        self.count = 0  # items begun; tells the watchdog whether time has passed in one handler
        self.item: Any = None
        # Holds one element while a handler of the leader runs. Taking it is atomic, so only one side gets it.
        self.token: list[None] = []
        self.wake = threading.Lock()
        self.wake.acquire()


class Crew:
    """The threads that run one link's handlers."""

    def __init__(self, work: Work, workers: int, name: str) -> None:
        # Fixed at birth.
        self._work = work
        self._workers = workers
        self._name = name
        # Owned by the leader.
        self._ready: deque[SocketState] = deque()
        self._coroutines: list[Any] = []
        # Guarded by the lock.
        self._lock = threading.Lock()
        self._leader: _Runner | None = None
        self._idle: list[_Runner] = []
        self._handed: deque[SocketState] = deque()
        self._threads: list[threading.Thread] = []
        self._held = 0  # threads in a handler beside the leader
        self._pending = 0  # sockets on the event loop
        self._stopped = False
        self._ended = threading.Event()
        # Of the watchdog.
        self._armed = False
        self._active = False
        self._alarm = threading.Lock()
        self._alarm.acquire()

    # The crew's life.

    def start(self) -> None:
        """Starts the first thread and the watchdog."""
        watchdog = threading.Thread(target=self._watch, name=f"{self._name}-watchdog", daemon=True)
        with self._lock:
            self._threads.append(watchdog)
            self._spawn()
        watchdog.start()

    def stop(self, timeout: float) -> bool:
        """Lets the threads go when they have finished what they do; the work must have ended reading by then.

        Args:
            timeout: How long to wait for them, in seconds.

        Returns:
            Whether all of them have gone.
        """
        with self._lock:
            self._stopped = True
            while self._idle:
                self._idle.pop().wake.release()
            self._arm()
        deadline = time.monotonic() + timeout
        for thread in list(self._threads):
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(t.is_alive() for t in self._threads if t is not threading.current_thread())

    def about_to_block(self) -> None:
        """Gives the lead away when the calling handler has it, before a wait that is known to be one."""
        leader = self._leader
        if leader is None or leader.ident != threading.get_ident():
            return
        try:
            leader.token.pop()
        except IndexError:
            return
        self._overtake(leader)

    def leading(self) -> bool:
        """Says whether the calling thread leads, so that what it queues is sent soon without its doing."""
        leader = self._leader
        return leader is not None and leader.ident == threading.get_ident() and bool(leader.token)

    def running(self) -> bool:
        """Says whether a handler is running, or something waits for one."""
        leader = self._leader
        return bool(self._ready or self._handed or self._held or self._pending or (leader is not None and leader.token))

    # One thread's life.

    def _spawn(self) -> None:
        """Starts a thread; the lock is held."""
        runner = _Runner()
        thread = threading.Thread(target=self._main, args=(runner,), name=f"{self._name}-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _main(self, me: _Runner) -> None:
        me.ident = threading.get_ident()
        me.native = threading.get_native_id()
        while True:
            socket = None
            lead = False
            with self._lock:
                if self._leader is None and not self._stopped:
                    self._leader = me
                    lead = True
                elif self._handed and self._held < self._workers:
                    socket = self._handed.popleft()
                    self._held += 1
                elif self._stopped:
                    return
                else:
                    self._idle.append(me)
            if lead:
                self._lead(me)
            elif socket is not None:
                self._serve(socket)
            else:
                me.wake.acquire()

    def _lead(self, me: _Runner) -> None:
        """Reads and works until another thread leads, or there is nothing more to read."""
        work = self._work
        while True:
            if not self._work_ready(me):
                return
            if self._coroutines:
                self._submit()
            work.flush()
            self._active = False
            items = work.read()
            if items is None:
                with self._lock:
                    self._stopped = True
                    self._leader = None
                    while self._idle:
                        self._idle.pop().wake.release()
                return
            self._active = True
            if not self._armed:
                self._arm()
            self._take_in(items)

    def _take_in(self, items: Sequence[Item]) -> None:
        """Puts what came into the queues of its sockets."""
        ready = self._ready
        with self._lock:
            for item in items:
                socket = item.socket
                socket.queue.append(item)
                if not socket.busy:
                    socket.busy = True
                    ready.append(socket)

    def _work_ready(self, me: _Runner) -> bool:
        """Runs what is ready. Says whether the thread still leads."""
        ready = self._ready
        token = me.token
        perform = self._work.perform
        done = 0
        while ready:
            socket = ready.popleft()
            queue = socket.queue
            item = queue.popleft()
            route = item.route
            if route is not None and (route.asynchronous or route.slow or self._held >= self._workers):
                self._hand_over(socket, item)
                continue
            me.item = item
            me.count += 1
            token.append(None)
            perform(item)
            try:
                token.pop()
            except IndexError:
                self._serve(socket)
                return False
            if queue:
                ready.append(socket)
            else:
                socket.busy = False
            done += 1
            if not done % _FLUSH_EVERY:
                if self._coroutines:
                    self._submit()
                self._work.flush()
        return True

    def _hand_over(self, socket: SocketState, item: Item) -> None:
        """Gives a socket to another thread, or its item to the event loop."""
        if item.route is not None and item.route.asynchronous:
            self._coroutines.append(item)
            return
        with self._lock:
            socket.queue.appendleft(item)
            self._handed.append(socket)
            if self._held + len(self._handed) <= self._workers:
                self._call_in()

    def _call_in(self) -> None:
        """Wakes or starts a thread; the lock is held."""
        if self._idle:
            self._idle.pop().wake.release()
        elif len(self._threads) < self._workers + 2:  # the leader and the watchdog
            self._spawn()
        # Else a thread is on its way back from a handler, and looks for work first.

    def _serve(self, socket: SocketState) -> None:
        """Works through one socket's queue, as one of the threads that may be held up."""
        work = self._work
        work.flush()
        while True:
            with self._lock:
                if not socket.queue:
                    socket.busy = False
                    self._held -= 1
                    return
                item = socket.queue.popleft()
            route = item.route
            if route is not None and route.asynchronous:
                with self._lock:
                    self._held -= 1
                    self._pending += 1
                work.perform_async([item], self._finished)
                return
            work.perform(item)
            if route is not None and route.slow:
                route.slow -= 1
            work.flush()

    def _submit(self) -> None:
        items, self._coroutines = self._coroutines, []
        with self._lock:
            self._pending += len(items)
        self._work.perform_async(items, self._finished)

    def _finished(self, socket: SocketState) -> None:
        """Goes on with a socket whose coroutine has ended."""
        with self._lock:
            self._pending -= 1
            if not socket.queue:
                socket.busy = False
                return
            item = socket.queue[0]
            if item.route is None or not item.route.asynchronous:
                self._handed.append(socket)
                if self._held + len(self._handed) <= self._workers:
                    self._call_in()
                return
            socket.queue.popleft()
            self._pending += 1
        self._work.perform_async([item], self._finished)

    # The watchdog.

    def _overtake(self, leader: _Runner) -> None:
        """Makes another thread the leader; the caller has taken the token."""
        item = leader.item
        if item is not None and item.route is not None:
            _mark_slow(item.route)
        with self._lock:
            self._leader = None
            self._held += 1
            self._call_in()

    def _arm(self) -> None:
        self._armed = True
        with contextlib.suppress(RuntimeError):  # released already
            self._alarm.release()

    def _watch(self) -> None:
        while not self._stopped:
            self._alarm.acquire()
            self._watch_while_active()

    def _watch_while_active(self) -> None:
        """Looks at the leader at each tick, until there has been nothing to do for a while."""
        work = self._work
        quiet = clean = last = 0
        now = since = time.monotonic()
        while not self._stopped:
            time.sleep(_TICK)
            before, now = now, time.monotonic()
            work.answer_if_due()
            leader = self._leader
            if leader is None or not leader.token:
                quiet += 1
                if quiet < _QUIET:
                    continue
                self._armed = False
                # Asked after, so that a leader who begins now either arms again or is seen.
                if not self._active:
                    return
                self._armed = True
                continue
            quiet = 0
            if leader.count != last:
                last, clean, since = leader.count, 0, now
                continue
            work.flush()
            # A leader that makes no progress is not held up by its handler when it only waits for the interpreter or a
            # processor. Had somebody else kept those, this thread would have come late itself.
            clean = clean + 1 if now - before < _CLEAN else 0
            if now - since > _LONGEST or (clean >= _PATIENCE and not _runnable(leader.native)):
                self._depose(leader)

    def _depose(self, leader: _Runner) -> None:
        # Should another handler have begun just now, it is overtaken in place of the one that was meant; no harm comes of it.
        try:
            leader.token.pop()
        except IndexError:
            return
        self._overtake(leader)


def _mark_slow(route: Route) -> None:
    now = time.monotonic()
    route.strikes = min(route.strikes * 2, _SLOWEST) if route.strikes and now - route.struck < _GRUDGE else _SLOW
    route.struck = now
    route.slow = route.strikes


def _runnable(native: int) -> bool:
    """Says whether a thread wants a processor, rather than sleeps. False where the system does not tell."""
    try:
        with open(f"/proc/self/task/{native}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split(None, 1)[0] == b"R"
    except (OSError, IndexError):
        return False
