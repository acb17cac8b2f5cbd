# SPDX-License-Identifier: Apache-2.0
"""The conversation with one broker as a state machine: frames in, dispatches and answers out; actions in, frames out.

No I/O, no threads, no clock. The shell (`_stream.py`) owns the stream and calls:

- `opening()` for the first frame of a stream, `receive()` for each frame that comes, `lost()` when the stream has ended;
- `next_frame()` whenever something was queued or answered, until it returns None.

States and what moves between them::

    LOST --opening()--> OPENING --welcome--> ATTACHED --lost()--> LOST
                        OPENING --lost()--> LOST

The rules:

- A frame may be sent while fewer than `frame_window` of ours are unanswered. What is queued meanwhile goes into one later frame.
- Every frame of ours answers every frame of the broker's that came before it. A bare answer is due only when the broker would
  otherwise have to stop.
- A dispatch belongs to the stream that it came on (its generation). When that stream is lost, what was not started is
  skipped, since the broker gives it out again, and results that are ready or come later are remembered by the
  dispatch's id. If the broker then hands the same dispatch to this process again, the handler does not run twice.
- Commands that were not sent yet survive a lost stream. A frame that was sent and not answered is in doubt: if one of its
  dispatches is redelivered, the frame was not worked on, so its commands are sent again, with those of the frames after it.

Threads: one thread at a time may call `receive`, one at a time `next_frame`; `resolve`, `command` and the other ways to queue may
be called from any thread, because a deque's ends are atomic.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from typing import Any

from ._proto import command_pb2, handler_pb2
from ._records import Dispatch, Received, Recent, SocketState
from ._wire import OVERHEAD, ack_element, batch_frame, element, result_element

__all__ = ["Conversation", "State", "TooLargeError"]

# One action on its way out: the id of the dispatch that it resolves or else zero, its bytes as an element of a batch, and the id
# of the command whose answer is waited for or else zero.
_Entry = tuple[int, bytes, int]

# How many results of a lost stream are remembered for redelivered dispatches.
_REMEMBERED = 65_536
_DEFAULT_FRAME_BYTES = 1 << 20

_CHANGES = {
    handler_pb2.ROOM_CHANGE_CREATED: "created",
    handler_pb2.ROOM_CHANGE_DELETED: "deleted",
    handler_pb2.ROOM_CHANGE_JOINED: "joined",
    handler_pb2.ROOM_CHANGE_LEFT: "left",
}


class State(enum.Enum):
    """Where the conversation stands."""

    LOST = "lost"
    OPENING = "opening"
    ATTACHED = "attached"


class TooLargeError(ValueError):
    """An action is larger than a frame may be."""


class Conversation:
    """The conversation of one instance with one replica, across its streams.

    Args:
        messages: Tells which messages came before, also over other replicas.
    """

    def __init__(self, messages: Recent | None = None) -> None:
        self.state = State.LOST
        self.generation = 0
        self.sockets: dict[str, SocketState] = {}
        self.skipped = 0  # unknown frames and arms, and dispatches of lost streams
        # Set by the welcome.
        self.frame_window = 2
        self.max_frame_bytes = _DEFAULT_FRAME_BYTES
        # Sequences, of this stream.
        self._sent = 0
        self._sent_answered = 0  # by the broker
        self._received = 0
        self._received_answered = 0  # by us
        # On their way out.
        self._outbound: deque[_Entry] = deque()
        self._unanswered: deque[tuple[int, list[_Entry]]] = deque()
        self._waiters: dict[int, Any] = {}
        self._in_flight: set[int] = set()  # ids of commands that were sent and wait for their answer
        self._parts: dict[int, command_pb2.Answer] = {}  # of answers that are larger than a frame
        self._messages = messages or Recent()
        self._drained = False
        # Two counters with one writer each, so that neither loses an update.
        self._commanded_bytes = 0
        self._sent_bytes = 0
        # Of the stream before this one.
        self._remembered: dict[int, tuple[int, bytes]] = {}
        self._doubtful: list[list[_Entry]] = []

    # The life of a stream.

    def opening(self, register: handler_pb2.Register) -> bytes:
        """Begins a stream.

        Args:
            register: What the instance declares.

        Returns:
            The first frame.
        """
        self.state = State.OPENING
        self.generation += 1
        self._sent = self._sent_answered = self._received = self._received_answered = 0
        self._drained = False
        return handler_pb2.AttachRequest(register=register).SerializeToString()

    def lost(self) -> list[Any]:
        """Ends a stream.

        Returns:
            The waiters of commands that were sent and whose answer will not come.
        """
        self.state = State.LOST
        self._doubtful = []
        for index, (_, entries) in enumerate(self._unanswered):
            self._doubtful.append([entry for entry in entries if not entry[0]])
            for number, data, _ in entries:
                if number:
                    self._remember(index, number, data)
        self._unanswered.clear()
        for _ in range(len(self._outbound)):
            entry = self._outbound.popleft()
            if entry[0]:
                self._remember(len(self._doubtful), entry[0], entry[1])
            else:
                self._outbound.append(entry)
        waiters = [self._waiters.pop(number) for number in sorted(self._in_flight) if number in self._waiters]
        self._in_flight.clear()
        self._parts.clear()
        return waiters

    def forget_absent(self) -> int:
        """Forgets the sockets that were not met on this stream; they went away while no stream was up.

        Returns:
            How many were forgotten.
        """
        absent = [s.id for s in self.sockets.values() if s.generation != self.generation and not s.busy]
        for socket_id in absent:
            self._forget(socket_id)
        return len(absent)

    # Frames in.

    def receive(self, frame: handler_pb2.AttachResponse) -> Received:
        """Takes in one frame.

        Args:
            frame: The frame.

        Returns:
            What it brought.
        """
        received = Received()
        kind = frame.WhichOneof("frame")
        if kind == "batch":
            self._receive_batch(frame.batch, received)
        elif kind == "frame_ack":
            received.unlocked = self._answered(frame.frame_ack.answered)
        elif kind == "welcome":
            self._welcome(frame.welcome, received)
        elif kind == "drain":
            received.draining = True
        elif kind == "fault":
            received.fault = frame.fault
        elif kind == "topology":
            received.topology = frame.topology
        else:
            self.skipped += 1
            received.unknown = True
        return received

    def _welcome(self, welcome: handler_pb2.Welcome, received: Received) -> None:
        self.state = State.ATTACHED
        self.frame_window = welcome.frame_window or 1
        self.max_frame_bytes = welcome.max_frame_bytes or _DEFAULT_FRAME_BYTES
        received.welcome = welcome
        received.unlocked = True
        if welcome.HasField("topology"):
            received.topology = welcome.topology

    def _receive_batch(self, batch: handler_pb2.DispatchBatch, received: Received) -> None:
        self._received = batch.sequence
        received.unlocked = self._answered(batch.answered)
        sockets = self.sockets
        generation = self.generation
        append = received.dispatches.append
        for message in batch.dispatches:
            socket = sockets.get(message.socket_id)
            if socket is None or socket.generation != generation:
                socket = self._meet(message)
            dispatch = Dispatch(message, socket, generation)
            if not dispatch.name and not self._special(dispatch):
                continue
            if message.redeliveries and self._done_before(dispatch):
                continue
            append(dispatch)
        for answer in batch.answers:
            self._receive_answer(answer, received)

    def _receive_answer(self, answer: command_pb2.Answer, received: Received) -> None:
        number = answer.id
        if number not in self._waiters:
            return
        whole = self._parts.pop(number, None)
        if whole is None:
            whole = answer
        else:
            whole.MergeFrom(answer)
        if answer.more:
            self._parts[number] = whole
            return
        self._in_flight.discard(number)
        # Withdrawn by another thread just now, perhaps.
        waiter = self._waiters.pop(number, None)
        if waiter is not None:
            received.answers.append((waiter, whole))

    def _answered(self, sequence: int) -> bool:
        if sequence <= self._sent_answered:
            return False
        self._sent_answered = sequence
        unanswered = self._unanswered
        while unanswered and unanswered[0][0] <= sequence:
            unanswered.popleft()
        return True

    def _meet(self, message: handler_pb2.Dispatch) -> SocketState:
        """Makes or renews the record of a socket, on its first dispatch of this stream."""
        if not message.socket_id:
            # A message, which is in turn with nothing.
            return SocketState("", message.namespace or "/", self.generation)
        socket = self.sockets.get(message.socket_id)
        if socket is None:
            socket = SocketState(message.socket_id, message.namespace or "/", self.generation)
            self.sockets[socket.id] = socket
        socket.generation = self.generation
        if message.HasField("introduction"):
            introduction = message.introduction
            socket.handshake = introduction.handshake
            socket.keep(introduction.data, introduction.data_version)
        return socket

    def _forget(self, socket_id: str) -> None:
        socket = self.sockets.pop(socket_id, None)
        if socket is not None:
            socket.gone = True

    def _special(self, dispatch: Dispatch) -> bool:
        """Names what is no event; says whether the dispatch is to be handed out."""
        message = dispatch.message
        kind = message.WhichOneof("kind")
        if kind == "disconnected":
            # Nothing of the socket follows; the dispatch itself still holds the record.
            self._forget(dispatch.socket.id)
            dispatch.socket.left = tuple(message.disconnected.rooms)
            dispatch.name = dispatch.kind = "disconnect"
        elif kind == "connect":
            dispatch.socket.recovered = message.connect.recovered
            dispatch.name = dispatch.kind = "connect"
        elif kind == "room_event":
            dispatch.kind = "room"
            dispatch.name = _CHANGES.get(message.room_event.change, "")
            if not dispatch.name:
                self.skipped += 1
                self.resolve(dispatch)
                return False
        elif kind == "message":
            dispatch.kind = "message"
            dispatch.name = message.message.event.name
            if self._messages.seen(dispatch.id):
                self.resolve(dispatch)
                return False
        else:
            self.skipped += 1
            self.fail(dispatch, "the SDK does not know this kind of dispatch")
            return False
        return True

    def _done_before(self, dispatch: Dispatch) -> bool:
        """Answers a redelivered dispatch without its handler when that has run, or is running."""
        current = dispatch.socket.current
        if current is not None and current.id == dispatch.id:
            current.generation = dispatch.generation
            return True
        known = self._remembered.pop(dispatch.id, None)
        if known is None:
            return False
        index, data = known
        # The frame of this result was not worked on, and neither were those after it.
        for commands in self._doubtful[index:]:
            self._outbound.extend(commands)
        del self._doubtful[index:]
        self._outbound.append((dispatch.id, data, 0))
        return True

    def _remember(self, index: int, number: int, data: bytes) -> None:
        while len(self._remembered) >= _REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[number] = (index, data)

    # Actions in.

    def stale(self, dispatch: Dispatch) -> bool:
        """Says whether a dispatch that has not started yet came on a lost stream, and so must not start.

        Args:
            dispatch: The dispatch.

        Returns:
            True when the broker has given it out again, or will.
        """
        if dispatch.generation == self.generation and self.state is not State.LOST:
            return False
        self.skipped += 1
        return True

    def resolve(self, dispatch: Dispatch, args: bytes | None = None, attachments: Sequence[bytes] = ()) -> None:
        """Queues the result of a dispatch.

        Args:
            dispatch: The dispatch.
            args: The arguments of the ack, or None when there is none to send. Accepts a connect.
            attachments: The ack's attachments.
        """
        number = dispatch.id
        data = result_element(number) if args is None else ack_element(number, args, attachments)
        if len(data) > self.max_frame_bytes - OVERHEAD:
            self.fail(dispatch, "the ack is larger than a frame may be")
            return
        if dispatch.generation != self.generation or self.state is State.LOST:
            self._remember(len(self._doubtful), number, data)
        else:
            self._outbound.append((number, data, 0))

    def refuse(self, dispatch: Dispatch, message: str = "", data: bytes = b"") -> None:
        """Queues the refusal of a connect, and forgets the socket.

        Args:
            dispatch: The connect.
            message: The message for the browser.
            data: One JSON value for the browser, or nothing.
        """
        self._forget(dispatch.socket.id)
        result = handler_pb2.Result(dispatch_id=dispatch.id, refusal=handler_pb2.Refusal(message=message, data=data))
        self._queue_result(dispatch, result)

    def fail(self, dispatch: Dispatch, message: str) -> None:
        """Queues the news that a handler failed; a socket that was about to connect is forgotten.

        Args:
            dispatch: The dispatch.
            message: The explanation for the broker's logs.
        """
        if dispatch.kind == "connect":
            self._forget(dispatch.socket.id)
        # Bounded, because the text comes from anywhere.
        failure = handler_pb2.Failure(message=message[:1024])
        self._queue_result(dispatch, handler_pb2.Result(dispatch_id=dispatch.id, failure=failure))

    def _queue_result(self, dispatch: Dispatch, result: handler_pb2.Result) -> None:
        data = element(handler_pb2.Action(result=result))
        if dispatch.generation != self.generation or self.state is State.LOST:
            self._remember(len(self._doubtful), dispatch.id, data)
        else:
            self._outbound.append((dispatch.id, data, 0))

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
            raise TooLargeError(f"{len(data)} bytes are more than the broker takes at once ({self.max_frame_bytes})")
        number = 0
        if waiter is not None:
            number = action.command.id
            self._waiters[number] = waiter
        self._commanded_bytes += len(data)
        self._outbound.append((0, data, number))

    def withdraw(self, number: int) -> None:
        """Stops waiting for the answer of a command.

        Args:
            number: The command's id.
        """
        self._waiters.pop(number, None)
        self._in_flight.discard(number)
        self._parts.pop(number, None)

    # Frames out.

    def next_frame(self) -> bytes | None:
        """Puts what is queued into the next batch frame.

        Returns:
            The frame, or None when there is nothing to send or the window is full.
        """
        outbound = self._outbound
        if not outbound or self.blocked:
            return None
        entries: list[_Entry] = []
        room = self.max_frame_bytes - OVERHEAD
        while outbound:
            entry = outbound[0]
            size = len(entry[1])
            if size > room and entries:
                break
            room -= size
            entries.append(outbound.popleft())
            if not entry[0]:
                self._sent_bytes += size
                if entry[2]:
                    self._in_flight.add(entry[2])
        self._sent += 1
        self._received_answered = self._received
        self._unanswered.append((self._sent, entries))
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

    def drain_frame(self) -> bytes | None:
        """Makes the frame that asks for nothing new, once per stream.

        Returns:
            The frame, or None when it was sent before or nobody is there to read it.
        """
        if self._drained or self.state is not State.ATTACHED:
            return None
        self._drained = True
        return handler_pb2.AttachRequest(drain=handler_pb2.Drain()).SerializeToString()

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
