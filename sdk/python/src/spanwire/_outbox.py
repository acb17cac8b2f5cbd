# SPDX-License-Identifier: Apache-2.0
"""The outgoing half of a conversation: the queue of actions, and the unanswered frames."""

from __future__ import annotations

from collections import deque
from typing import Any

from ._proto import handler_pb2
from ._records import State
from ._wire import OVERHEAD, batch_frame, element

__all__ = ["DEFAULT_FRAME_BYTES", "Entry", "Outbox", "TooLargeError"]

# One outgoing action: the id of the dispatch that it resolves, or zero; its bytes as an element of
# a batch; and the id of the command whose answer is awaited, or zero.
Entry = tuple[int, bytes, int]

DEFAULT_FRAME_BYTES = 1 << 20


class TooLargeError(ValueError):
    """An action is larger than a frame may be."""


class Outbox:
    """Turns actions into frames, as far as the window allows; `_core.py` has the rules."""

    def __init__(self, waiters: dict[int, Any]) -> None:
        self.state = State.LOST
        # Set by the welcome.
        self.frame_window = 2
        self.max_frame_bytes = DEFAULT_FRAME_BYTES
        # Sequences of this stream.
        self._sent = 0
        self._sent_answered = 0  # by the broker
        self._received = 0
        self._received_answered = 0  # by this instance
        # Outgoing.
        self._outbound: deque[Entry] = deque()
        self._unanswered: deque[tuple[int, list[Entry]]] = deque()
        self._waiters = waiters
        # The ids of commands that were sent and wait for their answer.
        self._in_flight: set[int] = set()
        self._drained = False  # whether the drain was sent on this stream
        # Two counters with one writer each, so that no update is lost.
        self._commanded_bytes = 0
        self._sent_bytes = 0

    def command(self, action: handler_pb2.Action, waiter: Any = None) -> None:
        """Queues a command behind everything that is queued. One thread at a time.

        Args:
            action: The action with the command; the command's id is set when its answer is awaited.
            waiter: Returned by `Received.answers` and `lost` for this command.

        Raises:
            TooLargeError: The command is larger than a frame may be.
        """
        data = element(action)
        if len(data) > self.max_frame_bytes - OVERHEAD:
            raise TooLargeError(
                f"command: has {len(data)} bytes, more than a frame may have (send less, or raise the broker's setting max-frame,"
                f" now {self.max_frame_bytes})"
            )
        number = 0
        if waiter is not None:
            number = action.command.id
            self._waiters[number] = waiter
        self._commanded_bytes += len(data)
        self._outbound.append((0, data, number))

    def take_unsent(self) -> list[Entry]:
        """Takes the unsent commands, which another conversation can send.

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

    def requeue(self, entries: list[Entry]) -> None:
        """Queues the commands of another conversation. One thread at a time, as for `command`.

        Args:
            entries: The unsent commands.
        """
        self._commanded_bytes += sum(len(entry[1]) for entry in entries)
        self._outbound.extend(entries)

    def unconfirmed(self) -> dict[int, bytes]:
        """Returns the unanswered and unsent results by the dispatch's id. Safe from any thread."""
        results = {}
        waiting = self._outbound.copy()
        for _, entries in self._unanswered.copy():
            results.update({entry[0]: entry[1] for entry in entries if entry[0]})
        results.update({entry[0]: entry[1] for entry in waiting if entry[0]})
        return results

    def next_frame(self) -> bytes | None:
        """Puts the queued actions into the next batch frame.

        Returns:
            The frame, or None when there is nothing to send or the window is full.
        """
        outbound = self._outbound
        if not outbound or self.blocked:
            return None
        entries: list[Entry] = []
        # Stored here before it leaves the queue, so that another thread that looks for a result
        # finds it.
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
        """Returns whether the broker waits for an answer before it sends its next frame.

        Returns:
            True when a bare answer should follow soon, unless a batch does.
        """
        return self._received - self._received_answered >= self.frame_window

    def answer_frame(self) -> bytes | None:
        """Returns a bare answer.

        Returns:
            The frame, or None when nothing is unanswered.
        """
        if self._received == self._received_answered or self.state is not State.ATTACHED:
            return None
        self._received_answered = self._received
        return handler_pb2.AttachRequest(frame_ack=handler_pb2.FrameAck(answered=self._received)).SerializeToString()

    def registrations_frame(self, registrations: list[handler_pb2.Registration]) -> bytes | None:
        """Returns the frame that changes the registrations of the instance.

        Args:
            registrations: All registrations.

        Returns:
            The frame, or None when there is no stream.
        """
        if self.state is not State.ATTACHED:
            return None
        changed = handler_pb2.Registrations(registrations=registrations)
        return handler_pb2.AttachRequest(registrations=changed).SerializeToString()

    def drain_frame(self, *, retire: bool = False) -> bytes | None:
        """Returns the frame that asks for no new dispatches, once per stream.

        Args:
            retire: Whether the service retires with its last instance.

        Returns:
            The frame, or None when it was sent before or there is no stream.
        """
        if self._drained or self.state is not State.ATTACHED:
            return None
        self._drained = True
        return handler_pb2.AttachRequest(drain=handler_pb2.Drain(retire=retire)).SerializeToString()

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
        """The number of queued actions."""
        return len(self._outbound)

    @property
    def queued_bytes(self) -> int:
        """The number of bytes of queued commands."""
        return self._commanded_bytes - self._sent_bytes

    @property
    def blocked(self) -> bool:
        """Whether nothing may be sent now: the window is full, or there is no stream."""
        return self.state is not State.ATTACHED or self._sent - self._sent_answered >= self.frame_window

    @property
    def unanswered(self) -> int:
        """The number of frames that were sent and not answered."""
        return self._sent - self._sent_answered
