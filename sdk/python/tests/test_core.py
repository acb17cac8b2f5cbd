# SPDX-License-Identifier: Apache-2.0
"""The conversation, without any I/O."""

from __future__ import annotations

from typing import Any

import pytest

from spanwire._core import Conversation, State, TooLargeError
from spanwire._memory import Memory
from spanwire._proto import command_pb2, event_pb2, handler_pb2
from spanwire._records import Dispatch, Recent, SocketState
from spanwire._routes import Routes, is_async, positional
from spanwire._wire import ack_element, batch_frame, element, result_element

REGISTER = handler_pb2.Register(protocol_version=1, service="s", instance_id="i")


def parsed(frame: bytes | None) -> handler_pb2.AttachRequest:
    assert frame is not None
    return handler_pb2.AttachRequest.FromString(frame)


def welcome(conversation: Conversation, **fields: Any) -> None:
    fields = {"frame_window": 2, "max_frame_bytes": 1000, **fields}
    assert parsed(conversation.opening(REGISTER)).register == REGISTER
    received = conversation.receive(handler_pb2.AttachResponse(welcome=handler_pb2.Welcome(**fields)))
    assert received.welcome is not None
    assert received.unlocked


def event(number: int, sid: str = "s", name: str = "e", **fields: Any) -> handler_pb2.Dispatch:
    return handler_pb2.Dispatch(id=number, socket_id=sid, event=event_pb2.Event(name=name), **fields)


def batch(sequence: int, *dispatches: handler_pb2.Dispatch, answered: int = 0, answers: Any = ()) -> handler_pb2.AttachResponse:
    return handler_pb2.AttachResponse(
        batch=handler_pb2.DispatchBatch(sequence=sequence, answered=answered, dispatches=dispatches, answers=answers)
    )


def emit(name: str, number: int = 0) -> handler_pb2.Action:
    command = command_pb2.Command(id=number, emit=command_pb2.Emit(event=event_pb2.Event(name=name)))
    return handler_pb2.Action(command=command)


def names(frame: bytes | None) -> list[Any]:
    """What a batch frame holds: names of emits and ids of results."""
    return [a.result.dispatch_id if a.HasField("result") else a.command.emit.event.name for a in parsed(frame).batch.actions]


@pytest.fixture
def conversation() -> Conversation:
    made = Conversation()
    welcome(made)
    return made


# A stream opens with a registration and is attached at the welcome, whose limits apply; absent
# limits have defaults.
def test_opening() -> None:
    conversation = Conversation()
    assert conversation.state is State.LOST
    assert conversation.blocked
    conversation.opening(REGISTER)
    assert conversation.state is State.OPENING
    topology = handler_pb2.Topology(replicas=[handler_pb2.Replica(id="r")])
    received = conversation.receive(handler_pb2.AttachResponse(welcome=handler_pb2.Welcome(topology=topology)))
    assert conversation.state is State.ATTACHED
    assert received.topology == topology
    assert (conversation.frame_window, conversation.max_frame_bytes) == (1, 1 << 20)


# Frames other than batches are passed on; unknown ones are counted.
def test_other_frames(conversation: Conversation) -> None:
    assert conversation.receive(handler_pb2.AttachResponse(drain=handler_pb2.Drain())).draining
    fault = command_pb2.Fault(message="m")
    assert conversation.receive(handler_pb2.AttachResponse(fault=fault)).fault == fault
    topology = handler_pb2.Topology()
    assert conversation.receive(handler_pb2.AttachResponse(topology=topology)).topology == topology
    assert conversation.receive(handler_pb2.AttachResponse()).unknown
    assert conversation.skipped == 1


