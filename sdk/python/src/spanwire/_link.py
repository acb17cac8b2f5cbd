# SPDX-License-Identifier: Apache-2.0
"""The link: the stream of one instance to one address of a broker.

A link dials, attaches again whenever its stream breaks, and carries frames between the stream and
the conversation.

It uses the blocking API of grpcio on purpose. A frame costs as much as with `grpc.aio` (about 200
microseconds with both directions, measured against a Go server), but any thread may read. So the
thread that reads also runs the handlers, and no event hops between threads; with aio each frame
would hop from the loop to a worker and back.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import grpc

from . import _log
from ._core import Conversation, State
from ._dial import Failures, connected, pause_before
from ._lane import Item
from ._proto import command_pb2, handler_pb2
from ._records import Received
from ._sender import Sender
from .exceptions import RegistrationError

if TYPE_CHECKING:
    from ._links import Links

__all__ = ["Link"]

_METHOD = "/spanwire.v1.HandlerService/Attach"
_WELCOME_TIMEOUT = 10.0
_LONGEST_PAUSE = 5.0
# For replicas that a broker listed, which may never be reachable from this process.
_LONGEST_PAUSE_LEARNED = 30.0
_LONGEST_PAUSE_LOST = 1.0  # for replicas whose sockets have an uncertain state
# Seconds without an answer after which a broker is assumed not to know changed registrations.
_REGISTERED_TIMEOUT = 3.0

_NOT_LOST = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED)


class Link(Sender):
    """The stream of one instance to one address, kept up until it is stopped.

    `_links.py` has the rules.

    Attributes:
        address: The address to dial.
        learned: Whether a broker listed the address.
        known: Whether a broker still lists it.
        replica: The replica at the address, as far as known.
        replicas: The addresses of the cluster's replicas, as the replica listed them last.
        replica_timeout: After how many seconds of silence replicas declare it dead; zero when it
            does not say.
        parked: Whether it waits because another link is attached to its replica.
        draining: Whether the replica drains.
        declared: The registrations that were sent last.
        version: The version of the registrations that are in force at the broker.
    """

    def __init__(self, links: Links, address: str, replica: str, *, learned: bool) -> None:
        super().__init__(
            Conversation(links.memory, self),
            links.scheduler,
            links.memory.numbers,
            max_queue_bytes=links.max_queue_bytes,
            emit_timeout=links.emit_timeout,
        )
        # Fixed at birth.
        self._links = links
        self._handlers = links.handlers
        self.address = address
        self.learned = learned
        # Owned by the thread that leads.
        self._call: Any = None
        self._channel: grpc.Channel | None = None
        self._timer: threading.Timer | None = None
        self._attempt = 0
        self._failures = Failures(address, tls=links.settings.tls, learned=learned)
        # Guarded by sending.
        self._registered_as = handler_pb2.Register()
        self._registering: list[int] = []  # versions that were sent and not answered
        # Seen by all.
        self.replica = replica
        self.replicas: dict[str, str] = {}
        self.replica_timeout = 0.0
        self.known = True
        self.draining = False
        self.declared: list[handler_pb2.Registration] = []
        self.version = -1
        self.parked = False
        self._wake = threading.Event()
        self._renewing = False
        self._opened = 0  # the version of the registrations that the stream opened with

    @property
    def live(self) -> bool:
        """Whether the link is attached."""
        return self.conversation.state is State.ATTACHED

    def _reroute(self) -> None:
        self._links.reroute(self)

    # The life of a link.

    def retry_now(self) -> None:
        """Ends the pause between two attempts."""
        self._attempt = 0
        self._wake.set()

    def reattach(self) -> None:
        """Attaches again, because the registrations have changed."""
        self._renewing = True
        self.leave()

    def leave(self, *, retire: bool = False) -> None:
        """Drains the stream, which the broker ends after the last open dispatch.

        Args:
            retire: Whether the service retires with its last instance.
        """
        self._wake.set()
        with self._sending:
            frame = self.conversation.drain_frame(retire=retire)
            if frame is not None and self._frames is not None:
                self._frames.put(frame)
        if frame is None and self.conversation.state is State.OPENING:
            self.cancel()

    def cancel(self) -> None:
        """Cancels the stream."""
        call = self._call
        if call is not None:
            call.cancel()

    # What the scheduler calls.

    def read(self) -> Sequence[Item] | None:
        """Waits for dispatches, attaching again when needed. None means the end."""
        links = self._links
        while True:
            if self._call is None:
                if links.stopping.is_set() or links.error is not None or not self.known:
                    links.link_ended(self)
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

    def send_registrations(self, registrations: list[handler_pb2.Registration], version: int) -> None:
        """Sends changed registrations; attaches again at a broker that does not know them.

        Args:
            registrations: All registrations.
            version: Their version.
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
                self.reattach()

        timer = threading.Timer(_REGISTERED_TIMEOUT, give_up)
        timer.daemon = True
        timer.name = "spanwire-registered"
        timer.start()

    # The stream, owned by the thread that leads.

    def _open(self) -> None:
        """Dials once; waits a little first after a failure."""
        links = self._links
        if self._attempt:
            longest = _LONGEST_PAUSE_LEARNED if self.learned else _LONGEST_PAUSE
            if self.replica in links.lost_replicas:
                longest = _LONGEST_PAUSE_LOST
            if self._wake.wait(pause_before(self._attempt, longest)):
                self._wake.clear()
                return
        self._attempt += 1
        channel = links.settings.channel(self.address)
        if not connected(channel, links.stopping):
            channel.close()
            if not links.stopping.is_set():
                self._failed(self._failures.unreachable())
            return
        frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with self._sending:
            self._renewing = self.draining = False
            self._registering = []
            self._opened = links.version
            self.declared = links.declared()
            self._registered_as = links.register(self.declared)
            frames.put(self.conversation.opening(self._registered_as))
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
        self._bound_welcome(self._call)

    def _park(self) -> None:
        """Waits while another link is attached to the replica at this address."""
        links = self._links
        with links.changed:
            links.changed.wait_for(lambda: links.stopping.is_set() or not self.known or not links.attached_elsewhere(self))
        self.parked = False

    def _bound_welcome(self, call: Any) -> None:
        """Cancels a stream on which no welcome arrives in time."""

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
        # The window may have opened, or a redelivered dispatch may have been answered already.
        if conversation.waiting:
            self.flush()
        items: list[Any] = received.dispatches
        if items:
            self._handlers.prepare(received.dispatches)
        for waiter, answer in received.answers:
            items.extend(waiter.settle(answer))
        if not received.ordinary:
            self._take_control(received)
        if self._links.forgetting:
            self._links.forget_if_due()
        return items

    def _take_control(self, received: Received) -> None:
        """Processes a frame that is neither a batch nor an answer to one."""
        if received.welcome is not None:
            self._welcomed(received.welcome)
        elif received.topology is not None:
            self._links.topology_changed(self, received.topology)
        elif received.registered is not None:
            self._registered(received.registered)
        elif received.draining:
            self.draining = True
            self._links.draining_began()
            _log.info("replica drains; attached until it ends the stream", address=self.address, peer=self.replica)
        elif received.fault is not None:
            if received.fault.code == command_pb2.FAULT_CODE_UNIMPLEMENTED and self._registering:
                self._registered(handler_pb2.Registered(fault=received.fault))
                return
            fault = received.fault
            facts: dict[str, Any] = {}  # a fault of a result names the event in its message only
            if fault.event or fault.namespace or fault.bytes:
                facts = {"event": fault.event, "namespace": fault.namespace or "/", "bytes": fault.bytes}
            code = command_pb2.FaultCode.Name(fault.code)
            _log.error("broker rejected what this instance sent", code=code, err=fault.message, **facts)

    def _welcomed(self, welcome: handler_pb2.Welcome) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._attempt = 0
        self._failures.clear()
        self.version = self._opened
        _log.info(
            "attached",
            service=self._registered_as.service,
            instance=self._registered_as.instance_id,
            address=self.address,
            peer=welcome.replica,
            version=welcome.version or "unknown",
            url=welcome.public_url,
        )
        self._links.welcomed(self, welcome)
        if self._links.stopping.is_set():
            self.leave()

    def _registered(self, answer: handler_pb2.Registered) -> None:
        with self._sending:
            if not self._registering:
                return
            version = self._registering.pop(0)
        if answer.HasField("fault") and answer.fault.code == command_pb2.FAULT_CODE_UNIMPLEMENTED:
            _log.info("broker does not support changed registrations; attaching again", err=answer.fault.message)
            self.reattach()
            return
        if not answer.HasField("fault"):
            self.version = version
        self._links.registered(self, answer.fault.message if answer.HasField("fault") else "")

    def _lose(self, error: Any) -> None:
        """Closes a stream that has ended and decides what follows."""
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
        if welcomed and self.replica and links.attached_elsewhere(self):
            _log.info("replica attached over another address; this one is in reserve", address=self.address, peer=self.replica)
            self.parked = True
            self._attempt = 1
            return
        if error is None:
            # A stream that was drained to attach again ends as expected; another end means that the
            # broker stops.
            self._attempt = 0 if self._renewing else 1
            _log.info("stream ended; attaching again", address=self.address)
            return
        self._report(error, welcomed)

    def _report(self, error: Any, welcomed: bool) -> None:
        """Logs why a stream has ended with an error."""
        details = error.details()
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            _log.error("broker rejected the registrations", address=self.address, err=details)
            refusal = RegistrationError(f"registrations: the broker at {self.address} rejected them: {details}")
            self._links.refused(self, refusal)
        elif welcomed and error.code() not in _NOT_LOST:
            self._attempt = 0
            _log.warning("stream ended; attaching again", address=self.address, err=details)
        else:
            self._failed(self._failures.failed(error))

    def _failed(self, trouble: str) -> None:
        if not self.learned:
            self._links.trouble = trouble
        self._failures.log(trouble)
