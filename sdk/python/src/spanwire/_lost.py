# SPDX-License-Identifier: Apache-2.0
"""Lost replicas: what happens to sockets when a stream breaks.

While their replica lives, it assigns the sockets to attached instances, and notifies one instance
of each disconnect. When it is dead, no other process knows which sockets this instance served, so
the instance notifies its own handlers. The rules:

- A stream that breaks leaves behind the sockets that its replica owns and whose handlers ran here:
  the replica is lost.
- A lost replica is found when a stream to it opens, over any address. No handler is notified then,
  and the sockets continue with that stream: the replica releases those that it assigned to other
  instances meanwhile.
- A lost replica is dead when another replica that knew it does not list it any more; when another
  replica listens at its address; or when it was lost for as long as its setting replica-timeout
  says, and no attached replica lists it.
- The handlers of a dead replica's sockets are notified of the disconnect, behind the items of the
  socket that still run.
- A socket that arrives over another stream is not left behind any more. A later disconnect of a
  socket whose handlers were notified is dropped.
- A service that stops notifies its handlers before it would be too late, unless an attached replica
  lists the lost one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from . import _log
from ._link import Link
from ._memory import Memory
from ._proto import handler_pb2
from ._records import Dispatch, SocketState, State

__all__ = ["LostReplicas", "addresses_from_proto"]

_REASON = "transport error"  # the reason that surviving replicas give for a dead one's sockets
_FALLBACK_TIMEOUT = 10.0  # for brokers that do not send theirs
# Seconds by which a timer may be late in a process that runs. A process that was paused has not
# tried to attach meanwhile.
_LATEST = 1.0


def addresses_from_proto(topology: handler_pb2.Topology) -> dict[str, str]:
    """Returns the addresses of a topology by the ids of the replicas.

    Args:
        topology: The topology.

    Returns:
        The addresses; empty for replicas without one.
    """
    return {r.id: r.address for r in topology.replicas}


class _NoConversation:
    """The substitute for the conversation of a dispatch that no broker sent."""

    generation = 0
    state = State.LOST

    def __init__(self, link: Link, memory: Memory) -> None:
        self.link = link
        self.memory = memory

    def stale(self, dispatch: Any) -> bool:
        """Returns whether the socket was refused; otherwise the dispatch has to run."""
        refused: bool = dispatch.socket.refused
        return refused

    def resolve(self, *_: Any) -> None:
        """Does nothing."""

    def refuse(self, *_: Any) -> None:
        """Does nothing."""

    def fail(self, *_: Any, **__: Any) -> None:
        """Does nothing."""

    def recall(self, _number: int) -> bool:
        """Does nothing."""
        return False


class _Replica:
    """A replica whose stream broke."""

    def __init__(self, name: str, link: Link) -> None:
        self.name = name
        self.link = link
        self.generation = link.conversation.generation
        self.address = link.replicas.get(name, "")
        self.alone = len(link.replicas) <= 1
        self.timeout = link.replica_timeout or _FALLBACK_TIMEOUT
        self.due = time.monotonic() + self.timeout
        self.overdue = False
        self.witnesses: set[Link] = set()
        self.timer: threading.Timer | None = None

    def owns(self, socket: SocketState) -> bool:
        """Returns whether a socket was left behind with the replica."""
        return (
            socket.generation == self.generation
            and not socket.gone
            and socket.facade is not None
            and socket.id.startswith(self.name)
        )


class Attachments(Protocol):
    """The streams of the instance. `Links` implements it."""

    memory: Memory
    changed: threading.Condition

    @property
    def live(self) -> tuple[Link, ...]:
        """The links that are attached."""

    def attached_elsewhere(self, link: Link) -> bool:
        """Returns whether another link is attached to the replica of a link."""

    def submit(self, dispatches: Sequence[Dispatch]) -> None:
        """Runs the handlers of dispatches."""


class LostReplicas:
    """The replicas whose streams broke.

    The lock of the links is held for every method, unless the method says otherwise.

    Args:
        links: The links.
    """

    def __init__(self, links: Attachments) -> None:
        self._links = links
        self._memory = links.memory
        self._replicas: dict[str, _Replica] = {}

    def __contains__(self, name: str) -> bool:
        """Returns whether a replica is lost. Needs no lock."""
        return name in self._replicas

    def lose(self, link: Link) -> None:
        """Notes that a stream broke.

        Args:
            link: The link.
        """
        name = link.replica
        if not name or self._links.attached_elsewhere(link):
            return
        replica = _Replica(name, link)
        self._stop(self._replicas.get(name))
        self._replicas[name] = replica
        self._wait(replica)
        self._decide(replica)

    def opened(self, link: Link) -> None:
        """Notes that a stream opened.

        Args:
            link: The link.
        """
        generation = link.conversation.generation
        for other in self._links.live:
            if other is not link and other.replica == link.replica:  # this one replaces it
                before = other.conversation.generation
                for socket in list(self._memory.sockets.values()):
                    if socket.generation == before:
                        socket.generation = generation
        found = self._replicas.pop(link.replica, None)
        if found is not None:
            self._stop(found)
            self._resume(found, generation)
        address = link.replicas.get(link.replica, "")
        for replica in list(self._replicas.values()):
            same = bool(replica.address) and replica.address == address
            if replica.link is link and (same or (replica.alone and len(link.replicas) <= 1)):
                self._declare_dead(replica)
            else:
                self._decide(replica)

    def updated(self) -> None:
        """Notes that an attached replica has sent its list of replicas."""
        for replica in list(self._replicas.values()):
            self._decide(replica)

    def declare_all_dead(self) -> None:
        """Declares the lost replicas dead that no attached one lists, since the service stops."""
        for replica in list(self._replicas.values()):
            replica.overdue = True
            self._decide(replica)

    def close(self) -> None:
        """Stops all timers."""
        for replica in self._replicas.values():
            self._stop(replica)
        self._replicas.clear()

    def _wait(self, replica: _Replica) -> None:
        timer = threading.Timer(replica.timeout, self._timed_out, (replica,))
        timer.daemon = True
        timer.name = "spanwire-lost"
        replica.timer = timer
        timer.start()

    @staticmethod
    def _stop(replica: _Replica | None) -> None:
        if replica is not None and replica.timer is not None:
            replica.timer.cancel()

    def _timed_out(self, replica: _Replica) -> None:
        """Handles the timeout of a lost replica. Takes the lock."""
        with self._links.changed:
            if self._replicas.get(replica.name) is not replica:
                return
            now = time.monotonic()
            if now - replica.due > _LATEST:
                replica.due = now + replica.timeout
                self._wait(replica)
                return
            replica.overdue = True
            self._decide(replica)

    def _decide(self, replica: _Replica) -> None:
        """Decides whether a lost replica is dead."""
        known = denied = False
        for link in self._links.live:
            if replica.name in link.replicas:
                known = True
                replica.witnesses.add(link)
            elif link in replica.witnesses:
                denied = True
        if denied or (replica.overdue and not known):
            self._declare_dead(replica)

    def _resume(self, replica: _Replica, generation: int) -> None:
        """Continues the sockets of a replica that was found."""
        for socket in list(self._memory.sockets.values()):
            if replica.owns(socket):
                socket.generation = generation
        unhandled = self._memory.unhandled_disconnects
        self._memory.unhandled_disconnects = {
            socket_id: dispatch for socket_id, dispatch in unhandled.items() if not socket_id.startswith(replica.name)
        }

    def _declare_dead(self, replica: _Replica) -> None:
        """Notifies handlers that the sockets of a dead replica have disconnected."""
        self._stop(replica)
        self._replicas.pop(replica.name, None)
        memory = self._memory
        memory.dead.add(replica.generation)
        gone = {s.id: (s, _REASON) for s in list(memory.sockets.values()) if replica.owns(s)}
        for socket_id, dispatch in list(memory.unhandled_disconnects.items()):
            if socket_id.startswith(replica.name):
                memory.unhandled_disconnects.pop(socket_id, None)
                gone[socket_id] = (dispatch.socket, dispatch.message.disconnected.reason)
        if not gone:
            return
        _log.warning(
            "replica is dead; its sockets count as disconnected",
            peer=replica.name,
            sockets=len(gone),
            reason=_REASON,
            setting="replica-timeout",
        )
        home = _NoConversation(replica.link, memory)
        disconnects = []
        for socket, reason in gone.values():
            memory.notify(socket.id)
            memory.forget(socket.id)
            socket.gone = True
            socket.left = ()
            message = handler_pb2.Dispatch(
                socket_id=socket.id, namespace=socket.namespace, disconnected=handler_pb2.Disconnected(reason=reason)
            )
            dispatch = Dispatch(message, socket, home, 0)
            dispatch.name = dispatch.kind = "disconnect"
            disconnects.append(dispatch)
        self._links.submit(disconnects)
