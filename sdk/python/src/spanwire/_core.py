# SPDX-License-Identifier: Apache-2.0
"""The conversation with one broker as a state machine, without I/O.

Frames go in, dispatches and answers come out; actions go in, frames come out.

It has no threads and no clock. The shell (`_link.py`) owns the stream and calls:

- `opening()` for the first frame of a stream, `receive()` for each frame that arrives, `lost()`
  when the stream has ended;
- `next_frame()` whenever something was queued or acknowledged, until it returns None.

The states and their transitions::

    LOST --opening()--> OPENING --welcome--> ATTACHED --lost()--> LOST
                        OPENING --lost()--> LOST

The rules:

- A frame may be sent while fewer than `frame_window` sent frames are unanswered. Actions that are
  queued meanwhile go into one later frame.
- Each frame that is sent answers each frame that was received before it. A bare answer is due only
  when the broker would otherwise have to stop.
- A dispatch belongs to the stream that it arrived on (its generation). When that stream is lost,
  dispatches that have not started are skipped, since the broker redelivers them, and results that
  are ready or arrive later are remembered by the dispatch's id. If the broker then sends the same
  dispatch to this process again, through any replica, the handler does not run twice
  (`_memory.py`).
- Commands that were not sent survive a lost stream. A frame that was sent and not answered is in
  doubt: if one of its dispatches is redelivered, the broker did not process the frame, so its
  commands are sent again, with those of the frames after it.

Threads: one thread at a time may call `receive`, and one at a time `next_frame`; any thread may
call `resolve`, `command` and the other methods that queue, because the ends of a deque are atomic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._memory import LostFrames, Memory
from ._outbox import DEFAULT_FRAME_BYTES, Entry, Outbox, TooLargeError
from ._proto import command_pb2, handler_pb2
from ._records import Dispatch, Received, SocketState, State
from ._wire import OVERHEAD, ack_element, element, result_element

__all__ = ["Conversation", "Entry", "State", "TooLargeError"]

_CHANGES = {
    handler_pb2.ROOM_CHANGE_CREATED: "created",
    handler_pb2.ROOM_CHANGE_DELETED: "deleted",
    handler_pb2.ROOM_CHANGE_JOINED: "joined",
    handler_pb2.ROOM_CHANGE_LEFT: "left",
}


class Conversation(Outbox):
    """The conversation of one instance with one replica, across its streams.

    Args:
        memory: The state that the instance's conversations with all replicas share.
        link: The link that carries the frames, for the layers above.
    """

    def __init__(self, memory: Memory | None = None, link: Any = None) -> None:
        self.memory = memory = memory or Memory()
        memory.conversations = (*memory.conversations, self)
        super().__init__(memory.waiters)
        self.link = link
        self.generation = 0
        self.sockets = memory.sockets
        self.skipped = 0  # unknown frames and arms, and dispatches of lost streams
        self._parts: dict[int, command_pb2.Answer] = {}  # of answers that are larger than a frame
        self._lost = LostFrames()  # of the stream before this one

    # The life of a stream.

    def opening(self, register: handler_pb2.Register) -> bytes:
        """Begins a stream.

        Args:
            register: The registration of the instance.

        Returns:
            The first frame.
        """
        self.state = State.OPENING
        self._set_results_aside()
        self.generation = next(self.memory.generations)
        self._sent = self._sent_answered = self._received = self._received_answered = 0
        self._drained = False
        return handler_pb2.AttachRequest(register=register).SerializeToString()

    def lost(self) -> list[Any]:
        """Ends a stream.

        Returns:
            The waiters of commands that were sent and whose answer will not arrive.
        """
        self.state = State.LOST
        memory = self.memory
        self._lost = lost = LostFrames()
        # Remembered before they are removed here, so that another conversation that looks for a
        # result finds it.
        again = None
        for index, (_, entries) in enumerate(self._unanswered):
            lost.frames.append([entry for entry in entries if not entry[0]])
            for number, data, _ in entries:
                if number:
                    memory.remember(number, data, lost, index)
                    if again is None and memory.repeated(number):
                        again = index
        self._unanswered.clear()
        if again is not None:
            self._outbound.extendleft(reversed(lost.after(again)))
        self._set_results_aside()
        waiters = [self._waiters.pop(number) for number in sorted(self._in_flight) if number in self._waiters]
        self._in_flight.clear()
        self._parts.clear()
        return waiters

    def _set_results_aside(self) -> None:
        """Remembers the results that were not sent; commands stay queued."""
        outbound = self._outbound
        for _ in range(len(outbound)):
            entry = outbound[0]
            if entry[0]:
                self.memory.remember(entry[0], entry[1], self._lost, len(self._lost.frames))
            else:
                outbound.append(entry)
            outbound.popleft()

    def leave(self) -> None:
        """Ends the conversation, whose stream is lost."""
        memory = self.memory
        memory.conversations = tuple(c for c in memory.conversations if c is not self)

    # Frames in.

    def receive(self, frame: handler_pb2.AttachResponse) -> Received:
        """Processes one frame.

        Args:
            frame: The frame.

        Returns:
            The contents of the frame.
        """
        received = Received()
        kind = frame.WhichOneof("frame")
        if kind == "batch":
            received.ordinary = True
            self._receive_batch(frame.batch, received)
        elif kind == "frame_ack":
            received.ordinary = True
            received.unlocked = self._answered(frame.frame_ack.answered)
        elif kind == "welcome":
            self._welcome(frame.welcome, received)
        elif kind == "drain":
            received.draining = True
        elif kind == "fault":
            received.fault = frame.fault
        elif kind == "registered":
            received.registered = frame.registered
        elif kind == "topology":
            received.topology = frame.topology
        else:
            self.skipped += 1
            received.unknown = True
        return received

    def _welcome(self, welcome: handler_pb2.Welcome, received: Received) -> None:
        self.state = State.ATTACHED
        self.refuses_socket_id_rooms = welcome.refuses_socket_id_rooms
        self.frame_window = welcome.frame_window or 1
        self.max_frame_bytes = welcome.max_frame_bytes or DEFAULT_FRAME_BYTES
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
        elsewhere: dict[int, bytes] | None = None
        for socket_id in batch.released:
            self.memory.release(socket_id, generation)
        for message in batch.dispatches:
            socket = sockets.get(message.socket_id)
            if socket is None or socket.generation != generation:
                socket = self._socket_of(message)
            dispatch = Dispatch(message, socket, self, generation)
            if not dispatch.name and not self._classify(dispatch):
                continue
            if message.redeliveries:
                if elsewhere is None:
                    elsewhere = self.memory.unconfirmed_elsewhere(self)
                if self._handled_before(dispatch, elsewhere):
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
        # Another thread may have withdrawn it just now.
        waiter = self._waiters.pop(number, None)
        if waiter is not None:
            received.answers.append((waiter, whole))

    def _socket_of(self, message: handler_pb2.Dispatch) -> SocketState:
        """Creates or renews the record of a socket, on its first dispatch of this stream."""
        if not message.socket_id:
            # A message belongs to no socket, and to no order.
            return SocketState("", message.namespace or "/", self.generation)
        if self.memory.notified and message.WhichOneof("kind") != "disconnected":
            self.memory.notified.pop(message.socket_id, None)  # it exists after all
        socket = self.sockets.get(message.socket_id)
        if socket is None:
            socket = SocketState(message.socket_id, message.namespace or "/", self.generation)
        # Another replica may introduce the socket at the same time, or release it, which first
        # removes it and then looks at its generation.
        socket.generation = self.generation
        socket = self.sockets.setdefault(socket.id, socket)
        socket.generation = self.generation
        if message.HasField("introduction"):
            introduction = message.introduction
            socket.handshake = introduction.handshake
            socket.keep(introduction.data, introduction.data_version)
        return socket

    def _classify(self, dispatch: Dispatch) -> bool:
        """Names a dispatch that is not an event. Returns whether it has to be handled."""
        message = dispatch.message
        kind = message.WhichOneof("kind")
        if kind == "disconnected" and self.memory.was_notified(dispatch.socket.id):
            self.memory.forget(dispatch.socket.id)
            self.resolve(dispatch)
            return False
        if kind == "disconnected":
            # No dispatch of the socket follows, and this one still holds the record. If the socket
            # was resumed on another replica meanwhile, that has introduced it already.
            if dispatch.socket.generation == self.generation:
                self.memory.forget(dispatch.socket.id)
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
            if self.memory.messages.seen(dispatch.id):
                self.resolve(dispatch)
                return False
        elif kind == "event":
            pass  # Its name is empty.
        else:
            self.skipped += 1
            self.fail(dispatch, "the SDK does not know this kind of dispatch")
            return False
        return True

    def _handled_before(self, dispatch: Dispatch, elsewhere: dict[int, bytes]) -> bool:
        """Answers a redelivered dispatch without its handler if that has run or is running."""
        running = self.memory.running(dispatch)
        if running is not None:
            running.generation, running.home = dispatch.generation, self
            # The handler may have ended just now, and have found its stream lost.
            self.recall(dispatch.id)
            return True
        number = dispatch.id
        if number in elsewhere:
            # The replica that the result was sent to gave this instance up before the stream broke.
            self.memory.repeat(number)
            self._outbound.append((number, elsewhere[number], 0))
            return True
        if self.recall(number):
            return True
        for waiting in tuple(dispatch.socket.queue):
            if getattr(waiting, "id", 0) == number:
                waiting.generation = 0  # it arrived over a stream whose loss was not noticed yet
        return False

    def recall(self, number: int) -> bool:
        """Queues the remembered result of a dispatch. Returns whether there was one."""
        entries = self.memory.recall(number)
        if entries is None:
            return False
        self._outbound.extend(entries)
        return True

    def _remember_late(self, dispatch: Dispatch, data: bytes) -> None:
        """Remembers a result whose stream is lost."""
        self.memory.remember(dispatch.id, data, self._lost, len(self._lost.frames))
        # The dispatch may have been redelivered just now.
        home = dispatch.home
        if dispatch.generation == home.generation and home.state is not State.LOST:
            home.recall(dispatch.id)

    # Actions in.

    def stale(self, dispatch: Dispatch) -> bool:
        """Returns whether a dispatch arrived on a lost stream and must not start.

        Args:
            dispatch: The dispatch, which has not started.

        Returns:
            True when the broker has redelivered it, or will.
        """
        if dispatch.generation == self.generation and self.state is not State.LOST:
            return False
        if dispatch.kind == "disconnect" and self.memory.keep_disconnect(dispatch):
            return False
        self.skipped += 1
        return True

    def resolve(self, dispatch: Dispatch, args: bytes | None = None, attachments: Sequence[bytes] = ()) -> None:
        """Queues the result of a dispatch.

        Args:
            dispatch: The dispatch.
            args: The arguments of the ack, or None when no ack is sent. Accepts a connect.
            attachments: The attachments of the ack.

        Raises:
            TooLargeError: The ack is larger than a frame may be.
        """
        number = dispatch.id
        data = result_element(number) if args is None else ack_element(number, args, attachments)
        self._check_size(dispatch, len(data))
        if dispatch.generation != self.generation or self.state is State.LOST:
            self._remember_late(dispatch, data)
        else:
            self._outbound.append((number, data, 0))

    def _check_size(self, dispatch: Dispatch, size: int) -> None:
        if size > self.max_frame_bytes - OVERHEAD:
            raise TooLargeError(
                f"answer to {dispatch.name!r} in namespace {dispatch.socket.namespace}: has {size} bytes, more than a frame may"
                f" have (send less, or raise the broker's setting max-frame, now {self.max_frame_bytes})"
            )

    def refuse(self, dispatch: Dispatch, message: str = "", data: bytes = b"") -> None:
        """Queues the refusal of a connect, and forgets the socket.

        Args:
            dispatch: The connect.
            message: The message for the browser.
            data: One JSON value for the browser, or nothing.

        Raises:
            TooLargeError: The refusal is larger than a frame may be.
        """
        result = handler_pb2.Result(dispatch_id=dispatch.id, refusal=handler_pb2.Refusal(message=message, data=data))
        self._check_size(dispatch, result.ByteSize() + 16)  # with its tags and lengths
        self.memory.forget(dispatch.socket.id)
        dispatch.socket.refused = True
        self._queue_result(dispatch, result)

    def fail(self, dispatch: Dispatch, message: str, *, keep: bool = False) -> None:
        """Queues the failure of a handler; a socket that was about to connect is forgotten.

        Args:
            dispatch: The dispatch.
            message: The explanation for the broker's logs.
            keep: Whether the socket connects nevertheless.
        """
        if dispatch.kind == "connect" and not keep:
            self.memory.forget(dispatch.socket.id)
        # Bounded, because any handler may have written the text.
        failure = handler_pb2.Failure(message=message[:1024])
        self._queue_result(dispatch, handler_pb2.Result(dispatch_id=dispatch.id, failure=failure))

    def _queue_result(self, dispatch: Dispatch, result: handler_pb2.Result) -> None:
        data = element(handler_pb2.Action(result=result))
        if dispatch.generation != self.generation or self.state is State.LOST:
            self._remember_late(dispatch, data)
        else:
            self._outbound.append((dispatch.id, data, 0))

    def withdraw(self, number: int) -> None:
        """Removes the waiter of a command.

        Args:
            number: The command's id.
        """
        self._waiters.pop(number, None)
        self._in_flight.discard(number)
        self._parts.pop(number, None)
