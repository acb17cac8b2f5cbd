# SPDX-License-Identifier: Apache-2.0
"""One instance's stream to one broker: dials, keeps it up for ever, and carries frames between it and the conversation.

The blocking flavour of grpcio is used on purpose. Per frame it costs as much as `grpc.aio` (about 200 microseconds with both
directions, measured against a Go server), but its reader may be any thread. So the thread that reads is the one that
runs the handlers, and no event hops between threads; with aio each frame would hop from the loop to a worker and back.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import grpc

from ._core import Conversation, State
from ._crew import Crew, Item
from ._proto import command_pb2, handler_pb2
from ._records import Dispatch, Recent
from ._settings import Settings
from .exceptions import BrokerUnavailableError, QueueFullError, RegistrationError

__all__ = ["Handlers", "Link", "Waiter"]

log = logging.getLogger("spanwire")

_METHOD = "/spanwire.v1.HandlerService/Attach"
_CONNECT_TIMEOUT = 5.0
_WELCOME_TIMEOUT = 10.0
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_FORGET_AFTER = 3600.0  # seconds on a stream after which sockets that were not met on it are forgotten


class Waiter(Protocol):
    """Waits for the answer of one command."""

    def settle(self, answer: command_pb2.Answer | None) -> Sequence[Item]:
        """Takes the answer, None when it will not come; returns what is to be run because of it. Never blocks."""


class Handlers(Protocol):
    """What a link asks of its service."""

    def prepare(self, dispatches: list[Dispatch]) -> None:
        """Finds the dispatches' routes."""

    def perform(self, link: Link, item: Any) -> None:
        """Runs one item to its end. Never raises."""

    def perform_async(self, link: Link, items: list[Any], done: Callable[[Any], None]) -> None:
        """Starts items with coroutine handlers."""