# A socket is recorded at its introduction and forgotten at its disconnect, or when its connect is
# refused or fails.
def test_sockets(conversation: Conversation) -> None:
    introduction = handler_pb2.Introduction(handshake=event_pb2.Handshake(address="a"))
    first = conversation.receive(batch(1, event(1, "x", introduction=introduction, namespace="/n"))).dispatches[0]
    assert (first.socket.namespace, first.socket.handshake.address) == ("/n", "a")
    again = conversation.receive(batch(2, event(2, "x"))).dispatches[0]
    assert again.socket is first.socket
    gone = handler_pb2.Dispatch(id=3, socket_id="x", disconnected=handler_pb2.Disconnected(reason="r"))
    assert conversation.receive(batch(3, gone)).dispatches[0].name == "disconnect"
    assert not conversation.sockets
    for number, end in enumerate((conversation.refuse, lambda d: conversation.fail(d, "why")), 4):
        message = handler_pb2.Dispatch(id=number, socket_id="y", connect=handler_pb2.Connect())
        dispatch = conversation.receive(batch(number, message)).dispatches[0]
        assert dispatch.name == "connect"
        assert conversation.sockets
        end(dispatch)
        assert not conversation.sockets


# A dispatch of an unknown kind fails at once, so that it does not stay open.
def test_unknown_kind(conversation: Conversation) -> None:
    received = conversation.receive(batch(1, handler_pb2.Dispatch(id=9, socket_id="s")))
    assert not received.dispatches
    action = parsed(conversation.next_frame()).batch.actions[0]
    assert action.result.dispatch_id == 9
    assert action.result.HasField("failure")


# Each outcome has the form of the contract.
def test_outcomes(conversation: Conversation) -> None:
    dispatches = [
        Dispatch(event(2**63 + n), SocketState("s", "/", conversation.generation), conversation, conversation.generation)
        for n in range(6)
    ]
    conversation.resolve(dispatches[0])
    conversation.resolve(dispatches[1], b"[]")
    conversation.resolve(dispatches[2], b"[1]", [b"x"])
    conversation.resolve(dispatches[3], b"[" + b"1" * 300 + b"]")
    conversation.refuse(dispatches[4], "no", b"1")
    conversation.fail(dispatches[5], "w" * 5000)
    frame = parsed(conversation.next_frame())
    assert (frame.batch.sequence, frame.batch.answered) == (1, 0)
    results = [a.result for a in frame.batch.actions]
    assert [r.dispatch_id for r in results] == [2**63 + n for n in range(5)]
    assert [r.WhichOneof("outcome") for r in results] == [None, "ack", "ack", "ack", "refusal"]
    assert results[2].ack == event_pb2.Ack(args=b"[1]", attachments=[b"x"])
    assert len(results[3].ack.args) == 302
    assert results[4].refusal == handler_pb2.Refusal(message="no", data=b"1")
    # The long failure did not fit, is cut, and follows.
    conversation.max_frame_bytes = 4000
    assert len(parsed(conversation.next_frame()).batch.actions[0].result.failure.message) == 1024


# An ack larger than a frame becomes a failure; a command, an error of its caller.
def test_too_large(conversation: Conversation) -> None:
    dispatch = conversation.receive(batch(1, event(1))).dispatches[0]
    with pytest.raises(TooLargeError, match="'e' in namespace /"):
        conversation.resolve(dispatch, b"1" * 1000)
    with pytest.raises(TooLargeError):
        conversation.refuse(dispatch, "no", b"1" * 1000)
    with pytest.raises(TooLargeError):
        conversation.command(emit("x" * 1000))
    assert conversation.waiting == 0


# Queued actions are split into frames within the limit.
def test_splitting(conversation: Conversation) -> None:
    for number in range(5):
        conversation.command(emit(f"{number}" + "x" * 400))
    frames = []
    for sequence in range(1, 4):
        frame = conversation.next_frame()
        assert frame is not None
        assert len(frame) <= 1000
        frames += [n[0] for n in names(frame)]
        conversation.receive(handler_pb2.AttachResponse(frame_ack=handler_pb2.FrameAck(answered=sequence)))
    assert frames == ["0", "1", "2", "3", "4"]
    assert conversation.queued_bytes == 0


# At most a window of frames is unanswered; an answer opens the window, an old one does not.
def test_frame_window(conversation: Conversation) -> None:
    for name in "ab":
        conversation.command(emit(name))
        assert names(conversation.next_frame()) == [name]
    conversation.command(emit("c"))
    conversation.command(emit("d"))
    assert conversation.blocked
    assert conversation.unanswered == 2
    assert conversation.next_frame() is None
    assert conversation.queued_bytes > 0
    assert not conversation.receive(batch(1, answered=0)).unlocked
    assert conversation.receive(batch(2, answered=1)).unlocked
    assert names(conversation.next_frame()) == ["c", "d"]
    assert conversation.next_frame() is None


