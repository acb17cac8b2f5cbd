# SPDX-License-Identifier: Apache-2.0
"""What becomes of sockets when a stream breaks.

While their replica lives, the replica gives them to instances that are attached, and tells one of them of each disconnect. When
it is dead, nobody else knows which sockets this instance served, so it tells its own handlers. The rules:

- A stream that breaks leaves the sockets behind that its replica owns and whose handlers ran here: the replica is lost.
- A lost replica is found when a stream to it opens, over whichever address. Nothing is said then, and the sockets go on with
  that stream: the replica releases those that it gave to other instances meanwhile.
- It is dead when another replica that knew it does not any more; when another one listens at its address; or when it was lost for
  as long as its setting replica-timeout says, and no attached replica knows it.
- Handlers of a dead replica's sockets are told of the disconnect, behind what still runs of the socket.
- A socket that comes over another stream is not left behind any more. A disconnect that comes over another stream of a socket
  whose handler was told is dropped.
- A service that leaves tells what it would not live to tell, unless an attached replica knows the lost one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from ._link import Link
from ._memory import Memory
from ._proto import handler_pb2
from ._records import Dispatch, SocketState, State

__all__ = ["Lost", "addresses"]

log = logging.getLogger("spanwire")

_REASON = "transport error"  # what surviving replicas say of a dead one's sockets
_FALLBACK_TIMEOUT = 10.0  # for brokers that do not tell theirs
_LATEST = 1.0  # by how much a timer may be late in a process that runs; one that was paused has not tried to attach meanwhile


def addresses(topology: handler_pb2.Topology) -> dict[str, str]:
    """Gives the addresses of a topology by the replicas' names.

    Args:
        topology: The topology.

    Returns:
        The addresses; empty ones for replicas that told none.
    """
    return {r.id: r.address for r in topology.replicas}


class _Nowhere:
    """Stands for the conversation of a dispatch that no broker sent."""

    generation = 0
    state = State.LOST

    def __init__(self, link: Link, memory: Memory) -> None:
        self.link = link
        self.memory = memory

    def stale(self, dispatch: Any) -> bool:
        """Says that it is to be run, unless the socket was not let in at last."""
        refused: bool = dispatch.socket.refused
        return refused

    def resolve(self, *_: Any) -> None:
        """Resolves nothing."""

    def refuse(self, *_: Any) -> None:
        """Resolves nothing."""

    def fail(self, *_: Any, **__: Any) -> None:
        """Resolves nothing."""

    def recall(self, _number: int) -> bool:
        """Finds nothing."""
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
        """Says whether a socket was left behind with the replica."""
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

    def taken(self, link: Link) -> bool:
        """Says whether another link is attached to the replica of a link."""

    def submit(self, dispatches: Sequence[Dispatch]) -> None:
        """Has the handlers of dispatches run."""


class Lost:
    """The replicas whose streams broke. All methods are called with the lock of the links held, but for those that say otherwise.

    Args:
        links: The links.
    """

    def __init__(self, links: Attachments) -> None:
        self._links = links
        self._memory = links.memory
        self._replicas: dict[str, _Replica] = {}

    def __contains__(self, name: str) -> bool:
        """Says whether a replica is lost. Needs no lock."""
        return name in self._replicas

    def lose(self, link: Link) -> None:
        """Follows the loss of a stream.

        Args:
            link: The link.
        """
        name = link.replica
        if not name or self._links.taken(link):
            return
        replica = _Replica(name, link)
        self._stop(self._replicas.get(name))
        self._replicas[name] = replica
        self._wait(replica)
        self._judge(replica)

    def met(self, link: Link) -> None:
        """Follows a stream that opened.

        Args:
            link: The link.
        """
        generation = link.conversation.generation
        for other in self._links.live:
            if other is not link and other.replica == link.replica:  # this one takes its place
                before = other.conversation.generation
                for socket in list(self._memory.sockets.values()):
                    if socket.generation == before:
                        socket.generation = generation
        found = self._replicas.pop(link.replica, None)
        if found is not None:
            self._stop(found)
            self._keep(found, generation)
        address = link.replicas.get(link.replica, "")
        for replica in list(self._replicas.values()):
            same = bool(replica.address) and replica.address == address
            if replica.link is link and (same or (replica.alone and len(link.replicas) <= 1)):
                self._bury(replica)
            else:
                self._judge(replica)

    def heard(self) -> None:
        """Follows a list of replicas that an attached one told."""
        for replica in list(self._replicas.values()):
            self._judge(replica)

    def bury_all(self) -> None:
        """Tells of all lost replicas that no attached one knows, since the service leaves."""
        for replica in list(self._replicas.values()):
            replica.overdue = True
            self._judge(replica)

    def close(self) -> None:
        """Waits for nothing any more."""
        for replica in self._replicas.values():
            self._stop(replica)
        self._replicas.clear()

    def _wait(self, replica: _Replica) -> None:
        timer = threading.Timer(replica.timeout, self._too_long, (replica,))
        timer.daemon = True
        timer.name = "spanwire-lost"
        replica.timer = timer
        timer.start()

    @staticmethod
    def _stop(replica: _Replica | None) -> None:
        if replica is not None and replica.timer is not None:
            replica.timer.cancel()

    def _too_long(self, replica: _Replica) -> None:
        """Is called when a replica was lost for its timeout; takes the lock."""
        with self._links.changed:
            if self._replicas.get(replica.name) is not replica:
                return
            now = time.monotonic()
            if now - replica.due > _LATEST:
                replica.due = now + replica.timeout
                self._wait(replica)
                return
            replica.overdue = True
            self._judge(replica)

    def _judge(self, replica: _Replica) -> None:
        """Finds out whether a lost replica is dead."""
        known = denied = False
        for link in self._links.live:
            if replica.name in link.replicas:
                known = True
                replica.witnesses.add(link)
            elif link in replica.witnesses:
                denied = True
        if denied or (replica.overdue and not known):
            self._bury(replica)

    def _keep(self, replica: _Replica, generation: int) -> None:
        """Has the sockets of a replica that was found go on."""
        for socket in list(self._memory.sockets.values()):
            if replica.owns(socket):
                socket.generation = generation
        self._memory.unsaid = {k: v for k, v in self._memory.unsaid.items() if not k.startswith(replica.name)}

    def _bury(self, replica: _Replica) -> None:
        """Has handlers told that the sockets of a dead replica are gone."""
        self._stop(replica)
        self._replicas.pop(replica.name, None)
        memory = self._memory
        memory.dead.add(replica.generation)
        gone = {s.id: (s, _REASON) for s in list(memory.sockets.values()) if replica.owns(s)}
        for socket_id, dispatch in list(memory.unsaid.items()):
            if socket_id.startswith(replica.name):
                memory.unsaid.pop(socket_id, None)
                gone[socket_id] = (dispatch.socket, dispatch.message.disconnected.reason)
        if not gone:
            return
        log.warning(
            "the replica %s is gone; its %d sockets count as disconnected (setting replica-timeout)", replica.name, len(gone)
        )
        home = _Nowhere(replica.link, memory)
        farewells = []
        for socket, reason in gone.values():
            memory.tell(socket.id)
            memory.forget(socket.id)
            socket.gone = True
            socket.left = ()
            message = handler_pb2.Dispatch(
                socket_id=socket.id, namespace=socket.namespace, disconnected=handler_pb2.Disconnected(reason=reason)
            )
            dispatch = Dispatch(message, socket, home, 0)
            dispatch.name = dispatch.kind = "disconnect"
            farewells.append(dispatch)
        self._links.submit(farewells)