class Link:
    """One instance's stream to one broker, kept up until it is stopped."""

    def __init__(
        self,
        handlers: Handlers,
        register: Callable[[], handler_pb2.Register],
        settings: Settings,
        *,
        workers: int,
        max_queue_bytes: int,
        emit_timeout: float,
        messages: Recent | None = None,
    ) -> None:
        # Fixed at birth.
        self._handlers = handlers
        self._register = register
        self._settings = settings
        self._max_queue_bytes = max_queue_bytes
        self._emit_timeout = emit_timeout
        self.conversation = Conversation(messages)
        self.crew = Crew(self, workers, "spanwire")
        # Owned by whoever leads the crew.
        self._call: Any = None
        self._channel: grpc.Channel | None = None
        self._attempt = 0
        self._address = ""
        self._welcomed_at = 0.0
        self._failures_told = 0
        # Guarded by sending.
        self._sending = threading.Lock()
        self._frames: queue.SimpleQueue[bytes | None] | None = None
        # Guarded by commanding.
        self._commanding = threading.Lock()
        self._last_command = 0
        # Seen by all.
        self.attached = threading.Event()
        self.ended = threading.Event()
        self.welcome: handler_pb2.Welcome | None = None
        self.error: Exception | None = None  # why there will be no more attempts
        self.trouble = ""  # what went wrong last, in one line
        self._stopping = threading.Event()
        self._renewing = False

    # Its life.

    def start(self) -> None:
        """Begins to dial, on a thread of its own."""
        self.crew.start()

    def stop(self, timeout: float) -> None:
        """Drains: takes nothing new, finishes what is open, then leaves. Whatever is left after the timeout is cut off.

        Args:
            timeout: How long it may take, in seconds.
        """
        deadline = time.monotonic() + timeout
        self._stopping.set()
        # What was emitted before goes out before; the broker ends a drained stream without waiting for commands.
        while self.conversation.waiting and self.attached.is_set() and time.monotonic() < deadline:
            self.flush()
            time.sleep(0.002)
        self._leave()
        if not self.ended.wait(max(0.0, deadline - time.monotonic())):
            log.warning("handlers were still running after %g s of draining; their events go to other instances", timeout)
            call = self._call
            if call is not None:
                call.cancel()
            self.ended.wait(1)
        self.crew.stop(max(0.1, deadline - time.monotonic()))

    def renew(self) -> None:
        """Attaches anew, because what the instance registers has changed."""
        self._renewing = True
        self._leave()

    def _leave(self) -> None:
        """Asks the broker for nothing new; it ends the stream when the last open dispatch is resolved."""
        with self._sending:
            frame = self.conversation.drain_frame()
            if frame is not None and self._frames is not None:
                self._frames.put(frame)
        call = self._call
        if frame is None and call is not None and self.conversation.state is State.OPENING:
            call.cancel()

    # What the crew asks for.

    def read(self) -> Sequence[Item] | None:
        """Waits for dispatches, attaching again as often as needed. None when the link was stopped."""
        while True:
            if self._call is None:
                if self._stopping.is_set() or self.error is not None:
                    self._end()
                    return None
                self._open()
                continue
            try:
                frame = next(self._call)
            except StopIteration:
                self._lose(None)
                continue
            except grpc.RpcError as error:
                self._lose(error)
                continue
            items = self._take(frame)
            if items:
                return items

    def perform(self, item: Any) -> None:
        """Runs one item to its end."""
        self._handlers.perform(self, item)

    def perform_async(self, items: list[Any], done: Callable[[Any], None]) -> None:
        """Starts items with coroutine handlers."""
        self._handlers.perform_async(self, items, done)

    def flush(self) -> None:
        """Sends what is queued, if the window allows. Never blocks."""
        conversation = self.conversation
        while conversation.waiting and not conversation.blocked:
            # Whoever holds the lock asks again after letting go of it, so nothing queued before now is left behind.
            if not self._sending.acquire(blocking=False):
                return
            try:
                frames = self._frames
                frame = conversation.next_frame() if frames is not None else None
                while frames is not None and frame is not None:
                    frames.put(frame)
                    frame = conversation.next_frame()
            finally:
                self._sending.release()
            if frames is None:
                return

    def answer_if_due(self) -> None:
        """Answers the broker's frames if it waits for that. Never blocks."""
        conversation = self.conversation
        if not conversation.answer_due():
            return
        if conversation.waiting and not conversation.blocked:
            self.flush()
        if conversation.answer_due() and self._sending.acquire(blocking=False):
            try:
                frame = conversation.answer_frame()
                if frame is not None and self._frames is not None:
                    self._frames.put(frame)
            finally:
                self._sending.release()

    # What services ask for.

    def next_command(self) -> int:
        """Draws an id for a command whose answer is wanted."""
        with self._commanding:
            self._last_command += 1
            return self._last_command

    def command(self, action: handler_pb2.Action, waiter: Waiter | None = None, *, may_block: bool = True) -> None:
        """Queues a command and sends it soon.

        Args:
            action: The action that holds the command.
            waiter: Gets the answer.
            may_block: Whether to wait while too much is queued, at most for the emit timeout.

        Raises:
            QueueFullError: Too much is queued.
            TooLargeError: The command is larger than a frame may be.
        """
        conversation = self.conversation
        if conversation.queued_bytes > self._max_queue_bytes:
            self._wait_for_room(may_block)
        with self._commanding:
            conversation.command(action, waiter)
        if not self.crew.leading():
            self.flush()

    def _wait_for_room(self, may_block: bool) -> None:
        conversation = self.conversation
        deadline = time.monotonic() + (self._emit_timeout if may_block else 0)
        if may_block:
            self.crew.about_to_block()
        self.flush()
        while conversation.queued_bytes > self._max_queue_bytes:
            if time.monotonic() >= deadline:
                raise QueueFullError(
                    f"the broker has not taken what was emitted for {self._emit_timeout:g} s, {conversation.queued_bytes} bytes",
                    queued_bytes=conversation.queued_bytes,
                )
            time.sleep(0.005)

    # The stream, owned by whoever leads.

    def _open(self) -> None:
        """Dials once; on failure waits a little."""
        if self._attempt:
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._attempt - 1, 10))
            # Jittered, so that the instances of a service do not return all at once.
            if self._stopping.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311
                return
        addresses = self._settings.addresses
        self._address = addresses[self._attempt % len(addresses)]
        self._attempt += 1
        channel = self._settings.channel(self._address)
        if not self._connected(channel):
            channel.close()
            if not self._stopping.is_set():
                self._tell(f"cannot reach the broker at {self._address}: nothing answers there. {_HINT}")
            return
        frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with self._sending:
            self._renewing = False
            frames.put(self.conversation.opening(self._register()))
            self._frames = frames
        self._channel = channel
        attach = channel.stream_stream(
            _METHOD,
            request_serializer=None,
            response_deserializer=handler_pb2.AttachResponse.FromString,
        )
        self._call = attach(iter(frames.get, None), metadata=self._settings.metadata)
        if self._stopping.is_set():
            self._call.cancel()
        self._guard(self._call)

    def _connected(self, channel: grpc.Channel) -> bool:
        """Waits until the channel has connected, has failed to, or nobody wants it any more."""
        outcome: queue.SimpleQueue[bool] = queue.SimpleQueue()

        def changed(state: grpc.ChannelConnectivity) -> None:
            if state is grpc.ChannelConnectivity.READY:
                outcome.put(True)
            elif state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                outcome.put(False)

        channel.subscribe(changed, try_to_connect=True)
        try:
            deadline = time.monotonic() + _CONNECT_TIMEOUT
            while time.monotonic() < deadline and not self._stopping.is_set():
                with contextlib.suppress(queue.Empty):
                    return outcome.get(timeout=0.1)
            return False
        finally:
            channel.unsubscribe(changed)

    def _guard(self, call: Any) -> None:
        """Gives up on a stream without a welcome: something listens there that is not a broker, or hangs."""

        def give_up() -> None:
            if self._call is call and self.conversation.state is State.OPENING:
                call.cancel()

        timer = threading.Timer(_WELCOME_TIMEOUT, give_up)
        timer.daemon = True
        timer.name = "spanwire-welcome"
        self._timer = timer
        timer.start()

    def _take(self, frame: handler_pb2.AttachResponse) -> Sequence[Item]:
        conversation = self.conversation
        received = conversation.receive(frame)
        if conversation.waiting:  # the window may have opened, or a redelivered dispatch may have been answered already
            self.flush()
        items: list[Any] = received.dispatches
        if items:
            self._handlers.prepare(received.dispatches)
        for waiter, answer in received.answers:
            items.extend(waiter.settle(answer))
        if received.welcome is not None:
            self._welcomed(received.welcome)
        elif received.draining:
            log.info("the broker at %s is about to stop; staying until it ends the stream", self._address)
        elif received.fault is not None:
            log.warning("the broker found fault with an action: %s", received.fault.message)
        if self._welcomed_at and time.monotonic() - self._welcomed_at > _FORGET_AFTER:
            self._welcomed_at = 0.0
            conversation.forget_absent()
        return items

    def _welcomed(self, welcome: handler_pb2.Welcome) -> None:
        self._timer.cancel()
        self._attempt = 0
        self._failures_told = 0
        self._welcomed_at = time.monotonic()
        self.welcome = welcome
        self.trouble = ""
        log.info("attached to the broker at %s (replica %s, %s)", self._address, welcome.replica, welcome.version or "?")
        self.attached.set()
        if self._stopping.is_set():
            self._leave()

    def _lose(self, error: Any) -> None:
        """Tidies up after a stream and decides what comes next."""
        self._timer.cancel()
        welcomed = self.conversation.state is State.ATTACHED
        with self._sending:
            frames, self._frames = self._frames, None
            waiters = self.conversation.lost()
        if frames is not None:
            frames.put(None)
        self.attached.clear()
        channel, self._channel, self._call = self._channel, None, None
        if channel is not None:
            channel.close()
        for waiter in waiters:
            waiter.settle(None)
        if self._stopping.is_set():
            return
        if error is None:
            # A renewal's end is expected; a broker that ends the stream otherwise is stopping.
            self._attempt = 0 if self._renewing else 1
            log.info("the broker at %s ended the stream; attaching again", self._address)
            return
        self._explain(error, welcomed)

    def _explain(self, error: Any, welcomed: bool) -> None:
        code, details = error.code(), error.details()
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            self.error = RegistrationError(f"the broker at {self._address} refused the registration: {details}")
            log.error("%s", self.error)
        elif code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            self._tell(f"the broker at {self._address} does not let this service in: {details}. Set SPANWIRE_TOKEN")
        elif code is grpc.StatusCode.UNIMPLEMENTED:
            self._tell(f"what listens at {self._address} is not a broker's door for services. {_HINT}")
        elif welcomed:
            self._attempt = 0
            log.warning("lost the stream to the broker at %s (%s); attaching again", self._address, details)
        else:
            self._tell(f"cannot attach to the broker at {self._address}: {details}. {_HINT}")

    def _tell(self, trouble: str) -> None:
        """Logs a failure: the first, then ever more rarely, since dialling goes on for ever."""
        self.trouble = trouble
        self._failures_told += 1
        if self._failures_told & (self._failures_told - 1) == 0:
            log.warning("%s (attempt %d; trying again)", trouble, self._failures_told)

    def _end(self) -> None:
        waiters = self.conversation.lost()
        for waiter in waiters:
            waiter.settle(None)
        self.attached.clear()
        self.ended.set()

    def wait_attached(self, timeout: float | None) -> None:
        """Waits until the broker has said welcome.

        Args:
            timeout: How long, in seconds; None means for ever.

        Raises:
            RegistrationError: The broker refused the registration.
            BrokerUnavailableError: The time is over.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.attached.wait(0.05):
            if self.error is not None:
                raise self.error
            if self.ended.is_set() or (deadline is not None and time.monotonic() >= deadline):
                trouble = self.trouble or f"not attached to the broker at {self._settings.addresses[0]} yet. {_HINT}"
                raise BrokerUnavailableError(trouble, address=self._settings.addresses[0])


_HINT = "Is it running? SPANWIRE_ADDRESS says where to look"
