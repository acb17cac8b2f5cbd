# SPDX-License-Identifier: Apache-2.0
"""A service's links: one to each replica, to those that were named and to those that the brokers tell of.

The rules:

- A link is the wish to be attached to one address, kept until the service leaves. The brokers tell of the replicas of the
  cluster, and each address that is new gets a link. One that was learned so ends when its stream has ended and no broker tells
  of it any more.
- Two addresses may lead to one replica, which keeps one stream of an instance: the newest. So the link that came last stays, and
  the other is parked until that one has lost its stream.
- A socket's commands go over the link that dispatched for it, and so does whatever else its handler asks for. What is
  emitted outside handlers goes over one link for as long as that is attached and its replica stays, so that it keeps its order.
- What a lost link had not sent goes over another one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ._core import State
from ._crew import Crew, here
from ._link import HINT, Link
from ._lost import Lost, addresses
from ._memory import Memory
from ._proto import handler_pb2
from ._records import Dispatch
from ._settings import Settings
from .exceptions import BrokerUnavailableError, RegistrationError

__all__ = ["Handlers", "Links"]

log = logging.getLogger("spanwire")

_FORGET_AFTER = 3600.0  # seconds after the loss of a stream, after which sockets that no other stream brought are forgotten

Registrations = list[handler_pb2.Registration]


class Handlers(Protocol):
    """What links ask of their service."""

    def prepare(self, dispatches: list[Dispatch]) -> None:
        """Finds the dispatches' routes."""

    def perform(self, item: Any) -> None:
        """Runs one item to its end. Never raises."""

    def perform_async(self, items: list[Any], done: Callable[[Any], None]) -> None:
        """Starts items with coroutine handlers."""

    def running(self) -> Any:
        """The dispatch that the calling coroutine handles, or None."""


