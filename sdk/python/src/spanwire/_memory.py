# SPDX-License-Identifier: Apache-2.0
"""What an instance knows, whichever replica it was told by: its sockets, its waiters, and results that did not arrive.

A socket may come over one link and go on over another: its replica lends it to others until the instance is attached there, and
a dispatch whose stream broke may be redelivered through any replica. So the conversations of one instance share this.

No I/O, no locks: whatever several threads do here is one step of a dict, or is written before what the other side writes is
read, so that of two threads at least one sees the other.
"""

from __future__ import annotations

import itertools
from typing import Any, Protocol

from ._outbox import Entry
from ._records import Dispatch, Recent, SocketState

__all__ = ["LostFrames", "Memory"]

# How many results of lost streams are remembered for redelivered dispatches.
_REMEMBERED = 65_536

# How many sockets are remembered whose handlers were told of their end without the broker.
_TOLD = 65_536


class LostFrames:
    """The commands of the frames that were sent on a stream that is lost, and not answered.

    Attributes:
        frames: The commands of each frame, oldest first.
    """

    __slots__ = ("frames",)

    def __init__(self) -> None:
        self.frames: list[list[Entry]] = []

    def after(self, index: int) -> list[Entry]:
        """Takes out what was not worked on, when the frame with the index was not: nor were those after it.

        Args:
            index: The frame.

        Returns:
            The commands.
        """
        commands = [entry for frame in self.frames[index:] for entry in frame]
        del self.frames[index:]
        return commands


class Peer(Protocol):
    """One of the conversations of the instance, as the others see it."""

    generation: int

    def unconfirmed(self) -> dict[int, bytes]:
        """The results that have not been confirmed, by the dispatch's id."""


class Memory:
    """What the conversations of one instance share.

    Attributes:
        sockets: The sockets by id.
        waiters: Who waits for the answer of a command, by the command's id.
        messages: Tells which messages came before.
        beside: Dispatches that are running in turn with nothing, by id.
        told: The sockets whose handlers were told of their end without the broker, oldest first.
        unsaid: Disconnects that came over a stream that is lost, and were not handled, by the socket's id.
        dead: The last streams of replicas that are dead.
        numbers: Draws the ids of commands.
        generations: Draws the numbers of streams.
        conversations: All of them.
    """

    def __init__(self) -> None:
        self.sockets: dict[str, SocketState] = {}
        self.waiters: dict[int, Any] = {}
        self.messages = Recent()
        self.beside: dict[int, Dispatch] = {}
        self.told: dict[str, None] = {}
        self.unsaid: dict[str, Dispatch] = {}
        self.dead: set[int] = set()
        self.numbers = itertools.count(1)
        self.generations = itertools.count(1)
        self.conversations: tuple[Peer, ...] = ()
        self._finished: dict[int, tuple[LostFrames, int, bytes]] = {}
        self._repeated: dict[int, None] = {}

    def forget(self, socket_id: str) -> None:
        """Forgets a socket that is gone.

        Args:
            socket_id: The socket's id.
        """
        socket = self.sockets.pop(socket_id, None)
        if socket is not None:
            socket.gone = True

    def tell(self, socket_id: str) -> None:
        """Remembers that handlers are told of a socket's end.

        Args:
            socket_id: The socket's id.
        """
        while len(self.told) >= _TOLD:
            self.told.pop(next(iter(self.told)), None)
        self.told[socket_id] = None

    def said(self, socket_id: str) -> bool:
        """Says whether handlers were told of a socket's end without the broker, which tells it now.

        Args:
            socket_id: The socket's id.

        Returns:
            True when they were.
        """
        if self.unsaid:
            self.unsaid.pop(socket_id, None)
        return bool(self.told) and socket_id in self.told

    def leave_unsaid(self, dispatch: Dispatch) -> bool:
        """Keeps a disconnect that was not handled: the broker may not be there to tell it again.

        Args:
            dispatch: The dispatch.

        Returns:
            True when the broker is known not to be, so that the disconnect is to be handled now.
        """
        if dispatch.generation in self.dead:
            self.tell(dispatch.socket.id)
            return True
        while len(self.unsaid) >= _TOLD:
            self.unsaid.pop(next(iter(self.unsaid)), None)
        self.unsaid[dispatch.socket.id] = dispatch
        return False

    def release(self, socket_id: str, generation: int) -> None:
        """Forgets a socket that is still there, but goes to another instance. It is introduced again should it come back.

        Args:
            socket_id: The socket's id.
            generation: The stream that tells so. A socket that was met on another one since is kept.
        """
        socket = self.sockets.get(socket_id)
        if socket is None or socket.generation != generation:
            return
        self.sockets.pop(socket_id, None)
        # Another link may have met it just now.
        if socket.generation != generation:
            self.sockets.setdefault(socket_id, socket)

    def forget_absent(self) -> int:
        """Forgets the sockets that were not met on any stream that is up; they went away meanwhile.

        Returns:
            How many were forgotten.
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
            data: The result as an element of a batch.
            lost: What else was lost with the stream.
            index: The frame that the result was sent with.
        """
        while len(self._finished) >= _REMEMBERED:
            self._finished.pop(next(iter(self._finished)), None)
        self._finished[number] = (lost, index, data)

    def recall(self, number: int) -> list[Entry] | None:
        """Takes out the result of a dispatch that was given out again.

        Args:
            number: The dispatch's id.

        Returns:
            What is to be sent in its place: commands that were not worked on, and the result. None when nothing is known.
        """
        known = self._finished.pop(number, None)
        if known is None:
            return None
        lost, index, data = known
        return [*lost.after(index), (number, data, 0)]

    def on_its_way(self, asking: Peer) -> dict[int, bytes]:
        """Gathers the results that other conversations have not had confirmed.

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
        """Notes that a result was sent over another stream, since its own is about to be lost.

        Args:
            number: The dispatch's id.
        """
        while len(self._repeated) >= _REMEMBERED:
            self._repeated.pop(next(iter(self._repeated)), None)
        self._repeated[number] = None

    def repeated(self, number: int) -> bool:
        """Says whether a result was sent over another stream, so that its own frame was not worked on.

        Args:
            number: The dispatch's id.

        Returns:
            True when it was.
        """
        return bool(self._repeated) and number in self._repeated

    def running(self, dispatch: Dispatch) -> Dispatch | None:
        """Finds the run of a dispatch that was given out again while its handler is running.

        Args:
            dispatch: The dispatch as it came now.

        Returns:
            The dispatch as it came first; None when it is not running.
        """
        current = dispatch.socket.current
        if current is not None and current.id == dispatch.id:
            return current
        return self.beside.get(dispatch.id)
