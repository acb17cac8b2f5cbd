# SPDX-License-Identifier: Apache-2.0
"""What goes out to one replica: the queue of actions, and the frames that are not answered yet. A part of the conversation."""

from __future__ import annotations

from collections import deque
from typing import Any

from ._proto import handler_pb2
from ._records import State
from ._wire import OVERHEAD, batch_frame, element

__all__ = ["DEFAULT_FRAME_BYTES", "Entry", "Outbox", "TooLargeError"]

# One action on its way out: the id of the dispatch that it resolves or else zero, its bytes as an element of a batch, and the id
# of the command whose answer is waited for or else zero.
Entry = tuple[int, bytes, int]

DEFAULT_FRAME_BYTES = 1 << 20


class TooLargeError(ValueError):
    """An action is larger than a frame may be."""


class Outbox:
    """Actions in, frames out, as far as the window allows; the rules stand in `_core.py`."""

    def __init__(self, waiters: dict[int, Any]) -> None:
        self.state = State.LOST
        # Set by the welcome.
        self.frame_window = 2
        self.max_frame_bytes = DEFAULT_FRAME_BYTES
        # Sequences, of this stream.
        self._sent = 0
        self._sent_answered = 0  # by the broker
        self._received = 0
        self._received_answered = 0  # by us
        # On their way out.
        self._outbound: deque[Entry] = deque()
        self._unanswered: deque[tuple[int, list[Entry]]] = deque()
        self._waiters = waiters
        self._in_flight: set[int] = set()  # ids of commands that were sent and wait for their answer
        # Two counters with one writer each, so that neither loses an update.
        self._commanded_bytes = 0
        self._sent_bytes = 0

    def command(self, action: handler_pb2.Action, waiter: Any = None) -> None:
        """Queues a command, in order with everything else that is queued. One thread at a time.

        Args:
            action: The action that holds the command; the command's id is set when its answer is waited for.
            waiter: What `Received.answers` and `lost` hand back for this command.

        Raises:
            TooLargeError: The command is larger than a frame may be.
        """
        data = element(action)
        if len(data) > self.max_frame_bytes - OVERHEAD:
            raise TooLargeError(
                f"{len(data)} bytes are more than the broker takes at once ({self.max_frame_bytes}, its setting max-frame)"
            )
        number = 0
        if waiter is not None:
            number = action.command.id
            self._waiters[number] = waiter
        self._commanded_bytes += len(data)
        self._outbound.append((0, data, number))

    def surrender(self) -> list[Entry]:
        """Gives up the commands that wait, because the stream is lost and another conversation can send them.

        Returns:
            The commands, in order.
        """
        entries = []
        for _ in range(len(self._outbound)):
            entry = self._outbound.popleft()
            if entry[0]:
                self._outbound.append(entry)
            else:
                self._sent_bytes += len(entry[1])
                entries.append(entry)
        return entries

    def adopt(self, entries: list[Entry]) -> None:
        """Queues the commands of another conversation. One thread at a time, as for `command`.

        Args:
            entries: What the other surrendered.
        """
        self._commanded_bytes += sum(len(entry[1]) for entry in entries)
        self._outbound.extend(entries)

    def unconfirmed(self) -> dict[int, bytes]:
        """The results that are queued, or were sent and not answered, by the dispatch's id. Allowed from any thread."""
        results = {}
        waiting = self._outbound.copy()
        for _, entries in self._unanswered.copy():
            results.update({entry[0]: entry[1] for entry in entries if entry[0]})
        results.update({entry[0]: entry[1] for entry in waiting if entry[0]})
        return results

    def next_frame(self) -> bytes | None:
        """Puts what is queued into the next batch frame.

        Returns:
            The frame, or None when there is nothing to send or the window is full.
        """
        outbound = self._outbound
        if not outbound or self.blocked:
            return None
        entries: list[Entry] = []
        # Here before they are gone from the queue, so that whoever looks for a result meanwhile finds it.
        self._unanswered.append((self._sent + 1, entries))
        room = self.max_frame_bytes - OVERHEAD
        while outbound:
            entry = outbound[0]
            size = len(entry[1])
            if size > room and entries:
                break
            room -= size
            entries.append(entry)
            outbound.popleft()
            if not entry[0]:
                self._sent_bytes += size
                if entry[2]:
                    self._in_flight.add(entry[2])
        self._sent += 1
        self._received_answered = self._received
        return batch_frame(self._sent, self._received, [entry[1] for entry in entries])

    def answer_due(self) -> bool:
        """Says whether the broker has to wait for an answer before it may send its next frame.

        Returns:
            True when a bare answer should follow soon, unless a batch does.
        """
        return self._received - self._received_answered >= self.frame_window

    def answer_frame(self) -> bytes | None:
        """Makes a bare answer.

        Returns:
            The frame, or None when nothing is unanswered.
        """
        if self._received == self._received_answered or self.state is not State.ATTACHED:
            return None
        self._received_answered = self._received
        return handler_pb2.AttachRequest(frame_ack=handler_pb2.FrameAck(answered=self._received)).SerializeToString()

    def _answered(self, sequence: int) -> bool:
        if sequence <= self._sent_answered:
            return False
        self._sent_answered = sequence
        unanswered = self._unanswered
        while unanswered and unanswered[0][0] <= sequence:
            unanswered.popleft()
        return True

    @property
    def waiting(self) -> int:
        """How many actions are queued and not sent."""
        return len(self._outbound)

    @property
    def queued_bytes(self) -> int:
        """How many bytes of commands are queued and not sent."""
        return self._commanded_bytes - self._sent_bytes

    @property
    def blocked(self) -> bool:
        """Whether nothing may be sent now: the window is full, or there is no stream."""
        return self.state is not State.ATTACHED or self._sent - self._sent_answered >= self.frame_window

    @property
    def unanswered(self) -> int:
        """How many frames were sent and not answered."""
        return self._sent - self._sent_answered
