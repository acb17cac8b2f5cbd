# SPDX-License-Identifier: Apache-2.0
"""The sending half of a link: commands into the conversation, and its frames into the stream.

Any thread may call it. `_link.py` is the other half, which owns the stream.
"""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Protocol

from ._core import Conversation, Entry, State
from ._lane import Item
from ._proto import command_pb2, handler_pb2
from ._scheduler import Scheduler
from .exceptions import QueueFullError

__all__ = ["Sender", "Waiter"]


class Waiter(Protocol):
    """Waits for the answer to one command."""

    def settle(self, answer: command_pb2.Answer | None) -> Sequence[Item]:
        """Takes the answer, or None for none; returns the items to run. Never blocks."""


class Sender(ABC):
    """Sends the commands and the frames of one conversation.

    Args:
        conversation: The conversation.
        scheduler: The threads of the handlers.
        numbers: The ids of commands.
        max_queue_bytes: How many bytes of commands may be queued.
        emit_timeout: How long a command waits for space there, in seconds.
    """

    def __init__(
        self,
        conversation: Conversation,
        scheduler: Scheduler,
        numbers: Iterator[int],
        *,
        max_queue_bytes: int,
        emit_timeout: float,
    ) -> None:
        # Fixed at birth.
        self.conversation = conversation
        self.scheduler = scheduler
        self._numbers = numbers
        self._max_queue_bytes = max_queue_bytes
        self._emit_timeout = emit_timeout
        # Guarded by sending.
        self._sending = threading.Lock()
        self._frames: queue.SimpleQueue[bytes | None] | None = None
        # Taken to queue commands.
        self._commanding = threading.Lock()

    @abstractmethod
    def _reroute(self) -> None:
        """Sends the queued commands over another link, since the stream is lost."""

    # Frames.

    def flush(self) -> None:
        """Sends what is queued, if the window allows it. Never blocks."""
        conversation = self.conversation
        while conversation.waiting and not conversation.blocked:
            # The holder of the lock checks again after releasing it, so nothing queued before now
            # stays behind.
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
        """Acknowledges the broker's frames if it waits for that. Never blocks."""
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
        """Acknowledges a frame without items, since the watchdog may be parked."""
        if self.conversation.answer_due():
            with self._sending:
                self._answer()

    def _answer(self) -> None:
        """Sends a bare answer. The lock is held."""
        frame = self.conversation.answer_frame()
        if frame is not None and self._frames is not None:
            self._frames.put(frame)

    # Commands.

    def next_command(self) -> int:
        """Returns an id for a command whose answer is awaited."""
        return next(self._numbers)

    def command(self, action: handler_pb2.Action, waiter: Waiter | None = None, *, may_block: bool = True) -> None:
        """Queues a command and sends it soon.

        Args:
            action: The action that holds the command.
            waiter: Receives the answer.
            may_block: Whether to wait while the queue is full, at most for the emit timeout.

        Raises:
            QueueFullError: The queue is full.
            TooLargeError: The command is larger than a frame may be.
        """
        conversation = self.conversation
        if conversation.queued_bytes > self._max_queue_bytes:
            self._wait_for_space(may_block)
        with self._commanding:
            conversation.command(action, waiter)
        if conversation.state is not State.ATTACHED:
            self._reroute()
        elif not self.scheduler.leading():
            self.flush()

    def take_unsent(self) -> list[Entry]:
        """Takes the unsent commands, since the stream is lost and another link can send them."""
        with self._sending:
            return self.conversation.take_unsent()

    def take_over(self, entries: list[Entry]) -> None:
        """Queues the unsent commands of another link."""
        with self._commanding:
            self.conversation.requeue(entries)

    def _wait_for_space(self, may_block: bool) -> None:
        conversation = self.conversation
        deadline = time.monotonic() + (self._emit_timeout if may_block else 0)
        if may_block:
            self.scheduler.about_to_block()
        self.flush()
        while conversation.queued_bytes > self._max_queue_bytes:
            if time.monotonic() >= deadline:
                raise QueueFullError(
                    f"emit: the queue to the broker has been full for {self._emit_timeout:g} s, with"
                    f" {conversation.queued_bytes} bytes",
                    queued_bytes=conversation.queued_bytes,
                )
            time.sleep(0.005)