# Sent frames answer received ones; a bare answer is due only when the broker would have to stop.
def test_answers_to_frames(conversation: Conversation) -> None:
    assert conversation.answer_frame() is None
    conversation.receive(batch(1, event(1)))
    assert not conversation.answer_due()
    conversation.receive(batch(2, event(2)))
    assert conversation.answer_due()
    assert parsed(conversation.answer_frame()).frame_ack.answered == 2
    assert not conversation.answer_due()
    dispatch = conversation.receive(batch(3, event(3))).dispatches[0]
    conversation.resolve(dispatch)
    assert parsed(conversation.next_frame()).batch.answered == 3
    conversation.lost()
    assert conversation.answer_frame() is None


# The drain frame is sent once, and only while there is a stream.
def test_drain(conversation: Conversation) -> None:
    assert parsed(conversation.drain_frame()).HasField("drain")
    assert conversation.drain_frame() is None
    conversation.lost()
    assert conversation.drain_frame() is None
    welcome(conversation)
    retiring = parsed(conversation.drain_frame(retire=True))
    assert retiring.HasField("drain")
    assert retiring.drain.retire


# Waiters receive their answers; lost() returns those whose answer is lost, and keeps those that
# were not sent.
def test_waiters(conversation: Conversation) -> None:
    for number in (1, 2, 3):
        conversation.command(emit("e", number), waiter=f"w{number}")
    conversation.next_frame()
    answer = command_pb2.Answer(id=1, sockets=4)
    assert conversation.receive(batch(1, answers=[answer, command_pb2.Answer(id=99)])).answers == [("w1", answer)]
    conversation.withdraw(3)
    conversation.command(emit("e", 4), waiter="w4")
    assert conversation.lost() == ["w2"]
    welcome(conversation)
    assert names(conversation.next_frame()) == ["e"]
    answer = command_pb2.Answer(id=4)
    assert conversation.receive(batch(1, answers=[answer])).answers == [("w4", answer)]


# A dispatch that had not started when the stream broke is stale, and is redelivered.
def test_stale(conversation: Conversation) -> None:
    dispatch = conversation.receive(batch(1, event(1))).dispatches[0]
    assert not conversation.stale(dispatch)
    conversation.lost()
    assert conversation.stale(dispatch)
    welcome(conversation)
    assert conversation.stale(dispatch)
    again = conversation.receive(batch(1, event(1, redeliveries=1))).dispatches[0]
    assert not conversation.stale(again)
    assert again.socket is dispatch.socket
    assert conversation.skipped == 2


# Results that did not arrive are remembered, and their dispatches do not run again; commands of
# unprocessed frames are sent again, those of frames that may have been processed are not.
def test_redelivery(conversation: Conversation) -> None:
    one, two, three, four = conversation.receive(batch(1, *(event(n, f"s{n}") for n in (1, 2, 3, 4)))).dispatches
    conversation.command(emit("before 1"))
    conversation.resolve(one, b"[1]")
    conversation.next_frame()
    conversation.command(emit("before 2"))
    conversation.resolve(two)
    conversation.next_frame()
    conversation.command(emit("unsent"))
    conversation.fail(three, "m")
    conversation.lost()
    conversation.refuse(four)
    assert conversation.waiting == 1
    welcome(conversation)
    received = conversation.receive(
        batch(1, *(event(n, f"s{n}", redeliveries=1) for n in (2, 3, 4)), event(5, "s5", redeliveries=1))
    )
    assert [d.id for d in received.dispatches] == [5]
    assert names(conversation.next_frame()) == ["unsent", "before 2", 2, 3, 4]
    # The first frame turns out to be lost as well.
    received = conversation.receive(batch(2, event(1, "s1", redeliveries=1)))
    frame = conversation.next_frame()
    assert not received.dispatches
    assert names(frame) == ["before 1", 1]
    assert parsed(frame).batch.actions[1].result.ack.args == b"[1]"


