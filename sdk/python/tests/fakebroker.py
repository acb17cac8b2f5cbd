# SPDX-License-Identifier: Apache-2.0
"""A broker in this process: gRPC on a free port; the test plays the browsers."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from spanwire._proto import command_pb2, emitter_pb2, event_pb2, handler_pb2

WAIT = 10.0


class Attachment:
    """One stream of one instance."""

    def __init__(self, broker: FakeBroker, register: handler_pb2.Register) -> None:
        self.broker = broker
        self.register = register
        self.out: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.sequence = 0
        self.received = 0
        self.acknowledged = 0  # the highest of the instance's frames that it acknowledged
        self.answered = 0  # of our frames, by the instance
        self.results: dict[int, handler_pb2.Result] = {}
        self.commands: list[command_pb2.Command] = []
        self.actions: list[handler_pb2.Action] = []
        self.acks: list[int] = []
        self.batches: list[handler_pb2.ActionBatch] = []
        self.draining = False
        self.retires = False
        self.changes: list[list[handler_pb2.Registration]] = []  # of what is registered
        self.ended = False
        self.open: set[int] = set()
        self.met: set[str] = set()
        self.changed = threading.Condition()

    # What the test does.

    def dispatch(
        self,
        event: str | None = None,
        *args: Any,
        sid: str = "s1",
        namespace: str = "/",
        wants_ack: bool = True,
        kind: str = "event",
        number: int | None = None,
        redeliveries: int = 0,
        payload: bytes | None = None,
        attachments: tuple[bytes, ...] = (),
        reason: str = "transport close",
        handshake: event_pb2.Handshake | None = None,
        data: Any = None,
        version: int = 0,
        recovered: bool = False,
        rooms: tuple[str, ...] = (),
    ) -> int:
        """Sends one dispatch in a frame of its own; returns its id."""
        message = handler_pb2.Dispatch(
            id=number or next(self.broker.ids),
            socket_id=sid,
            namespace=namespace,
            wants_ack=wants_ack,
            redeliveries=redeliveries,
        )
        if kind == "event":
            message.event.name = event or ""
            message.event.args = json.dumps(args).encode() if payload is None else payload
            message.event.attachments.extend(attachments)
        elif kind == "connect":
            message.connect.recovered = recovered
        elif kind == "disconnected":
            message.disconnected.reason = reason
            message.disconnected.rooms.extend(rooms)
        elif kind == "message":
            message.message.event.name = event or ""
            message.message.event.args = json.dumps(args).encode()
            message.message.service, message.message.instance_id = "other", "other-1"
        else:
            message.room_event.change = handler_pb2.RoomChange.Value(f"ROOM_CHANGE_{kind}")
            message.room_event.room = event or ""
        if sid and sid not in self.met:
            self.met.add(sid)
            message.introduction.handshake.CopyFrom(handshake or HANDSHAKE)
            message.introduction.data = b"" if data is None else json.dumps(data).encode()
            message.introduction.data_version = version
        self.batch(message)
        return message.id

    def message(self, name: str, *args: Any, **fields: Any) -> int:
        return self.dispatch(name, *args, sid="", kind="message", **fields)

    def room(self, change: str, room: str, sid: str = "s1", namespace: str = "/") -> int:
        return self.dispatch(room, sid=sid, namespace=namespace, kind=change.upper(), wants_ack=False)

    def connect(self, sid: str = "s1", namespace: str = "/", auth: Any = None, handshake: Any = None, **introduction: Any) -> int:
        shake = event_pb2.Handshake()
        shake.CopyFrom(handshake or HANDSHAKE)
        if auth is not None:
            shake.auth = json.dumps(auth).encode()
        self.met.discard(sid)
        return self.dispatch(sid=sid, namespace=namespace, kind="connect", handshake=shake, **introduction)

    def disconnected(
        self, sid: str = "s1", namespace: str = "/", reason: str = "transport close", rooms: tuple[str, ...] = ()
    ) -> int:
        return self.dispatch(sid=sid, namespace=namespace, kind="disconnected", reason=reason, rooms=rooms)

    def batch(self, *messages: handler_pb2.Dispatch, answers: tuple[command_pb2.Answer, ...] = ()) -> None:
        with self.changed:
            self.sequence += 1
            if self.broker.answering:
                self.acknowledged = self.received
            self.open.update(m.id for m in messages)
            batch = handler_pb2.DispatchBatch(
                sequence=self.sequence, answered=self.acknowledged, dispatches=messages, answers=answers
            )
            self.send(batch=batch)

    def send(self, **frame: Any) -> None:
        self.out.put(handler_pb2.AttachResponse(**frame))

    def wait(self, condition: Callable[[], Any], what: str = "") -> Any:
        with self.changed:
            assert self.changed.wait_for(condition, WAIT), what or "nothing happened"
            return condition()

    def result(self, number: int) -> handler_pb2.Result:
        return self.wait(lambda: self.results.get(number), f"no result for {number}")

    def ack(self, number: int) -> Any:
        """Returns the arguments of the handler's ack, or None without one."""
        result = self.result(number)
        assert result.WhichOneof("outcome") != "failure", result.failure.message
        return json.loads(result.ack.args or b"[]") if result.HasField("ack") else None

    def emits(self, count: int = 1) -> list[tuple[Any, ...]]:
        """The first emits: (name, arguments, rooms, except, namespace)."""

        def found() -> Any:
            seen = [c.emit for c in self.commands if c.HasField("emit")]
            return seen if len(seen) >= count else None

        return [
            (
                e.event.name,
                json.loads(e.event.args),
                list(e.target.rooms),
                list(getattr(e.target, "except")),
                e.target.namespace,
            )
            for e in self.wait(found, f"not {count} emits")
        ]

    def command(self, kind: str, index: int = 0) -> Any:
        def found() -> Any:
            seen = [c for c in self.commands if c.WhichOneof("command") == kind]
            return seen[index] if len(seen) > index else None

        return self.wait(found, f"no {kind}")

    def break_off(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, details: str = "gone") -> None:
        self.out.put((code, details))

    # What the instance does.

    def take(self, frame: handler_pb2.AttachRequest) -> None:
        with self.changed:
            kind = frame.WhichOneof("frame")
            if kind == "batch":
                self.take_batch(frame.batch)
            elif kind == "frame_ack":
                self.answered = frame.frame_ack.answered
                self.acks.append(self.answered)
            elif kind == "drain":
                self.draining, self.retires = True, frame.drain.retire
            elif kind == "registrations":
                self.changes.append(list(frame.registrations.registrations))
                if self.broker.registered is not None:
                    self.send(registered=self.broker.registered)
            if self.draining and not self.open and not self.ended:
                self.ended = True
                self.out.put(None)
            self.changed.notify_all()

    def take_batch(self, batch: handler_pb2.ActionBatch) -> None:
        assert batch.sequence == self.received + 1
        self.received = batch.sequence
        self.answered = batch.answered
        self.batches.append(batch)
        answers = []
        for action in batch.actions:
            self.actions.append(action)
            if action.HasField("result"):
                self.results[action.result.dispatch_id] = action.result
                self.open.discard(action.result.dispatch_id)
            else:
                self.commands.append(action.command)
                if action.command.id and self.broker.answer is not None:
                    given = self.broker.answer(action.command)
                    answers.extend(given if isinstance(given, list) else [given])
        if self.broker.answering:
            if answers:
                # One frame for each, as for answers that are larger than a frame.
                for one in answers:
                    self.batch(answers=(one,))
            else:
                self.send(frame_ack=handler_pb2.FrameAck(answered=self.received))


