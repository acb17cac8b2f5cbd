# SPDX-License-Identifier: Apache-2.0
"""The state that the conversations of one instance share.

It holds the sockets, the waiters, and the results that did not arrive.

A socket may arrive over one link and continue over another: its replica lends it to a peer until
the instance is attached there, and a dispatch whose stream broke may be redelivered through any
replica.

There is no I/O and no lock. What several threads do here is one step of a dict, or is written
before the other side's data is read, so that of two threads at least one sees the other.
"""

from __future__ import annotations

import itertools
from typing import Any, Protocol

from ._outbox import Entry
from ._records import Dispatch, Recent, SocketState

__all__ = ["LostFrames", "Memory"]

# The number of results of lost streams that are remembered for redelivered dispatches.
_MAX_RESULTS = 65_536

# The number of sockets that are remembered because their handlers were notified of the disconnect
# without the broker.
_MAX_NOTIFIED = 65_536


class LostFrames:
    """The commands of frames that were sent on a lost stream and not answered.

    Attributes:
        frames: The commands of each frame, oldest first.
    """

    __slots__ = ("frames",)

    def __init__(self) -> None:
        self.frames: list[list[Entry]] = []

    def after(self, index: int) -> list[Entry]:
        """Takes the commands of a frame that the broker did not process, and of later frames.

        Args:
            index: The index of the frame.

        Returns:
            The commands.
        """
        commands = [entry for frame in self.frames[index:] for entry in frame]
        del self.frames[index:]
        return commands


class Peer(Protocol):
    """One conversation of the instance, as the others see it."""

    generation: int

    def unconfirmed(self) -> dict[int, bytes]:
        """Returns the unconfirmed results by the dispatch's id."""


class Memory:
    """The state that the conversations of one instance share.

    Attributes:
        sockets: The sockets by id.
        waiters: The waiters for answers, by the command's id.
        messages: The ids of recent messages.
        concurrent_runs: The dispatches of concurrent handlers that run, by id.
        notified: The sockets whose handlers were notified of the disconnect without the broker,
            oldest first.
        unhandled_disconnects: The disconnects that arrived over a lost stream and were not handled,
            by the socket's id.
        dead: The last generations of dead replicas.
        numbers: The ids of commands.
        generations: The numbers of streams.
        conversations: All conversations.
    """

    def __init__(self) -> None:
        self.sockets: dict[str, SocketState] = {}
        self.waiters: dict[int, Any] = {}
        self.messages = Recent()
        self.concurrent_runs: dict[int, Dispatch] = {}
        self.notified: dict[str, None] = {}
        self.unhandled_disconnects: dict[str, Dispatch] = {}
        self.dead: set[int] = set()
        self.numbers = itertools.count(1)
        self.generations = itertools.count(1)
        self.conversations: tuple[Peer, ...] = ()
        self._finished: dict[int, tuple[LostFrames, int, bytes]] = {}
        self._repeated: dict[int, None] = {}

    def forget(self, socket_id: str) -> None:
        """Forgets a socket that has disconnected.

        Args:
            socket_id: The socket's id.
        """
        socket = self.sockets.pop(socket_id, None)
        if socket is not None:
            socket.gone = True

    def notify(self, socket_id: str) -> None:
        """Remembers that the handlers of a socket are notified of its disconnect.

        Args:
            socket_id: The socket's id.
        """
        while len(self.notified) >= _MAX_NOTIFIED:
            self.notified.pop(next(iter(self.notified)), None)
        self.notified[socket_id] = None

    def was_notified(self, socket_id: str) -> bool:
        """Returns whether the handlers of a socket were notified without the broker.

        Args:
            socket_id: The socket's id.

        Returns:
            True when they were.
        """
        if self.unhandled_disconnects:
            self.unhandled_disconnects.pop(socket_id, None)
        return bool(self.notified) and socket_id in self.notified

    def keep_disconnect(self, dispatch: Dispatch) -> bool:
        """Keeps a disconnect that was not handled, since the broker may not report it again.

        Args:
            dispatch: The dispatch.

        Returns:
            True when the broker is dead, so that the disconnect has to be handled now.
        """
        if dispatch.generation in self.dead:
            self.notify(dispatch.socket.id)
            return True
        while len(self.unhandled_disconnects) >= _MAX_NOTIFIED:
            self.unhandled_disconnects.pop(next(iter(self.unhandled_disconnects)), None)
        self.unhandled_disconnects[dispatch.socket.id] = dispatch
        return False

    def release(self, socket_id: str, generation: int) -> None:
        """Forgets a socket that still exists and moves to another instance.

        The broker introduces it again if it comes back.

        Args:
            socket_id: The socket's id.
            generation: The stream that released it. A socket that arrived on another stream since
                is kept.
        """
        socket = self.sockets.get(socket_id)
        if socket is None or socket.generation != generation:
            return
        self.sockets.pop(socket_id, None)
        # Another link may have received it just now.
        if socket.generation != generation:
            self.sockets.setdefault(socket_id, socket)

    def forget_absent(self) -> int:
        """Forgets the sockets that arrived on no present stream; they disconnected meanwhile.

        Returns:
            How many sockets were forgotten.
        """
        up = {c.generation for c in self.conversations}
        absent = [s.id for s in list(self.sockets.values()) if s.generation not in up and not s.busy]
        for socket_id in absent:
            self.forget(socket_id)
        return len(absent)

    # Results that did not arrive.

    def remember(self, number: int, data: bytes, lost: LostFrames, index: int) -> None:
        """Remembers a result whose stream is lost.

        Args:
            number: The dispatch's id.
            data: The result, as an element of a batch.
            lost: The commands that were lost with the stream.
            index: The frame that the result was sent with.
        """
        while len(self._finished) >= _MAX_RESULTS:
            self._finished.pop(next(iter(self._finished)), None)
        self._finished[number] = (lost, index, data)

    def recall(self, number: int) -> list[Entry] | None:
        """Takes the result of a dispatch that was redelivered.

        Args:
            number: The dispatch's id.

        Returns:
            The commands that were not processed, and the result; None when there is no result.
        """
        known = self._finished.pop(number, None)
        if known is None:
            return None
        lost, index, data = known
        return [*lost.after(index), (number, data, 0)]

    def unconfirmed_elsewhere(self, asking: Peer) -> dict[int, bytes]:
        """Collects the results that other conversations have not had confirmed.

        Args:
            asking: The conversation that asks.

        Returns:
            The results by the dispatch's id.
        """
        results: dict[int, bytes] = {}
        for conversation in self.conversations:
            if conversation is not asking:
                results.update(conversation.unconfirmed())
        return results

    def repeat(self, number: int) -> None:
        """Notes that a result was sent over another stream, before its own was lost.

        Args:
            number: The dispatch's id.
        """
        while len(self._repeated) >= _MAX_RESULTS:
            self._repeated.pop(next(iter(self._repeated)), None)
        self._repeated[number] = None

    def repeated(self, number: int) -> bool:
        """Returns whether a result was sent over another stream, so its own frame failed.

        Args:
            number: The dispatch's id.

        Returns:
            True when it was.
        """
        return bool(self._repeated) and number in self._repeated

    def running(self, dispatch: Dispatch) -> Dispatch | None:
        """Finds the run of a dispatch that was redelivered while its handler runs.

        Args:
            dispatch: The dispatch as it arrived now.

        Returns:
            The dispatch as it arrived first; None when it does not run.
        """
        current = dispatch.socket.current
        if current is not None and current.id == dispatch.id:
            return current
        return self.concurrent_runs.get(dispatch.id)
