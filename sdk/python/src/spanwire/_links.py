# SPDX-License-Identifier: Apache-2.0
"""The links of a service: one for each address of the cluster.

The rules:

- A link keeps the service attached to one address until the service stops. The brokers list the
  replicas of the cluster, and each new address gets a link. Such a link ends when its stream has
  ended and no broker lists the address any more.
- Two addresses may lead to one replica, which keeps one stream of an instance: the newest. So the
  newest link stays, and the other is parked until that one has lost its stream.
- The commands of a socket's handler go over the link that delivered its dispatch. Other emits go
  over one link for as long as it is attached and its replica does not drain, so that they keep
  their order.
- Commands that a lost link has not sent go over another one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from . import _log
from ._core import State
from ._dial import HINT
from ._link import Link
from ._lost import LostReplicas, addresses_from_proto
from ._memory import Memory
from ._proto import handler_pb2
from ._records import Dispatch
from ._scheduler import Scheduler, current_item
from ._settings import Settings
from .exceptions import BrokerUnavailableError, RegistrationError

__all__ = ["Handlers", "Links"]

# Seconds after the loss of a stream, after which sockets that no other stream brought are
# forgotten.
_FORGET_AFTER = 3600.0

Registrations = list[handler_pb2.Registration]


class Handlers(Protocol):
    """What links need from their service."""

    def prepare(self, dispatches: list[Dispatch]) -> None:
        """Finds the routes of dispatches."""

    def invoke(self, item: Any) -> None:
        """Runs one item to its end. Never raises."""

    def invoke_async(self, items: list[Any], done: Callable[[Any], None]) -> None:
        """Starts items with coroutine handlers."""

    def running(self) -> Any:
        """Returns the dispatch that the calling coroutine handles, or None."""


class Links:
    """All links of one instance, with the threads and the memory that they share.

    Args:
        handlers: Runs the dispatches.
        register: Returns the registration of the instance for a list of registrations.
        declare: Returns the registrations.
        settings: The addresses, and the credentials for them.
        workers: How many handlers may block at a time.
        max_queue_bytes: How many bytes of commands may be queued on one link.
        emit_timeout: How long a command waits for space there, in seconds.
        one_replica: Whether to attach to the addresses of the settings only.
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
        self.invoke = handlers.invoke
        self.invoke_async = handlers.invoke_async
        self._declare = declare
        self._one_replica = one_replica
        self.scheduler = Scheduler(self, workers, "spanwire")
        # Guarded by changed, and replaced rather than changed, so that any thread may read them.
        self.changed = threading.Condition()
        self._links: tuple[Link, ...] = ()
        self._preferred: Link | None = None
        self._version = 0  # of the registrations
        self._accepted: Registrations | None = None
        self._refused: Registrations | None = None
        self._fault = ""
        self._forget_at = 0.0
        # Seen by all.
        self.lost_replicas = LostReplicas(self)
        self.stopping = threading.Event()
        self.attached = threading.Event()
        self.ended = threading.Event()
        self.welcome: handler_pb2.Welcome | None = None  # the first
        self.error: Exception | None = None  # why there are no more attempts
        self.trouble = ""  # the last failure, in one line

    # The life of the links.

    def start(self) -> None:
        """Starts to dial, on threads of its own."""
        self.scheduler.start()
        with self.changed:
            for address in dict.fromkeys(self.settings.addresses):
                self._add(address)

    def stop(self, timeout: float, *, retire: bool = False) -> None:
        """Drains: takes no new dispatches, finishes the open ones, then detaches.

        Streams that are open after the timeout are cancelled.

        Args:
            timeout: How long it may take, in seconds.
            retire: Whether the service retires with its last instance.
        """
        deadline = time.monotonic() + timeout
        with self.changed:
            self.stopping.set()
            self.lost_replicas.declare_all_dead()
            self.lost_replicas.close()
        # Earlier emits are sent first; the broker ends a drained stream without waiting for
        # commands.
        while any(link.live and link.conversation.waiting for link in self._links) and time.monotonic() < deadline:
            self.flush()
            time.sleep(0.002)
        for link in self._links:
            link.leave(retire=retire)
        with self.changed:
            self.changed.notify_all()
        if not self.ended.wait(max(0.0, deadline - time.monotonic())):
            _log.warning(
                "drain timed out with handlers still running; their events go to other instances",
                duration=f"{timeout:g}s",
            )
            for link in self._links:
                link.cancel()
            self.ended.wait(1)
        while self.scheduler.running() and time.monotonic() < deadline:  # handlers of disconnects
            time.sleep(0.002)
        self.scheduler.stop(max(0.1, deadline - time.monotonic()))

    def _add(self, address: str, replica: str = "", *, learned: bool = False) -> None:
        """Adds a link. The lock is held."""
        link = Link(self, address, replica, learned=learned)
        self._links = (*self._links, link)
        if self._preferred is None:
            self._preferred = link
        self.scheduler.add(link)

    def follow(self, topology: handler_pb2.Topology) -> None:
        """Follows the list of replicas of a broker.

        Args:
            topology: The list.
        """
        if self._one_replica or self.stopping.is_set():
            return
        listed = {r.address: r.id for r in topology.replicas if r.address}
        with self.changed:
            for address, replica in listed.items():
                known = [link for link in self._links if link.address == address or (link.live and link.replica == replica)]
                if not known:
                    self._add(address, replica, learned=True)
                elif not known[0].live and known[0].replica != replica:
                    # The replica has restarted, so dial at once.
                    known[0].replica = replica
                    known[0].retry_now()
            for link in self._links:
                link.known = not link.learned or link.address in listed
            self.changed.notify_all()

    def attached_elsewhere(self, link: Link) -> bool:
        """Returns whether another link is attached to the replica of a link."""
        return any(other.live and other is not link and other.replica == link.replica for other in self._links)

    # What links report.

    def welcomed(self, link: Link, welcome: handler_pb2.Welcome) -> None:
        """Notes that a link is attached; another link to the same replica is cancelled.

        Args:
            link: The link.
            welcome: The welcome of the broker.
        """
        with self.changed:
            others = [o for o in self._links if o is not link and o.live and welcome.replica and o.replica == welcome.replica]
            link.replica = welcome.replica
            link.replicas = addresses_from_proto(welcome.topology)
            link.replica_timeout = welcome.replica_timeout_ms / 1000
            self.lost_replicas.opened(link)
            if self.welcome is None:
                self.welcome = welcome
            self.trouble = ""
            self._accepted = link.declared
            self._choose()
            self.attached.set()
            self.changed.notify_all()
        for other in others:
            other.cancel()
        for other in self._links:
            if not other.live:
                self.reroute(other)
        if welcome.HasField("topology"):
            self.follow(welcome.topology)
        if link.version < self._version:
            link.send_registrations(self.declared(), self._version)

    def topology_changed(self, link: Link, topology: handler_pb2.Topology) -> None:
        """Notes the list of replicas of an attached replica.

        Args:
            link: The link to the replica.
            topology: The list.
        """
        with self.changed:
            link.replicas = addresses_from_proto(topology)
            self.lost_replicas.updated()
        self.follow(topology)

    def lost(self, link: Link, *, broken: bool = False) -> None:
        """Notes that a link is not attached any more.

        Args:
            link: The link.
            broken: Whether the stream broke, rather than being drained.
        """
        with self.changed:
            if broken and not self.stopping.is_set():
                self.lost_replicas.lose(link)
            self._forget_at = time.monotonic() + _FORGET_AFTER
            self._choose()
            if not any(other.live for other in self._links):
                self.attached.clear()
            self.changed.notify_all()
        self.reroute(link)

    def draining_began(self) -> None:
        """Notes that the replica of a link drains."""
        with self.changed:
            self._choose()

    def link_ended(self, link: Link) -> None:
        """Notes that a link has stopped dialling."""
        self.reroute(link)
        with self.changed:
            link.conversation.leave()
            self._links = tuple(other for other in self._links if other is not link)
            self._choose()
            if not self._links:
                self.attached.clear()
                self.ended.set()
            self.changed.notify_all()

    def refused(self, link: Link, error: RegistrationError) -> None:
        """Notes that a broker rejected the registrations.

        That is fatal unless a broker accepted them before.
        """
        self.trouble = str(error)
        with self.changed:
            if self._accepted is None and not link.learned:
                self.error = error
            self.changed.notify_all()

    def _choose(self) -> None:
        """Chooses the link for emits outside handlers. The lock is held."""
        preferred = self._preferred
        if preferred is not None and preferred in self._links and preferred.live and not preferred.draining:
            return
        live = [link for link in self._links if link.live]
        staying = [link for link in live if not link.draining]
        if preferred not in live or staying:
            self._preferred = next(iter(staying or live or self._links), None)

    def reroute(self, link: Link) -> None:
        """Sends the unsent commands of a link that is not attached over one that is."""
        if not link.conversation.waiting:
            return
        other = self._preferred
        if other is None or other is link or not other.live:
            return
        other.take_over(link.take_unsent())
        other.flush()

    # Registrations.

    def declared(self) -> Registrations:
        """Returns the registrations, or the last accepted ones if brokers rejected them."""
        now = self._declare()
        return self._accepted if self._accepted is not None and now == self._refused else now

    @property
    def version(self) -> int:
        """The number of changes of the registrations."""
        return self._version

    def update(self) -> None:
        """Sends changed registrations to all brokers."""
        with self.changed:
            self._version += 1
            self._refused, self._fault = None, ""
        registrations = self.declared()
        for link in self._links:
            link.send_registrations(registrations, self._version)

    def registered(self, link: Link, fault: str) -> None:
        """Notes the answer of a broker to changed registrations.

        Args:
            link: The link.
            fault: Why the broker rejected them; empty when it accepted them.
        """
        with self.changed:
            if fault:
                self._refused, self._fault = link.declared, fault
                _log.error(
                    "broker rejected the changed registrations; the previous ones stay in force",
                    address=link.address,
                    err=fault,
                )
            else:
                self._accepted = link.declared
            self.changed.notify_all()

    def wait_registered(self, timeout: float | None) -> None:
        """Waits until all brokers have accepted the registrations.

        Args:
            timeout: How long, in seconds; None means without limit.

        Raises:
            RegistrationError: A broker rejected them.
            BrokerUnavailableError: The timeout has passed.
        """

        def settled() -> bool:
            live = [link for link in self._links if link.live]
            return bool(self._fault) or bool(live and all(link.version >= self._version for link in live))

        with self.changed:
            if not self.changed.wait_for(settled, timeout):
                raise BrokerUnavailableError("registrations: no broker has answered in time", address=self.settings.addresses[0])
            if self._fault:
                raise RegistrationError(f"registrations: the broker rejected them: {self._fault}")

    def submit(self, dispatches: Sequence[Dispatch]) -> None:
        """Runs the handlers of dispatches that no stream delivered.

        Args:
            dispatches: The dispatches.
        """
        self.handlers.prepare(list(dispatches))
        self.scheduler.submit([d for d in dispatches if d.route is not None])

    # What services call.

    @property
    def links(self) -> tuple[Link, ...]:
        """All links."""
        return self._links

    @property
    def live(self) -> tuple[Link, ...]:
        """The links that are attached."""
        return tuple(link for link in self._links if link.live)

    def current(self) -> Link:
        """Returns the link for a command: the calling handler's, or else the preferred one."""
        if len(self._links) > 1:
            item = current_item() or self.handlers.running()
            if isinstance(item, Dispatch) and item.home.state is State.ATTACHED:
                link: Link = item.home.link
                return link
        preferred = self._preferred
        if preferred is None:
            raise BrokerUnavailableError(self._unavailable(), address=self.settings.addresses[0])
        return preferred

    def wait_attached(self, timeout: float | None) -> None:
        """Waits until a broker has sent its welcome.

        Args:
            timeout: How long, in seconds; None means without limit.

        Raises:
            RegistrationError: The broker rejected the registrations.
            BrokerUnavailableError: The timeout has passed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.attached.wait(0.05):
            if self.error is not None:
                raise self.error
            if self.ended.is_set() or (deadline is not None and time.monotonic() >= deadline):
                raise BrokerUnavailableError(self._unavailable(), address=self.settings.addresses[0])

    def _unavailable(self) -> str:
        return self.trouble or f"attach: no answer of the broker at {self.settings.addresses[0]} yet ({HINT})"

    # What the scheduler calls.

    def flush(self) -> None:
        """Sends what is queued, if the windows allow it. Never blocks."""
        for link in self._links:
            link.flush()

    def answer_if_due(self) -> None:
        """Acknowledges the brokers' frames if they wait for that. Never blocks."""
        for link in self._links:
            link.answer_if_due()

    def forget_if_due(self) -> None:
        """Forgets sockets that disconnected while no stream was open, after a while."""
        if time.monotonic() > self._forget_at:
            self._forget_at = 0.0
            self.memory.forget_absent()

    @property
    def forgetting(self) -> bool:
        """Whether there may be sockets to forget."""
        return bool(self._forget_at)