class FakeBroker:
    """The server; `attached()` returns the streams in their order."""

    def __init__(
        self,
        *,
        frame_window: int = 2,
        max_frame_bytes: int = 1 << 20,
        port: int = 0,
        replica: str = "fake",
        credentials: Any = None,
    ) -> None:
        self.replica = replica
        self.topology: handler_pb2.Topology | None = None
        self.replica_timeout_ms = 0
        self.registered: handler_pb2.Registered | None = handler_pb2.Registered()
        self.frame_window = frame_window
        self.max_frame_bytes = max_frame_bytes
        self.answering = True
        self.answer: Callable[[command_pb2.Command], command_pb2.Answer | list[command_pb2.Answer]] | None = None
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.metadata: dict[str, str] = {}
        self.emitted: list[command_pb2.Emit] = []
        self.executed: list[command_pb2.Command] = []
        self.keys: list[str] = []
        self.retired: list[str] = []
        self.execute_answer = command_pb2.Answer()
        self.emit_error: tuple[grpc.StatusCode, str] | None = None
        self.emit_response = emitter_pb2.EmitResponse(sockets=3)
        self.ids = itertools.count(1)
        self._attached: queue.SimpleQueue[Attachment] = queue.SimpleQueue()
        self._live: list[Attachment] = []
        self._server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        wanted = f"127.0.0.1:{port}"
        secure = credentials is not None
        self.port = self._server.add_secure_port(wanted, credentials) if secure else self._server.add_insecure_port(wanted)
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    def attached(self) -> Attachment:
        return self._attached.get(timeout=WAIT)

    def retire(self, request: emitter_pb2.RetireServiceRequest, context: Any) -> emitter_pb2.RetireServiceResponse:
        if self.emit_error is not None:
            context.abort(*self.emit_error)
        self.retired.append(request.service)
        return emitter_pb2.RetireServiceResponse(silent_replicas=["r"])

    def empty(self) -> bool:
        """Whether no stream waits to be returned."""
        return self._attached.empty()

    def stop(self) -> None:
        for attachment in self._live:
            attachment.out.put(None)
        self._server.stop(0).wait()

    def attach(self, requests: Iterator[handler_pb2.AttachRequest], context: grpc.ServicerContext) -> Iterator[Any]:
        self.metadata = {k: v for k, v in context.invocation_metadata() if isinstance(v, str)}
        register = next(requests).register
        if self.refusal is not None:
            context.abort(*self.refusal)
        attachment = Attachment(self, register)
        self._live.append(attachment)
        yield handler_pb2.AttachResponse(
            welcome=handler_pb2.Welcome(
                replica=self.replica,
                topology=self.topology,
                version="test",
                window=1024,
                frame_window=self.frame_window,
                max_frame_bytes=self.max_frame_bytes,
                public_url="http://localhost:5000",
                replica_timeout_ms=self.replica_timeout_ms,
            )
        )

        def read() -> None:
            with contextlib.suppress(Exception):
                for frame in requests:
                    attachment.take(frame)

        threading.Thread(target=read, daemon=True).start()
        self._attached.put(attachment)
        while True:
            frame = attachment.out.get()
            if frame is None:
                return
            if isinstance(frame, tuple):
                context.abort(*frame)
            yield frame

    def execute(self, request: emitter_pb2.ExecuteRequest, _context: Any) -> emitter_pb2.ExecuteResponse:
        self.executed.append(request.command)
        self.keys.append(request.idempotency_key)
        return emitter_pb2.ExecuteResponse(answer=self.execute_answer)

    def emit(self, request: emitter_pb2.EmitRequest, context: grpc.ServicerContext) -> emitter_pb2.EmitResponse:
        self.metadata = {k: v for k, v in context.invocation_metadata() if isinstance(v, str)}
        self.emitted.append(request.emit)
        self.keys.append(request.idempotency_key)
        if self.emit_error is not None:
            context.abort(*self.emit_error)
        return self.emit_response


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker

    def service(self, details: Any) -> Any:
        if details.method == "/spanwire.v1.HandlerService/Attach":
            return grpc.stream_stream_rpc_method_handler(
                self._broker.attach,
                request_deserializer=handler_pb2.AttachRequest.FromString,
                response_serializer=handler_pb2.AttachResponse.SerializeToString,
            )
        if details.method == "/spanwire.v1.EmitterService/Emit":
            return grpc.unary_unary_rpc_method_handler(
                self._broker.emit,
                request_deserializer=emitter_pb2.EmitRequest.FromString,
                response_serializer=emitter_pb2.EmitResponse.SerializeToString,
            )
        if details.method == "/spanwire.v1.EmitterService/Execute":
            return grpc.unary_unary_rpc_method_handler(
                self._broker.execute,
                request_deserializer=emitter_pb2.ExecuteRequest.FromString,
                response_serializer=emitter_pb2.ExecuteResponse.SerializeToString,
            )
        if details.method == "/spanwire.v1.EmitterService/RetireService":
            return grpc.unary_unary_rpc_method_handler(
                self._broker.retire,
                request_deserializer=emitter_pb2.RetireServiceRequest.FromString,
                response_serializer=emitter_pb2.RetireServiceResponse.SerializeToString,
            )
        return None


def acks(*answers: tuple[str, list[Any]], missing: int = 0) -> Callable[[command_pb2.Command], command_pb2.Answer]:
    """Answers commands with the acks of sockets."""

    def answer(command: command_pb2.Command) -> command_pb2.Answer:
        came = [command_pb2.SocketAck(socket_id=sid, ack=event_pb2.Ack(args=json.dumps(args).encode())) for sid, args in answers]
        return command_pb2.Answer(id=command.id, sockets=len(came), acks=came, missing=missing)

    return answer


HANDSHAKE = event_pb2.Handshake(
    url="/socket.io/?EIO=4&transport=polling&name=J%C3%BCrgen",
    address="192.0.2.7",
    issued_ms=1_700_000_000_000,
    transport="polling",
    engine_protocol=4,
    method="GET",
    host="chat.example:8443",
    secure=True,
    headers=[
        event_pb2.Header(name="Accept", value="a"),
        event_pb2.Header(name="Accept", value="b"),
        event_pb2.Header(name="Cookie", value="user=anna; tint=red"),
        event_pb2.Header(name="User-Agent", value="tests"),
    ],
)
