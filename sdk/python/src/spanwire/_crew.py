# SPDX-License-Identifier: Apache-2.0
"""Who runs the handlers: for each stream one thread that leads, and others, shared by all, that take over when it is held up.

The rules:

- The leader of a stream reads it and runs the handlers itself, one after another, without handing anything to another thread.
  That is what makes an event cheap: a hop to another thread costs more than the rest of the event. A stream without traffic
  costs one sleeping thread, its leader, and nothing else.
- While a handler runs, the leader's token lies on the table. Whoever takes it decides: the leader, when the handler has returned,
  goes on leading; the watchdog, when the handler has kept it for about two milliseconds, makes another thread the leader. The
  overtaken thread finishes its socket's queue and is then free for other work.
- A handler that was overtaken is slow: its next events go straight to threads of their own, 16 of them, and twice as many each
  time that the leader then tries it and is held up again. So handlers that wait for a database do so side by side, and
  one that was slow by accident is soon run by the leader again.
- At most `workers` handlers are held up at a time, those of all streams together. When that many are, leaders run none
  themselves: they go on reading, so that answers still come in, and what is ready waits for a thread.
- One event holds at most three quarters of the workers that others leave free, and may always hold one. So a handler that never
  returns takes some threads and keeps its own event from being handled, but nobody else's.
- One socket's items run one after another: a socket is in one thread's hands, or in one queue, or idle. Its items may come over
  several streams. What is not to be run in turn has a turn of its own.
- Coroutine handlers run on an event loop in a thread of their own.

Only leaders append to a socket's queue, holding the lock, and only whoever has the socket in hands takes from it. A leader takes
without the lock; everybody else holds it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from ._lane import Alone, Item, Lane, Runner, Source, Turn, Work
from ._routes import Route
from ._watchdog import Watchdog

__all__ = ["Crew", "here"]

_SLOW, _SLOWEST = 16, 4096  # events of a slow handler that the leader does not run
_GRUDGE = 5.0  # seconds of good behaviour after which a handler's record is clean
_FLUSH_EVERY = 64  # results after which the leader sends without having finished


class _Here(threading.local):
    runner: Runner | None = None


_here = _Here()


def here() -> Any:
    """What the calling thread is running for a crew: an item, or None."""
    runner = _here.runner
    return None if runner is None else runner.item


class Crew:
    """The threads that run an instance's handlers."""

    def __init__(self, work: Work, workers: int, name: str) -> None:
        # Fixed at birth.
        self._work = work
        self._workers = workers
        self._name = name
        # Guarded by the lock.
        self._lock = threading.Lock()
        self.lanes: tuple[Lane, ...] = ()  # replaced rather than changed, so that the watchdog may read it
        self._vacant: deque[Lane] = deque()  # those without a leader
        self._idle: list[Runner] = []
        self._handed: deque[Turn] = deque()
        self._crowd: dict[Route, deque[Turn]] = {}  # what waits because its event has its share of the workers
        self._waiting = 0  # turns in the two
        self._threads: list[threading.Thread] = []
        self._held = 0  # threads in a handler beside leaders
        self._pending = 0  # items on the event loop
        self.stopped = False
        self._watchdog = Watchdog(self, work)

    # The crew's life.

    def start(self) -> None:
        """Starts the watchdog."""
        watchdog = threading.Thread(target=self._watchdog.watch, name=f"{self._name}-watchdog", daemon=True)
        with self._lock:
            self._threads.append(watchdog)
        watchdog.start()

    def add(self, source: Source) -> None:
        """Has a source read and worked for, until it has no more.

        Args:
            source: The source.
        """
        with self._lock:
            lane = Lane(source)
            self.lanes = (*self.lanes, lane)
            self._vacant.append(lane)
            self._call_in()

    def stop(self, timeout: float) -> bool:
        """Lets the threads go when they have finished what they do; the work must have ended reading by then.

        Args:
            timeout: How long to wait for them, in seconds.

        Returns:
            Whether all of them have gone.
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
        """Has items run, each in turn with its socket's. Allowed from any thread.

        Args:
            items: The items, each with a route.
        """
        coroutines: list[Any] = []
        with self._lock:
            for item in items:
                turn: Turn = item.socket
                if item.route is not None and item.route.concurrent:
                    turn = Alone(item)
                else:
                    turn.queue.append(item)
                    if turn.busy:
                        continue
                    turn.busy = True
                if item.route is not None and item.route.asynchronous:
                    self._pending += 1
                    coroutines.append((turn.queue.popleft(), turn))
                else:
                    self._hand(turn)
        if coroutines:
            self._work.perform_async(coroutines, self._finished)

    def about_to_block(self) -> None:
        """Gives the lead away when the calling handler has it, before a wait that is known to be one."""
        runner = _here.runner
        if runner is None or runner.lane is None:
            return
        try:
            runner.token.pop()
        except IndexError:
            return
        self.overtake(runner.lane, runner)

    def leading(self) -> bool:
        """Says whether the calling thread leads, so that what it queues is sent soon without its doing."""
        runner = _here.runner
        return runner is not None and runner.lane is not None and bool(runner.token)

    def running(self) -> bool:
        """Says whether a handler is running, or something waits for one."""
        if self._waiting or self._held or self._pending:
            return True
        return any(lane.ready or (lane.leader is not None and lane.leader.token) for lane in self.lanes)

    # One thread's life.

    def _spawn(self) -> None:
        """Starts a thread; the lock is held."""
        runner = Runner()
        thread = threading.Thread(target=self._main, args=(runner,), name=f"{self._name}-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _main(self, me: Runner) -> None:
        me.ident = threading.get_ident()
        me.native = threading.get_native_id()
        _here.runner = me
        while True:
            turn = None
            with self._lock:
                if self._vacant and not self.stopped:
                    me.lane = self._vacant.popleft()
                    me.lane.leader = me
                else:
                    turn = self._next_turn()
                    if turn is None:
                        if self.stopped:
                            return
                        self._idle.append(me)
            if me.lane is not None:
                self._lead(me, me.lane)
            elif turn is not None:
                self._serve(me, turn)
            else:
                me.wake.acquire()

    def _lead(self, me: Runner, lane: Lane) -> None:
        """Reads and works until another thread leads, or there is nothing more to read."""
        work = self._work
        watchdog = self._watchdog
        while True:
            if not self._work_ready(me, lane):
                return
            if lane.coroutines:
                self._submit(lane)
            work.flush()
            lane.active = False
            items = lane.source.read()
            if items is None:
                with self._lock:
                    self.lanes = tuple(other for other in self.lanes if other is not lane)
                    me.lane = lane.leader = None
                return
            lane.active = True
            if not watchdog.armed:
                watchdog.arm()
            self._take_in(lane, items)

    def _take_in(self, lane: Lane, items: Sequence[Item]) -> None:
        """Puts what came into the queues of its sockets."""
        ready = lane.ready
        with self._lock:
            for item in items:
                route = item.route
                if route is not None and route.concurrent:
                    ready.append(Alone(item))
                    continue
                socket = item.socket
                socket.queue.append(item)
                if not socket.busy:
                    socket.busy = True
                    ready.append(socket)

    def _work_ready(self, me: Runner, lane: Lane) -> bool:
        """Runs what is ready. Says whether the thread still leads."""
        ready = lane.ready
        token = me.token
        perform = self._work.perform
        done = 0
        while ready:
            turn = ready.popleft()
            queue = turn.queue
            item = queue.popleft()
            route = item.route
            if route is not None and (route.asynchronous or route.slow or (self._held and self._full(route))):
                self._hand_over(lane, turn, item)
                continue
            me.item = item
            me.count += 1
            token.append(None)
            perform(item)
            try:
                token.pop()
            except IndexError:
                self._serve(me, turn, item)
                return False
            me.item = None
            if queue:
                ready.append(turn)
            else:
                turn.busy = False
                # The leader of another stream may have found it busy just now.
                if queue and self._claim(turn):
                    ready.append(turn)
            done += 1
            if not done % _FLUSH_EVERY:
                if lane.coroutines:
                    self._submit(lane)
                self._work.flush()
        return True

    def _claim(self, turn: Turn) -> bool:
        """Takes a turn into one's hands unless somebody has it."""
        with self._lock:
            if turn.busy or not turn.queue:
                return False
            turn.busy = True
            return True

    def _hand_over(self, lane: Lane, turn: Turn, item: Item) -> None:
        """Gives a turn to another thread, or its item to the event loop."""
        if item.route is not None and item.route.asynchronous:
            lane.coroutines.append((item, turn))
            return
        with self._lock:
            turn.queue.appendleft(item)
            self._hand(turn)

    def _hand(self, turn: Turn) -> None:
        """Has a thread work on a turn, when one is free; the lock is held."""
        self._handed.append(turn)
        self._waiting += 1
        if self._held + len(self._handed) <= self._workers:
            self._call_in()

    def _next_turn(self) -> Turn | None:
        """Takes a turn that a thread may work on now, and counts the thread as held up; the lock is held."""
        while self._handed and self._held < self._workers:
            turn = self._handed.popleft()
            route = turn.queue[0].route
            if route is not None and self._full(route):
                self._crowd.setdefault(route, deque()).append(turn)
                continue
            self._waiting -= 1
            self._begin(route)
            return turn
        return None

    def _full(self, route: Route) -> bool:
        """Says whether no further handler of the event may be held up."""
        left = self._workers - self._held + route.held
        return self._held >= self._workers or route.held >= max(1, left * 3 // 4)

    def _begin(self, route: Route | None) -> None:
        """Counts a thread that may be held up; the lock is held."""
        self._held += 1
        if route is not None:
            route.held += 1

    def _end(self, route: Route | None) -> None:
        """Counts one less, and lets those go on that waited for that; the lock is held."""
        self._held -= 1
        if route is not None:
            route.held -= 1
        for crowded in list(self._crowd):
            if not self._full(crowded):
                turns = self._crowd[crowded]
                self._waiting -= 1
                self._hand(turns.popleft())
                if not turns:
                    del self._crowd[crowded]

    def _call_in(self) -> None:
        """Wakes or starts a thread; the lock is held."""
        if self._idle:
            self._idle.pop().wake.release()
        elif len(self._threads) < self._workers + len(self.lanes) + 1:  # leaders, and the watchdog
            self._spawn()
        # Else a thread is on its way back from a handler, and looks for work first.

    def _serve(self, me: Runner, turn: Turn, done: Item | None = None) -> None:
        """Works through a turn, as one of the threads that may be held up. One item is done if the thread was overtaken."""
        work = self._work
        item = turn.queue.popleft() if done is None else done
        route = item.route
        while True:
            if done is None:
                me.item = item
                work.perform(item)
                me.item = None
                if route is not None and route.slow:
                    route.slow -= 1
            done = me.item = None
            work.flush()
            with self._lock:
                self._end(route)
                if not turn.queue:
                    turn.busy = False
                    return
                route = turn.queue[0].route
                if route is not None and not route.asynchronous and (self._handed or self._full(route)):
                    # Behind those that wait: a socket whose next event is always there would keep the thread from them.
                    self._hand(turn)
                    return
                item = turn.queue.popleft()
                if route is None or not route.asynchronous:
                    self._begin(route)
                    continue
                self._pending += 1
            work.perform_async([(item, turn)], self._finished)
            return

    def _submit(self, lane: Lane) -> None:
        items, lane.coroutines = lane.coroutines, []
        with self._lock:
            self._pending += len(items)
        self._work.perform_async(items, self._finished)

    def _finished(self, turn: Turn) -> None:
        """Goes on with a turn whose coroutine has ended."""
        with self._lock:
            self._pending -= 1
            if not turn.queue:
                turn.busy = False
                return
            item = turn.queue[0]
            if item.route is None or not item.route.asynchronous:
                self._hand(turn)
                return
            turn.queue.popleft()
            self._pending += 1
        self._work.perform_async([(item, turn)], self._finished)

    def overtake(self, lane: Lane, leader: Runner) -> None:
        """Makes another thread the leader; the caller has taken the token."""
        item = leader.item
        route = None if item is None else item.route
        if route is not None:
            _mark_slow(route)
        with self._lock:
            lane.leader = leader.lane = None
            lane.last = -1
            self._vacant.append(lane)
            self._begin(route)
            self._call_in()


def _mark_slow(route: Route) -> None:
    now = time.monotonic()
    route.strikes = min(route.strikes * 2, _SLOWEST) if route.strikes and now - route.struck < _GRUDGE else _SLOW
    route.struck = now
    route.slow = route.strikes
