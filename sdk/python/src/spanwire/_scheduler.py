# SPDX-License-Identifier: Apache-2.0
"""The scheduler: which thread runs which handler.

Each stream has one thread that leads it. Other threads, shared by all streams, take over when a
handler blocks its leader.

The rules:

- The leader of a stream reads it and runs the handlers itself, one after another, without passing
  anything to another thread. That keeps an event cheap: a hop to another thread costs more than the
  rest of the event. A stream without traffic costs one sleeping thread, its leader.
- While a handler runs, the leader's token is available. The side that takes it decides: the leader,
  when the handler has returned, goes on leading; the watchdog, when the handler has run for about
  two milliseconds, makes another thread the leader. The overtaken thread finishes its socket's
  queue and is then free for other work.
- A handler that was overtaken is slow: its next 16 events go straight to threads of their own, and
  twice as many each time that the leader tries the handler again and is blocked again. So handlers
  that wait for a database run side by side, and a handler that was slow by accident soon runs on
  the leader again.
- At most `workers` handlers block at a time, those of all streams together. At that limit leaders
  run no handlers: they go on reading, so that answers still arrive, and ready items wait for a
  thread.
- One event occupies at most three quarters of the workers that others leave free, and may always
  occupy one. So a handler that never returns takes some threads and delays its own event, but no
  other event.
- The items of one socket run one after another: a socket is with one thread, or in one queue, or
  idle. Its items may arrive over several streams. A concurrent item has a lane of its own.
- Coroutine handlers run on an event loop in a thread of their own.

Only leaders append to a socket's queue, holding the lock, and only the thread that has the socket
takes from it. A leader takes without the lock; every other thread holds it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from ._lane import Item, Lane, SingleLane, Source, Stream, Work, Worker
from ._routes import Route
from ._watchdog import Watchdog

__all__ = ["Scheduler", "current_item"]

_SLOW, _SLOWEST = 16, 4096  # events that a leader does not run of a slow handler: at first, at most
_PENALTY_MEMORY = 5.0  # seconds without another block after which a handler's penalty starts again
_FLUSH_EVERY = 64  # results after which the leader flushes before it has finished


class _Current(threading.local):
    worker: Worker | None = None


_current = _Current()


def current_item() -> Any:
    """Returns the item that the calling thread runs for a scheduler, or None."""
    worker = _current.worker
    return None if worker is None else worker.item


class Scheduler:
    """The threads that run an instance's handlers."""

    def __init__(self, work: Work, workers: int, name: str) -> None:
        # Fixed at birth.
        self._work = work
        self._workers = workers
        self._name = name
        # Guarded by the lock. The tuple of streams is replaced rather than changed, so that the
        # watchdog may read it.
        self._lock = threading.Lock()
        self.streams: tuple[Stream, ...] = ()
        self._vacant: deque[Stream] = deque()  # without a leader
        self._idle: list[Worker] = []
        self._ready_lanes: deque[Lane] = deque()
        # Lanes that wait because their event has its share of the workers.
        self._over_share: dict[Route, deque[Lane]] = {}
        self._waiting = 0  # lanes in the two above
        self._threads: list[threading.Thread] = []
        self._held = 0  # threads in a handler, beside leaders
        self._pending = 0  # items on the event loop
        self.stopped = False
        self._watchdog = Watchdog(self, work)

    # The life of the scheduler.

    def start(self) -> None:
        """Starts the watchdog."""
        watchdog = threading.Thread(target=self._watchdog.watch, name=f"{self._name}-watchdog", daemon=True)
        with self._lock:
            self._threads.append(watchdog)
        watchdog.start()

    def add(self, source: Source) -> None:
        """Adds a source, which a thread reads until it ends.

        Args:
            source: The source.
        """
        with self._lock:
            stream = Stream(source)
            self.streams = (*self.streams, stream)
            self._vacant.append(stream)
            self._wake_thread()

    def stop(self, timeout: float) -> bool:
        """Stops the threads after their items. The sources must have ended by then.

        Args:
            timeout: How long to wait for the threads, in seconds.

        Returns:
            Whether all threads have ended.
        """
        with self._lock:
            self.stopped = True
            while self._idle:
                self._idle.pop().wake.release()
            self._watchdog.arm()
        deadline = time.monotonic() + timeout
        for thread in list(self._threads):
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(t.is_alive() for t in self._threads if t is not threading.current_thread())

    def submit(self, items: Sequence[Item]) -> None:
        """Runs items, each in the order of its socket. Safe to call from any thread.

        Args:
            items: The items, each with a route.
        """
        coroutines: list[Any] = []
        with self._lock:
            for item in items:
                lane: Lane = item.socket
                if item.route is not None and item.route.concurrent:
                    lane = SingleLane(item)
                else:
                    lane.queue.append(item)
                    if lane.busy:
                        continue
                    lane.busy = True
                if item.route is not None and item.route.asynchronous:
                    self._pending += 1
                    coroutines.append((lane.queue.popleft(), lane))
                else:
                    self._enqueue(lane)
        if coroutines:
            self._work.invoke_async(coroutines, self._finished)

    def about_to_block(self) -> None:
        """Passes the lead on when the calling handler has it, before a wait that is certain."""
        worker = _current.worker
        if worker is None or worker.stream is None:
            return
        try:
            worker.token.pop()
        except IndexError:
            return
        self.overtake(worker.stream, worker)

    def leading(self) -> bool:
        """Returns whether the calling thread leads, so that it will flush what it queues."""
        worker = _current.worker
        return worker is not None and worker.stream is not None and bool(worker.token)

    def running(self) -> bool:
        """Returns whether a handler runs or an item waits for one."""
        if self._waiting or self._held or self._pending:
            return True
        return any(stream.ready or (stream.leader is not None and stream.leader.token) for stream in self.streams)

    # The life of one thread.

    def _spawn(self) -> None:
        """Starts a thread. The lock is held."""
        worker = Worker()
        thread = threading.Thread(target=self._main, args=(worker,), name=f"{self._name}-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _main(self, me: Worker) -> None:
        me.ident = threading.get_ident()
        me.native = threading.get_native_id()
        _current.worker = me
        while True:
            lane = None
            with self._lock:
                if self._vacant and not self.stopped:
                    me.stream = self._vacant.popleft()
                    me.stream.leader = me
                else:
                    lane = self._next_lane()
                    if lane is None:
                        if self.stopped:
                            return
                        self._idle.append(me)
            if me.stream is not None:
                self._lead(me, me.stream)
            elif lane is not None:
                self._serve(me, lane)
            else:
                me.wake.acquire()

    def _lead(self, me: Worker, stream: Stream) -> None:
        """Reads and works until another thread leads, or the source has ended."""
        work = self._work
        watchdog = self._watchdog
        while True:
            if not self._work_ready(me, stream):
                return
            if stream.coroutines:
                self._submit(stream)
            work.flush()
            stream.active = False
            items = stream.source.read()
            if items is None:
                with self._lock:
                    self.streams = tuple(other for other in self.streams if other is not stream)
                    me.stream = stream.leader = None
                return
            stream.active = True
            if not watchdog.armed:
                watchdog.arm()
            self._distribute(stream, items)

    def _distribute(self, stream: Stream, items: Sequence[Item]) -> None:
        """Puts items into the queues of their sockets."""
        ready = stream.ready
        with self._lock:
            for item in items:
                route = item.route
                if route is not None and route.concurrent:
                    ready.append(SingleLane(item))
                    continue
                socket = item.socket
                socket.queue.append(item)
                if not socket.busy:
                    socket.busy = True
                    ready.append(socket)

    def _work_ready(self, me: Worker, stream: Stream) -> bool:
        """Runs the ready items. Returns whether the thread still leads."""
        ready = stream.ready
        token = me.token
        invoke = self._work.invoke
        done = 0
        while ready:
            lane = ready.popleft()
            queue = lane.queue
            item = queue.popleft()
            route = item.route
            if route is not None and (route.asynchronous or route.slow or (self._held and self._full(route))):
                self._hand_off(stream, lane, item)
                continue
            me.item = item
            me.count += 1
            token.append(None)
            invoke(item)
            try:
                token.pop()
            except IndexError:
                self._serve(me, lane, item)
                return False
            me.item = None
            if queue:
                ready.append(lane)
            else:
                lane.busy = False
                # The leader of another stream may have found the lane busy just now.
                if queue and self._claim(lane):
                    ready.append(lane)
            done += 1
            if not done % _FLUSH_EVERY:
                if stream.coroutines:
                    self._submit(stream)
                self._work.flush()
        return True

    def _claim(self, lane: Lane) -> bool:
        """Claims a lane for the calling thread, unless another thread has it."""
        with self._lock:
            if lane.busy or not lane.queue:
                return False
            lane.busy = True
            return True

    def _hand_off(self, stream: Stream, lane: Lane, item: Item) -> None:
        """Passes a lane to another thread, or its item to the event loop."""
        if item.route is not None and item.route.asynchronous:
            stream.coroutines.append((item, lane))
            return
        with self._lock:
            lane.queue.appendleft(item)
            self._enqueue(lane)

    def _enqueue(self, lane: Lane) -> None:
        """Queues a lane for a thread. The lock is held."""
        self._ready_lanes.append(lane)
        self._waiting += 1
        if self._held + len(self._ready_lanes) <= self._workers:
            self._wake_thread()

    def _next_lane(self) -> Lane | None:
        """Takes a lane that may run now, and counts the thread as blocked. The lock is held."""
        while self._ready_lanes and self._held < self._workers:
            lane = self._ready_lanes.popleft()
            route = lane.queue[0].route
            if route is not None and self._full(route):
                self._over_share.setdefault(route, deque()).append(lane)
                continue
            self._waiting -= 1
            self._begin(route)
            return lane
        return None

    def _full(self, route: Route) -> bool:
        """Returns whether no further handler of the event may block."""
        left = self._workers - self._held + route.held
        return self._held >= self._workers or route.held >= max(1, left * 3 // 4)

    def _begin(self, route: Route | None) -> None:
        """Counts a thread that may block. The lock is held."""
        self._held += 1
        if route is not None:
            route.held += 1

    def _end(self, route: Route | None) -> None:
        """Counts one blocked thread less, and queues lanes that waited. The lock is held."""
        self._held -= 1
        if route is not None:
            route.held -= 1
        for full in list(self._over_share):
            if not self._full(full):
                lanes = self._over_share[full]
                self._waiting -= 1
                self._enqueue(lanes.popleft())
                if not lanes:
                    del self._over_share[full]

    def _wake_thread(self) -> None:
        """Wakes or starts a thread. The lock is held."""
        if self._idle:
            self._idle.pop().wake.release()
        # The leaders and the watchdog have threads, too.
        elif len(self._threads) < self._workers + len(self.streams) + 1:
            self._spawn()
        # Otherwise a thread is about to return from a handler, and looks for work first.

    def _serve(self, me: Worker, lane: Lane, done: Item | None = None) -> None:
        """Works through a lane on a thread that may block.

        One item is done already when the thread was overtaken.
        """
        work = self._work
        item = lane.queue.popleft() if done is None else done
        route = item.route
        while True:
            if done is None:
                me.item = item
                work.invoke(item)
                me.item = None
                if route is not None and route.slow:
                    route.slow -= 1
            done = me.item = None
            work.flush()
            with self._lock:
                self._end(route)
                if not lane.queue:
                    lane.busy = False
                    return
                route = lane.queue[0].route
                if route is not None and not route.asynchronous and (self._ready_lanes or self._full(route)):
                    # Behind the lanes that wait: a socket that always has a next event would keep
                    # the thread.
                    self._enqueue(lane)
                    return
                item = lane.queue.popleft()
                if route is None or not route.asynchronous:
                    self._begin(route)
                    continue
                self._pending += 1
            work.invoke_async([(item, lane)], self._finished)
            return

    def _submit(self, stream: Stream) -> None:
        items, stream.coroutines = stream.coroutines, []
        with self._lock:
            self._pending += len(items)
        self._work.invoke_async(items, self._finished)

    def _finished(self, lane: Lane) -> None:
        """Continues a lane whose coroutine has ended."""
        with self._lock:
            self._pending -= 1
            if not lane.queue:
                lane.busy = False
                return
            item = lane.queue[0]
            if item.route is None or not item.route.asynchronous:
                self._enqueue(lane)
                return
            lane.queue.popleft()
            self._pending += 1
        self._work.invoke_async([(item, lane)], self._finished)

    def overtake(self, stream: Stream, leader: Worker) -> None:
        """Makes another thread the leader. The caller has taken the token."""
        item = leader.item
        route = None if item is None else item.route
        if route is not None:
            _penalize(route)
        with self._lock:
            stream.leader = leader.stream = None
            stream.last = -1
            self._vacant.append(stream)
            self._begin(route)
            self._wake_thread()


def _penalize(route: Route) -> None:
    now = time.monotonic()
    route.penalty = min(route.penalty * 2, _SLOWEST) if route.penalty and now - route.penalized_at < _PENALTY_MEMORY else _SLOW
    route.penalized_at = now
    route.slow = route.penalty