# A dispatch that still runs at its redelivery continues, and resolves the new one.
def test_redelivery_while_running(conversation: Conversation) -> None:
    running = conversation.receive(batch(1, event(1))).dispatches[0]
    running.socket.current = running
    conversation.lost()
    welcome(conversation)
    assert not conversation.receive(batch(1, event(1, redeliveries=1))).dispatches
    other = conversation.receive(batch(2, event(2, redeliveries=1))).dispatches[0]
    assert other.id == 2
    conversation.resolve(running, b"[]")
    assert names(conversation.next_frame()) == [1]


# The memory of results is bounded.
def test_remembering_is_bounded(conversation: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanwire._memory._MAX_RESULTS", 2)
    dispatches = conversation.receive(batch(1, *(event(n, f"s{n}") for n in (1, 2, 3)))).dispatches
    conversation.lost()
    for dispatch in dispatches:
        conversation.resolve(dispatch)
    welcome(conversation)
    received = conversation.receive(batch(1, *(event(n, f"s{n}", redeliveries=1) for n in (1, 2, 3))))
    assert [d.id for d in received.dispatches] == [1]


# Sockets that disconnected while no stream was open are forgotten after a while, unless an item of
# theirs runs.
def test_forget_absent(conversation: Conversation) -> None:
    conversation.receive(batch(1, *(event(n, f"s{n}") for n in (1, 2, 3))))
    conversation.sockets["s2"].busy = True
    conversation.lost()
    welcome(conversation)
    conversation.receive(batch(1, event(4, "s3")))
    assert conversation.memory.forget_absent() == 1
    assert set(conversation.sockets) == {"s2", "s3"}


# A socket that moves to another instance is forgotten, and introduced again if it returns.
def test_released(conversation: Conversation) -> None:
    first = conversation.receive(batch(1, *(event(n, f"s{n}") for n in (1, 2, 3)))).dispatches[0].socket
    first.keep(b'"old"', 5)
    conversation.sockets["s2"].busy = True  # until its worker has noted that it is done
    conversation.sockets["s3"].generation += 1  # met on another stream
    frame = batch(2)
    frame.batch.released.extend(["s1", "s2", "s3", "unknown"])
    conversation.receive(frame)
    assert set(conversation.sockets) == {"s3"}
    assert not first.gone
    introduced = handler_pb2.Introduction(data=b'"new"', data_version=2)
    frame = batch(3, event(4, "s3", introduction=introduced), event(5, "s2", introduction=introduced))
    frame.batch.released.append("s3")
    kept = [d.socket.data for d in conversation.receive(frame).dispatches]
    assert kept == [(b'"new"', 2)] * 2


# A socket that arrives over another link while it is released stays.
def test_released_and_met() -> None:
    class Met(dict[str, SocketState]):
        def pop(self, key: str, *default: Any) -> Any:
            self[key].generation = 2
            return super().pop(key, *default)

    memory = Memory()
    memory.sockets = Met(s=SocketState("s", "/", 1))
    memory.release("s", 1)
    assert set(memory.sockets) == {"s"}


# The wire writer makes the bytes of the generated code.
@pytest.mark.parametrize("size", [0, 1, 2, 111, 112, 113, 127, 128, 200, 20_000])
def test_wire(size: int) -> None:
    args, number = b"x" * size, 2**64 - 3
    made = handler_pb2.AttachRequest.FromString(
        batch_frame(7, 300, [ack_element(number, args, ()), ack_element(1, args, [b"y"]), result_element(5), element(emit("e"))])
    )
    expected = handler_pb2.AttachRequest(
        batch=handler_pb2.ActionBatch(
            sequence=7,
            answered=300,
            actions=[
                handler_pb2.Action(result=handler_pb2.Result(dispatch_id=number, ack=event_pb2.Ack(args=args))),
                handler_pb2.Action(result=handler_pb2.Result(dispatch_id=1, ack=event_pb2.Ack(args=args, attachments=[b"y"]))),
                handler_pb2.Action(result=handler_pb2.Result(dispatch_id=5)),
                emit("e"),
            ],
        )
    )
    assert made == expected


# Routes: the precedence, the limits of the star, and the names that cannot be registered.
def test_routes() -> None:
    routes = Routes(["/extra"])

    def handler(*args: Any) -> None:
        pass

    for name, space in (("a", "/"), ("*", "/"), ("b", "*"), ("*", "*"), ("connect", "/c")):
        routes.add(name, handler, space)
    found = {
        key: (route.event if route else None)
        for key in [("/", "a"), ("/", "b"), ("/", "connect"), ("/x", "b"), ("/x", "c"), ("/c", "connect"), ("/c", "z")]
        if (route := routes.find(*key)) or True
    }
    assert found == {
        ("/", "a"): "a",
        ("/", "b"): "*",
        ("/", "connect"): None,
        ("/x", "b"): "b",
        ("/x", "c"): "*",
        ("/c", "connect"): "connect",
        ("/c", "z"): "*",
    }
    assert routes.find("/", "a") is routes.find("/", "a")
    assert Routes().find("/", "a") is None
    assert [(r.namespace, list(r.events), r.catch_all, r.connect) for r in routes.registrations()] == [
        ("/", ["a", "b"], True, False),
        ("/c", ["b"], True, True),
        ("/extra", ["b"], True, False),
    ]
    anywhere = Routes()
    anywhere.add("x", handler, "*")
    assert [r.namespace for r in anywhere.registrations()] == ["/"]
    for name, space in (("connect_error", "/"), ("x", "chat")):
        with pytest.raises(ValueError, match=r"reserved|slash"):
            routes.add(name, handler, space)


# The parameters of a handler are read from its signature, for any callable.
def test_signatures() -> None:
    class Callable_:  # noqa: N801
        async def __call__(self, a: int) -> None:
            pass

    async def coroutine() -> None:
        pass

    assert [is_async(f) for f in (coroutine, Callable_(), print, test_routes)] == [True, True, False, False]
    assert positional(lambda a, /, b, *, c=1: None) == 2
    assert positional(lambda *a: None) is None
    assert positional(Callable_()) == 1
    assert positional(dict.fromkeys.__self__) is None  # type: ignore[attr-defined]


# Messages belong to no socket and run once, whichever replica delivers them.
def test_messages(conversation: Conversation) -> None:
    def message(number: int) -> handler_pb2.Dispatch:
        return handler_pb2.Dispatch(id=number, message=handler_pb2.Message(event=event_pb2.Event(name="m")), namespace="/n")

    one, two = conversation.receive(batch(1, message(1), message(2), message(1))).dispatches
    assert (one.id, one.kind, one.name, one.socket.namespace) == (1, "message", "m", "/n")
    assert one.socket is not two.socket
    assert not conversation.sockets
    assert names(conversation.next_frame()) == [1]
    other = Conversation(conversation.memory)
    welcome(other)
    assert [d.id for d in other.receive(batch(1, message(2), message(3))).dispatches] == [3]
    recent = Recent()
    assert not any(recent.seen(n) for n in range(1025))
    assert not recent.seen(0)
    assert recent.seen(1024)


# Changes of rooms have names; an unknown change reaches no handler.
def test_room_events(conversation: Conversation) -> None:
    changes = [1, 2, 3, 4, 9]
    events = [handler_pb2.Dispatch(id=n, socket_id="s", room_event=handler_pb2.RoomEvent(change=n, room="r")) for n in changes]
    dispatches = conversation.receive(batch(1, *events)).dispatches
    assert [d.name for d in dispatches] == ["created", "deleted", "joined", "left"]
    assert {d.kind for d in dispatches} == {"room"}
    assert names(conversation.next_frame()) == [9]
    assert conversation.skipped == 1


# The parts of an answer are joined; a lost stream or a withdrawn waiter ends that.
def test_answer_in_parts(conversation: Conversation) -> None:
    def part(number: int, name: str, *, more: bool = True) -> command_pb2.Answer:
        return command_pb2.Answer(id=number, rooms=[command_pb2.RoomInfo(name=name)], more=more)

    for number in (1, 2, 3):
        conversation.command(emit("e", number), waiter=f"w{number}")
    conversation.next_frame()
    assert not conversation.receive(batch(1, answers=[part(1, "a"), part(2, "x"), part(3, "y")])).answers
    conversation.withdraw(2)
    ((waiter, answer),) = conversation.receive(batch(2, answers=[part(1, "b", more=False), part(2, "x", more=False)])).answers
    assert (waiter, [r.name for r in answer.rooms]) == ("w1", ["a", "b"])
    assert conversation.lost() == ["w3"]
    assert not conversation._parts


# A waiter that another thread withdraws while its answer arrives receives nothing.
def test_withdrawn_meanwhile(conversation: Conversation) -> None:
    class Waiters(dict[int, str]):
        def pop(self, key: int, default: Any = None) -> Any:
            return default

    conversation._waiters = Waiters({1: "w"})
    assert not conversation.receive(batch(1, answers=[command_pb2.Answer(id=1)])).answers


# The introduction of a socket has its data, which never goes back in time; the state after a
# disconnect is kept.
def test_socket_state(conversation: Conversation) -> None:
    def introduced(number: int, data: bytes, version: int) -> handler_pb2.Dispatch:
        return event(number, introduction=handler_pb2.Introduction(data=data, data_version=version))

    (dispatch,) = conversation.receive(batch(1, introduced(1, b"1", 3))).dispatches
    socket = dispatch.socket
    assert (socket.data, socket.gone, socket.recovered) == ((b"1", 3), False, False)
    socket.keep(b"2", 5)
    conversation.lost()
    welcome(conversation)
    conversation.receive(batch(1, introduced(2, b"1", 4)))
    assert socket.data == (b"2", 5)
    connect = handler_pb2.Dispatch(id=3, socket_id="s", connect=handler_pb2.Connect(recovered=True))
    left = handler_pb2.Dispatch(id=4, socket_id="s", disconnected=handler_pb2.Disconnected(rooms=["s", "r"]))
    conversation.receive(batch(2, connect, left))
    assert (socket.recovered, socket.gone, socket.left) == (True, True, ("s", "r"))
    refused = conversation.receive(batch(3, handler_pb2.Dispatch(id=5, socket_id="t", connect=handler_pb2.Connect()))).dispatches[
        0
    ]
    conversation.refuse(refused)
    conversation.refuse(refused)
    assert refused.socket.gone


# A socket whose disconnect was reported without the broker exists after all when a dispatch of it
# arrives.
def test_notified_and_back(conversation: Conversation) -> None:
    conversation.memory.notify("s")
    conversation.receive(batch(1, event(1)))
    assert not conversation.memory.notified


# A disconnect leaves the record of a socket that another replica introduced meanwhile.
def test_disconnected_and_resumed(conversation: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation.receive(batch(1, event(1)))

    def was_notified(socket_id: str) -> bool:
        conversation.sockets[socket_id].generation += 1  # as another thread would
        return False

    monkeypatch.setattr(conversation.memory, "was_notified", was_notified)
    gone = handler_pb2.Dispatch(id=2, socket_id="s", disconnected=handler_pb2.Disconnected(rooms=["s"]))
    (dispatch,) = conversation.receive(batch(2, gone)).dispatches
    assert dispatch.name == "disconnect"
    assert not conversation.sockets["s"].gone


# An event may have an empty name.
def test_empty_name(conversation: Conversation) -> None:
    (dispatch,) = conversation.receive(batch(1, event(1, name=""))).dispatches
    assert (dispatch.kind, dispatch.name) == ("event", "")


# A dispatch that waits for its turn is stale once another stream has redelivered it.
def test_redelivery_while_waiting(conversation: Conversation) -> None:
    other = Conversation(conversation.memory)
    welcome(other)
    before, waiting = conversation.receive(batch(1, event(1), event(2))).dispatches
    waiting.socket.queue.extend([before, waiting])
    (again,) = other.receive(batch(1, event(2, redeliveries=1))).dispatches
    assert (before.generation, waiting.generation) == (conversation.generation, 0)
    assert conversation.stale(waiting)
    assert not other.stale(again)


# A handler that ends while its dispatch moves to another stream resolves it there.
def test_resolved_while_moving(conversation: Conversation) -> None:
    other = Conversation(conversation.memory)
    welcome(other)
    (running,) = conversation.receive(batch(1, event(1))).dispatches
    running.socket.current = running
    assert not other.receive(batch(1, event(1, redeliveries=1))).dispatches
    conversation.resolve(running, b"[]")  # it looked at the home before the move
    assert conversation.next_frame() is None
    assert names(other.next_frame()) == [1]


# Registrations are sent while there is a stream.
def test_registrations(conversation: Conversation) -> None:
    registrations = [handler_pb2.Registration(namespace="/n")]
    frame = parsed(conversation.registrations_frame(registrations))
    assert list(frame.registrations.registrations) == registrations
    conversation.lost()
    assert conversation.registrations_frame(registrations) is None


# A result that is on its way over one stream is repeated over another that brings its dispatch
# again. When the first stream breaks then, its frame was not worked on: its commands are sent
# again.
def test_repeated_elsewhere(conversation: Conversation) -> None:
    other = Conversation(conversation.memory)
    welcome(other)
    one, two = conversation.receive(batch(1, event(1, "s1"), event(2, "s2"))).dispatches
    conversation.command(emit("before"))
    conversation.resolve(one, b"[]")
    conversation.resolve(two, b"[]")
    conversation.next_frame()
    # This one is queued only.
    conversation.resolve(conversation.receive(batch(2, event(3, "s3"))).dispatches[0])
    assert not other.receive(batch(1, *(event(n, f"s{n}", redeliveries=1) for n in (1, 2, 3)))).dispatches
    assert names(other.next_frame()) == [1, 2, 3]
    conversation.lost()
    assert conversation.waiting == 1
    welcome(conversation)
    assert names(conversation.next_frame()) == ["before"]


# A conversation that has ended does not take part in later searches for results.
def test_leave(conversation: Conversation) -> None:
    memory = conversation.memory
    conversation.lost()
    conversation.leave()
    assert memory.conversations == ()


# The answer to changed registrations is passed on.
def test_registered(conversation: Conversation) -> None:
    registered = handler_pb2.Registered(fault=command_pb2.Fault(message="m"))
    assert conversation.receive(handler_pb2.AttachResponse(registered=registered)).registered == registered


# A disconnect is handled once: one that was reported without the broker is resolved at once when
# the broker brings it, and one that was not handled when its stream broke is handled when its
# replica is dead.
def test_disconnects_of_dead_replicas(conversation: Conversation) -> None:
    def gone(number: int, sid: str) -> handler_pb2.Dispatch:
        return handler_pb2.Dispatch(id=number, socket_id=sid, disconnected=handler_pb2.Disconnected())

    memory = conversation.memory
    memory.notify("s1")
    memory.unhandled_disconnects["s1"] = conversation.receive(batch(1, event(1, "s2"))).dispatches[0]
    assert not conversation.receive(batch(2, gone(2, "s1"))).dispatches
    assert names(conversation.next_frame()) == [2]
    assert not memory.unhandled_disconnects
    (dispatch,) = conversation.receive(batch(3, gone(3, "s3"))).dispatches
    conversation.lost()
    assert conversation.stale(dispatch)
    assert memory.unhandled_disconnects == {"s3": dispatch}
    memory.dead.add(dispatch.generation)
    assert not conversation.stale(dispatch)
    assert "s3" in memory.notified


# The memory of sockets is bounded.
def test_notified_is_bounded(conversation: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanwire._memory._MAX_NOTIFIED", 2)
    monkeypatch.setattr("spanwire._memory._MAX_RESULTS", 2)
    memory = conversation.memory
    (dispatch,) = conversation.receive(batch(1, event(1))).dispatches
    for number in range(3):
        memory.notify(f"s{number}")
        memory.repeat(number)
        dispatch.socket.id = f"s{number}"
        memory.keep_disconnect(dispatch)
    assert list(memory.notified) == list(memory.unhandled_disconnects) == ["s1", "s2"]
    assert [memory.repeated(n) for n in range(3)] == [False, True, True]


# Commands that were not sent go over another conversation when the stream is lost; results stay.
def test_unsent_commands_move(conversation: Conversation) -> None:
    other = Conversation(conversation.memory)
    welcome(other)
    (dispatch,) = conversation.receive(batch(1, event(1))).dispatches
    conversation.command(emit("a"))
    conversation.resolve(dispatch)
    conversation.command(emit("b"))
    other.requeue(conversation.take_unsent())
    assert (conversation.waiting, conversation.queued_bytes) == (1, 0)
    assert other.queued_bytes > 0
    assert names(other.next_frame()) == ["a", "b"]