class Links:
    """All links of one instance, with the threads and the memory that they share.

    Args:
        handlers: Runs what comes.
        register: Describes the instance, with what it handles.
        declare: Tells what it handles.
        settings: Where to begin, and how to be let in.
        workers: How many handlers may be held up at a time.
        max_queue_bytes: How many bytes of commands may wait on one link.
        emit_timeout: How long a command waits for room there, in seconds.
        one_replica: Attaches to the addresses of the settings only.
    """

    def __init__(
        self,
        handlers: Handlers,
        register: Callable[[Registrations], handler_pb2.Register],
        declare: Callable[[], Registrations],
        settings: Settings,
        *,
        workers: int,
        max_queue_bytes: int,
        emit_timeout: float,
        one_replica: bool = False,
    ) -> None:
        # Fixed at birth.
        self.handlers = handlers
        self.register = register
        self.settings = settings
        self.max_queue_bytes = max_queue_bytes
        self.emit_timeout = emit_timeout
        self.memory = Memory()
        self.perform = handlers.perform
        self.perform_async = handlers.perform_async
        self._declare = declare
        self._one_replica = one_replica
        self.crew = Crew(self, workers, "spanwire")
        # Guarded by changed, and replaced rather than changed, so that anybody may read them.
        self.changed = threading.Condition()
        self._links: tuple[Link, ...] = ()
        self._preferred: Link | None = None
        self._version = 0  # of what is registered
        self._accepted: Registrations | None = None
        self._refused: Registrations | None = None
        self._fault = ""
        self._forget_at = 0.0
        # Seen by all.
        self.lost_replicas = Lost(self)
        self.stopping = threading.Event()
        self.attached = threading.Event()
        self.ended = threading.Event()
        self.welcome: handler_pb2.Welcome | None = None  # the first
        self.error: Exception | None = None  # why there will be no more attempts
        self.trouble = ""  # what went wrong last, in one line

    # Their life.

    def start(self) -> None:
        """Begins to dial, on threads of its own."""
        self.crew.start()
        with self.changed:
            for address in dict.fromkeys(self.settings.addresses):
                self._add(address)

    def stop(self, timeout: float, *, retire: bool = False) -> None:
        """Drains: takes nothing new, finishes what is open, then leaves. Whatever is left after the timeout is cut off.

        Args:
            timeout: How long it may take, in seconds.
            retire: Whether the service retires with its last instance.
        """
        deadline = time.monotonic() + timeout
        with self.changed:
            self.stopping.set()
            self.lost_replicas.bury_all()
            self.lost_replicas.close()
        # What was emitted before goes out before; the broker ends a drained stream without waiting for commands.
        while any(link.live and link.conversation.waiting for link in self._links) and time.monotonic() < deadline:
            self.flush()
            time.sleep(0.002)
        for link in self._links:
            link.leave(retire=retire)
        with self.changed:
            self.changed.notify_all()
        if not self.ended.wait(max(0.0, deadline - time.monotonic())):
            log.warning("handlers were still running after %g s of draining; their events go to other instances", timeout)
            for link in self._links:
                link.cut_off()
            self.ended.wait(1)
        while self.crew.running() and time.monotonic() < deadline:  # what was told of lost replicas
            time.sleep(0.002)
        self.crew.stop(max(0.1, deadline - time.monotonic()))

    def _add(self, address: str, replica: str = "", *, learned: bool = False) -> None:
        """Begins a link; the lock is held."""
        link = Link(self, address, replica, learned=learned)
        self._links = (*self._links, link)
        if self._preferred is None:
            self._preferred = link
        self.crew.add(link)

    def learn(self, topology: handler_pb2.Topology) -> None:
        """Follows the list of replicas that a broker tells.

        Args:
            topology: The list.
        """
        if self._one_replica or self.stopping.is_set():
            return
        told = {r.address: r.id for r in topology.replicas if r.address}
        with self.changed:
            for address, replica in told.items():
                known = [link for link in self._links if link.address == address or (link.live and link.replica == replica)]
                if not known:
                    self._add(address, replica, learned=True)
                elif not known[0].live and known[0].replica != replica:
                    # It was started anew, so it is worth to try at once.
                    known[0].replica = replica
                    known[0].hurry()
            for link in self._links:
                link.told = not link.learned or link.address in told
            self.changed.notify_all()

    def taken(self, link: Link) -> bool:
        """Says whether another link is attached to the replica that a link led to."""
        return any(other.live and other is not link and other.replica == link.replica for other in self._links)

    # What the links tell.

    def welcomed(self, link: Link, welcome: handler_pb2.Welcome) -> None:
        """Notes that a link is attached; another one to the same replica makes room.

        Args:
            link: The link.
            welcome: What the broker said.
        """
        with self.changed:
            others = [o for o in self._links if o is not link and o.live and welcome.replica and o.replica == welcome.replica]
            link.replica = welcome.replica
            link.replicas = addresses(welcome.topology)
            link.replica_timeout = welcome.replica_timeout_ms / 1000
            self.lost_replicas.met(link)
            if self.welcome is None:
                self.welcome = welcome
            self.trouble = ""
            self._accepted = link.declared
            self._choose()
            self.attached.set()
            self.changed.notify_all()
        for other in others:
            other.cut_off()
        for other in self._links:
            if not other.live:
                self.rescue(other)
        if welcome.HasField("topology"):
            self.learn(welcome.topology)
        if link.version < self._version:
            link.send_registrations(self.declared(), self._version)

    def heard(self, link: Link, topology: handler_pb2.Topology) -> None:
        """Notes which replicas an attached one tells of.

        Args:
            link: The link that leads to it.
            topology: The list.
        """
        with self.changed:
            link.replicas = addresses(topology)
            self.lost_replicas.heard()
        self.learn(topology)

    def lost(self, link: Link, *, broken: bool = False) -> None:
        """Notes that a link is not attached any more.

        Args:
            link: The link.
            broken: Whether nobody asked for that.
        """
        with self.changed:
            if broken and not self.stopping.is_set():
                self.lost_replicas.lose(link)
            self._forget_at = time.monotonic() + _FORGET_AFTER
            self._choose()
            if not any(other.live for other in self._links):
                self.attached.clear()
            self.changed.notify_all()
        self.rescue(link)

    def drains(self) -> None:
        """Notes that a link's replica is about to stop."""
        with self.changed:
            self._choose()

    def left(self, link: Link) -> None:
        """Notes that a link will not dial any more."""
        self.rescue(link)
        with self.changed:
            link.conversation.leave()
            self._links = tuple(other for other in self._links if other is not link)
            self._choose()
            if not self._links:
                self.attached.clear()
                self.ended.set()
            self.changed.notify_all()

    def refused(self, link: Link, error: RegistrationError) -> None:
        """Notes that a broker refused the registration; that is fatal unless one took it before."""
        self.trouble = str(error)
        with self.changed:
            if self._accepted is None and not link.learned:
                self.error = error
            self.changed.notify_all()

    def _choose(self) -> None:
        """Chooses the link for what is emitted outside handlers; the lock is held."""
        preferred = self._preferred
        if preferred is not None and preferred in self._links and preferred.live and not preferred.draining:
            return
        live = [link for link in self._links if link.live]
        staying = [link for link in live if not link.draining]
        if preferred not in live or staying:
            self._preferred = next(iter(staying or live or self._links), None)

    def rescue(self, link: Link) -> None:
        """Sends what a link that is not attached has not sent over one that is."""
        if not link.conversation.waiting:
            return
        other = self._preferred
        if other is None or other is link or not other.live:
            return
        other.take_over(link.surrender())
        other.flush()

    # Registrations.

    def declared(self) -> Registrations:
        """What the instance handles; what the brokers took last, if they refused what it handles now."""
        now = self._declare()
        return self._accepted if self._accepted is not None and now == self._refused else now

    @property
    def version(self) -> int:
        """Counts the changes of what the instance handles."""
        return self._version

    def update(self) -> None:
        """Tells all brokers what the instance handles now."""
        with self.changed:
            self._version += 1
            self._refused, self._fault = None, ""
        registrations = self.declared()
        for link in self._links:
            link.send_registrations(registrations, self._version)

    def registered(self, link: Link, fault: str) -> None:
        """Notes what a broker answered to changed registrations.

        Args:
            link: The link.
            fault: Why it refused them; empty when it took them.
        """
        with self.changed:
            if fault:
                self._refused, self._fault = link.declared, fault
                log.error("the broker refused the changed registrations, and those before are in force: %s", fault)
            else:
                self._accepted = link.declared
            self.changed.notify_all()

    def wait_registered(self, timeout: float | None) -> None:
        """Waits until all brokers have taken what the instance handles.

        Args:
            timeout: How long, in seconds; None means for ever.

        Raises:
            RegistrationError: One refused it.
            BrokerUnavailableError: The time is over.
        """

        def settled() -> bool:
            live = [link for link in self._links if link.live]
            return bool(self._fault) or bool(live and all(link.version >= self._version for link in live))

        with self.changed:
            if not self.changed.wait_for(settled, timeout):
                raise BrokerUnavailableError("no broker has answered the registrations yet", address=self.settings.addresses[0])
            if self._fault:
                raise RegistrationError(f"the broker refused the registrations: {self._fault}")

    def submit(self, dispatches: Sequence[Dispatch]) -> None:
        """Has the handlers of dispatches run that no stream brought.

        Args:
            dispatches: The dispatches.
        """
        self.handlers.prepare(list(dispatches))
        self.crew.submit([d for d in dispatches if d.route is not None])

    # What services ask for.

    @property
    def links(self) -> tuple[Link, ...]:
        """All links."""
        return self._links

    @property
    def live(self) -> tuple[Link, ...]:
        """The links that are attached."""
        return tuple(link for link in self._links if link.live)

    def current(self) -> Link:
        """The link for a command of the calling thread: its handler's, or else the preferred one."""
        if len(self._links) > 1:
            item = here() or self.handlers.running()
            if isinstance(item, Dispatch) and item.home.state is State.ATTACHED:
                link: Link = item.home.link
                return link
        preferred = self._preferred
        if preferred is None:
            raise BrokerUnavailableError(self._unavailable(), address=self.settings.addresses[0])
        return preferred

    def wait_attached(self, timeout: float | None) -> None:
        """Waits until a broker has said welcome.

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
                raise BrokerUnavailableError(self._unavailable(), address=self.settings.addresses[0])

    def _unavailable(self) -> str:
        return self.trouble or f"not attached to the broker at {self.settings.addresses[0]} yet. {HINT}"

    # What the crew asks for.

    def flush(self) -> None:
        """Sends what is queued, if the windows allow. Never blocks."""
        for link in self._links:
            link.flush()

    def answer_if_due(self) -> None:
        """Answers the brokers' frames if they wait for that. Never blocks."""
        for link in self._links:
            link.answer_if_due()

    def forget_if_due(self) -> None:
        """Forgets sockets that went away while no stream was up, in time."""
        if time.monotonic() > self._forget_at:
            self._forget_at = 0.0
            self.memory.forget_absent()

    @property
    def forgetting(self) -> bool:
        """Whether there may be sockets to forget."""
        return bool(self._forget_at)
