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
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from ._core import Conversation, Entry, State
from ._lane import Item
from ._probe import advice
from ._proto import command_pb2, handler_pb2
from ._records import Received
from .exceptions import QueueFullError, RegistrationError

if TYPE_CHECKING:
    from ._links import Links

__all__ = ["HINT", "Link", "Waiter"]

log = logging.getLogger("spanwire")

_METHOD = "/spanwire.v1.HandlerService/Attach"
_CONNECT_TIMEOUT = 5.0
_WELCOME_TIMEOUT = 10.0
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_LONGEST_PAUSE_LEARNED = 30.0  # for replicas that a broker told of, which may never be reachable from here
_LONGEST_PAUSE_LOST = 1.0  # for replicas whose sockets wait to know whether they are there
_REGISTERED_TIMEOUT = 3.0  # seconds after which a broker is taken for one that does not know changed registrations

HINT = "Is it running? SPANWIRE_ADDRESS says where to look"


class Waiter(Protocol):
    """Waits for the answer of one command."""

    def settle(self, answer: command_pb2.Answer | None) -> Sequence[Item]:
        """Takes the answer, None when it will not come; returns what is to be run because of it. Never blocks."""


class Link:
    """One instance's stream to one address, kept up until it is stopped; `_links.py` has the rules.

    Attributes:
        address: Where it dials.
        learned: Whether a broker told of the address.
        told: Whether one still does.
        replica: The replica that the address leads to, as far as known.
        replicas: The addresses of the cluster's replicas, as that one told last.
        replica_timeout: After how many seconds of silence replicas take it for dead; zero when it does not tell.
        parked: Whether it waits because another one is attached to its replica.
        draining: Whether the replica is about to stop.
        declared: What was registered last.
        version: The version of the registrations that the broker has taken.
    """

    def __init__(self, links: Links, address: str, replica: str, *, learned: bool) -> None:
        # Fixed at birth.
        self._links = links
        self._handlers = links.handlers
        self.address = address
        self.learned = learned
        self.conversation = Conversation(links.memory, self)
        self.crew = links.crew
        # Owned by whoever leads.
        self._call: Any = None
        self._channel: grpc.Channel | None = None
        self._timer: threading.Timer | None = None
        self._attempt = 0
        self._failures_told = 0
        self._trouble = ""  # what was wrong with the address when it was looked at last
        # Guarded by sending.
        self._sending = threading.Lock()
        self._frames: queue.SimpleQueue[bytes | None] | None = None
        self._registering: list[int] = []  # the versions that were sent and not answered
        # Guarded by commanding.
        self._commanding = threading.Lock()
        # Seen by all.
        self.replica = replica
        self.replicas: dict[str, str] = {}
        self.replica_timeout = 0.0
        self.told = True
        self.draining = False
        self.declared: list[handler_pb2.Registration] = []
        self.version = -1
        self.parked = False
        self._wake = threading.Event()
        self._renewing = False
        self._opened = 0  # the version that the stream was opened with

    @property
    def live(self) -> bool:
        """Whether it is attached."""
        return self.conversation.state is State.ATTACHED

    # Its life.

    def hurry(self) -> None:
        """Ends a pause between attempts."""
        self._attempt = 0
        self._wake.set()

    def renew(self) -> None:
        """Attaches anew, because what the instance registers has changed."""
        self._renewing = True
        self.leave()

    def leave(self, *, retire: bool = False) -> None:
        """Asks the broker for nothing new; it ends the stream when the last open dispatch is resolved.

        Args:
            retire: Whether the service retires with its last instance.
        """
        self._wake.set()
        with self._sending:
            frame = self.conversation.drain_frame(retire=retire)
            if frame is not None and self._frames is not None:
                self._frames.put(frame)
        if frame is None and self.conversation.state is State.OPENING:
            self.cut_off()

    def cut_off(self) -> None:
        """Ends the stream at once."""
        call = self._call
        if call is not None:
            call.cancel()

    # What the crew asks for.

    def read(self) -> Sequence[Item] | None:
        """Waits for dispatches, attaching again as often as needed. None when the link was stopped."""
        links = self._links
        while True:
            if self._call is None:
                if links.stopping.is_set() or links.error is not None or not self.told:
                    links.left(self)
                    return None
                if self.parked:
                    self._park()
                else:
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
            self._answer_at_once()

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
                self._answer()
            finally:
                self._sending.release()

    def _answer_at_once(self) -> None:
        """Answers the broker's frames if it waits for that, after one that brought nothing to run: the watchdog may be parked."""
        if self.conversation.answer_due():
            with self._sending:
                self._answer()

    def _answer(self) -> None:
        """Sends a bare answer; the caller holds the lock."""
        frame = self.conversation.answer_frame()
        if frame is not None and self._frames is not None:
            self._frames.put(frame)

    # What services ask for.

    def next_command(self) -> int:
        """Draws an id for a command whose answer is wanted."""
        return next(self._links.memory.numbers)

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
        if conversation.queued_bytes > self._links.max_queue_bytes:
            self._wait_for_room(may_block)
        with self._commanding:
            conversation.command(action, waiter)
        if conversation.state is not State.ATTACHED:
            self._links.rescue(self)
        elif not self.crew.leading():
            self.flush()

    def surrender(self) -> list[Entry]:
        """Gives up what waits, because the stream is lost and another link can send it."""
        with self._sending:
            return self.conversation.surrender()

    def take_over(self, entries: list[Entry]) -> None:
        """Queues what another link surrendered."""
        with self._commanding:
            self.conversation.adopt(entries)

    def send_registrations(self, registrations: list[handler_pb2.Registration], version: int) -> None:
        """Tells the broker what the instance handles now; a broker that is too old for that is attached to anew.

        Args:
            registrations: All of it.
            version: Its version.
        """
        with self._sending:
            frame = self.conversation.registrations_frame(registrations)
            if frame is None or self._frames is None:
                return
            self.declared = registrations
            self._registering.append(version)
            self._frames.put(frame)
        generation = self.conversation.generation

        def give_up() -> None:
            if version in self._registering and generation == self.conversation.generation:
                self.renew()

        timer = threading.Timer(_REGISTERED_TIMEOUT, give_up)
        timer.daemon = True
        timer.name = "spanwire-registered"
        timer.start()

    def _wait_for_room(self, may_block: bool) -> None:
        conversation = self.conversation
        deadline = time.monotonic() + (self._links.emit_timeout if may_block else 0)
        if may_block:
            self.crew.about_to_block()
        self.flush()
        while conversation.queued_bytes > self._links.max_queue_bytes:
            if time.monotonic() >= deadline:
                raise QueueFullError(
                    f"the broker has not taken what was emitted for {self._links.emit_timeout:g} s,"
                    f" {conversation.queued_bytes} bytes",
                    queued_bytes=conversation.queued_bytes,
                )
            time.sleep(0.005)

    # The stream, owned by whoever leads.

    def _open(self) -> None:
        """Dials once; on failure waits a little."""
        links = self._links
        if self._attempt:
            longest = _LONGEST_PAUSE_LEARNED if self.learned else _LONGEST_PAUSE
            if self.replica in links.lost_replicas:
                longest = _LONGEST_PAUSE_LOST
            pause = min(longest, _FIRST_PAUSE * 2 ** min(self._attempt - 1, 10))
            # Jittered, so that the instances of a service do not return all at once.
            if self._wake.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311
                self._wake.clear()
                return
        self._attempt += 1
        channel = links.settings.channel(self.address)
        if not self._connected(channel):
            channel.close()
            if not links.stopping.is_set():
                self._tell(f"cannot reach the broker at {self.address}: {self._advice()}. {HINT}")
            return
        frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with self._sending:
            self._renewing = self.draining = False
            self._registering = []
            self._opened = links.version
            self.declared = links.declared()
            frames.put(self.conversation.opening(links.register(self.declared)))
            self._frames = frames
        self._channel = channel
        attach = channel.stream_stream(
            _METHOD,
            request_serializer=None,
            response_deserializer=handler_pb2.AttachResponse.FromString,
        )
        self._call = attach(iter(frames.get, None), metadata=links.settings.metadata)
        if links.stopping.is_set():
            self._call.cancel()
        self._guard(self._call)

    def _advice(self) -> str:
        """What is wrong with the address; looked for when it will be told, and else as it was."""
        told = self._failures_told + 1
        if not self._trouble or told & (told - 1) == 0:
            self._trouble = advice(self.address, tls=self._links.settings.tls) or "no connection came about"
        return self._trouble

    def _park(self) -> None:
        """Waits until no other link is attached to the replica that this one's address led to."""
        links = self._links
        with links.changed:
            links.changed.wait_for(lambda: links.stopping.is_set() or not self.told or not links.taken(self))
        self.parked = False

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
            while time.monotonic() < deadline and not self._links.stopping.is_set():
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
        if not received.ordinary:
            self._take_rare(received)
        if self._links.forgetting:
            self._links.forget_if_due()
        return items

    def _take_rare(self, received: Received) -> None:
        """Works on a frame that is neither a batch nor an answer to one."""
        if received.welcome is not None:
            self._welcomed(received.welcome)
        elif received.topology is not None:
            self._links.heard(self, received.topology)
        elif received.registered is not None:
            self._registered(received.registered)
        elif received.draining:
            self.draining = True
            self._links.drains()
            log.info("the broker at %s is about to stop; staying until it ends the stream", self.address)
        elif received.fault is not None:
            if received.fault.code == command_pb2.FAULT_CODE_UNIMPLEMENTED and self._registering:
                self._registered(handler_pb2.Registered(fault=received.fault))
                return
            fault = received.fault
            about = ""  # one that is about a result names the event in its message only
            if fault.event or fault.namespace or fault.bytes:
                about = f" (event {fault.event!r}, namespace {fault.namespace or '/'}, {fault.bytes} bytes)"
            log.error("the broker refused what this instance sent: %s%s", fault.message, about)

    def _welcomed(self, welcome: handler_pb2.Welcome) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._attempt = 0
        self._failures_told = 0
        self.version = self._opened
        log.info("attached to the broker at %s (replica %s, %s)", self.address, welcome.replica, welcome.version or "?")
        self._links.welcomed(self, welcome)
        if self._links.stopping.is_set():
            self.leave()

    def _registered(self, answer: handler_pb2.Registered) -> None:
        with self._sending:
            if not self._registering:
                return
            version = self._registering.pop(0)
        if answer.HasField("fault") and answer.fault.code == command_pb2.FAULT_CODE_UNIMPLEMENTED:
            self.renew()
            return
        if not answer.HasField("fault"):
            self.version = version
        self._links.registered(self, answer.fault.message if answer.HasField("fault") else "")

    def _lose(self, error: Any) -> None:
        """Tidies up after a stream and decides what comes next."""
        links = self._links
        if self._timer is not None:
            self._timer.cancel()
        welcomed = self.conversation.state is State.ATTACHED
        with self._sending:
            frames, self._frames = self._frames, None
            waiters = self.conversation.lost()
            self._registering = []
        if frames is not None:
            frames.put(None)
        channel, self._channel, self._call = self._channel, None, None
        if channel is not None:
            channel.close()
        links.lost(self, broken=welcomed and not self._renewing)
        for waiter in waiters:
            waiter.settle(None)
        if links.stopping.is_set():
            return
        if welcomed and self.replica and links.taken(self):
            log.info("another address leads to the replica %s; %s is kept for when that is lost", self.replica, self.address)
            self.parked = True
            self._attempt = 1
            return
        if error is None:
            # A renewal's end is expected; a broker that ends the stream otherwise is stopping.
            self._attempt = 0 if self._renewing else 1
            log.info("the broker at %s ended the stream; attaching again", self.address)
            return
        self._explain(error, welcomed)

    def _explain(self, error: Any, welcomed: bool) -> None:
        code, details = error.code(), error.details()
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            refusal = RegistrationError(f"the broker at {self.address} refused the registration: {details}")
            log.error("%s", refusal)
            self._links.refused(self, refusal)
        elif code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            self._tell(f"the broker at {self.address} does not let this service in: {details}. Set SPANWIRE_TOKEN")
        elif code is grpc.StatusCode.UNIMPLEMENTED:
            self._tell(f"what listens at {self.address} is not a broker's door for services. {HINT}")
        elif welcomed:
            self._attempt = 0
            log.warning("lost the stream to the broker at %s (%s); attaching again", self.address, details)
        else:
            self._tell(f"cannot attach to the broker at {self.address}: {details}. {HINT}")

    def _tell(self, trouble: str) -> None:
        """Logs a failure: the first, then ever more rarely, since dialling goes on for ever."""
        self._failures_told += 1
        if self.learned:
            # It may not be meant to be reachable from here, and its replica's sockets are served through others.
            log.log(logging.INFO if self._failures_told == 1 else logging.DEBUG, "%s (trying again)", trouble)
            return
        self._links.trouble = trouble
        if self._failures_told & (self._failures_told - 1) == 0:
            log.warning("%s (attempt %d; trying again)", trouble, self._failures_told)
