# SPDX-License-Identifier: Apache-2.0
"""Commands and answers: the translation between Python's values and the contract's messages.

A function `x_to_proto` writes into a message, a function `x_from_proto` reads one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ._checks import (
    RESERVED,
    Space,
    check_event,
    check_flag,
    check_namespace,
    check_seconds,
    check_whole,
    names,
    one_namespace,
    pattern_source,
)
from ._payloads import Codec, arguments
from ._proto import command_pb2, event_pb2
from ._remote import RemoteSocket
from ._target import PLAIN, EmitFlags, Executor, Target
from ._values import Acks, Count, Handshake, InstanceAck, InstanceAcks, Rooms, SocketAck, Sockets
from .exceptions import CommandError, ConflictError, PartialDeliveryError

__all__ = [
    "acks_from_proto",
    "check",
    "check_rooms",
    "collected",
    "counted",
    "disconnect_to_proto",
    "emit_to_proto",
    "event_to_proto",
    "fetch_to_proto",
    "instance_acks_from_proto",
    "list_rooms_to_proto",
    "message_to_proto",
    "milliseconds",
    "move_to_proto",
    "rooms_from_proto",
    "sockets_from_proto",
    "target_to_proto",
    "value_from_json",
]

# 30 characters of URL-safe base64; the sixth ends the replica's id and carries two bits.
_SOCKET_ID = re.compile(r"[A-Za-z0-9_-]{5}[AQgw][A-Za-z0-9_-]{24}", re.ASCII)


def milliseconds(seconds: float | None) -> int:
    """Converts a timeout.

    Args:
        seconds: The timeout, None for the broker's default.

    Returns:
        The timeout in the unit of the contract; zero means the broker's default.

    Raises:
        TypeError: The timeout is not a number.
    """
    return 0 if check_seconds(seconds) is None else max(1, round((seconds or 0) * 1000))


def target_to_proto(message: event_pb2.Target, target: Target) -> bool:
    """Writes a target.

    Args:
        message: The message to fill.
        target: The target.

    Returns:
        Whether a socket can match. An empty list of rooms means no socket in Python, and every
        socket on the wire.

    Raises:
        ValueError: The namespace is not valid.
    """
    namespace = target._namespace
    if namespace == "/":
        message.namespace = "/"
    elif isinstance(namespace, str):
        message.namespace = check_namespace(namespace)
    else:
        message.namespace, message.pattern = pattern_source(namespace), True
    if target._local:
        message.local = True
    rooms = target._rooms
    if rooms is not None:
        if len(rooms) == 1:
            message.rooms.append(rooms[0])
        elif not rooms:
            return False
        else:
            message.rooms.extend(rooms)
    if target._except:
        getattr(message, "except").extend(target._except)
    return True


def event_to_proto(message: event_pb2.Event, codec: Codec, event: str, args: Sequence[Any], what: str = "event") -> None:
    """Writes an event or a message; its arguments are serialised at once.

    Args:
        message: The message to fill.
        codec: Serialises the arguments.
        event: The name.
        args: What was passed after the name.
        what: "event" or "message", for errors.

    Raises:
        TypeError: An argument cannot be sent, or the name is not a string.
        ValueError: Socket.IO reserves the name.
    """
    if type(event) is not str or event in RESERVED:
        check_event(event, what)
    payload, attachments = codec.encode(arguments(args))
    message.name = event
    # The payload is never empty, so an event without a name and without arguments is present, too.
    message.args = payload
    if attachments:
        message.attachments.extend(attachments)


def emit_to_proto(
    message: command_pb2.Emit,
    codec: Codec,
    event: str,
    args: Sequence[Any],
    target: Target,
    flags: EmitFlags,
) -> bool:
    """Writes an emit; its arguments are serialised at once.

    Args:
        message: The message to fill.
        codec: Serialises the arguments.
        event: The event's name.
        args: What was passed after the name.
        target: The receivers; its flags are added to the flags of the emit.
        flags: The flags of the emit.

    Returns:
        Whether a socket can match.

    Raises:
        TypeError: An argument cannot be sent, or the name is not a string.
        ValueError: Socket.IO reserves the name, or the namespace is not valid.
    """
    event_to_proto(message.event, codec, event, args)
    if flags is not PLAIN:
        flags.to_proto(message)
    if target._flags is not PLAIN:
        target._flags.to_proto(message)
    return target_to_proto(message.target, target)


def move_to_proto(command: command_pb2.Command, verb: str, rooms: Sequence[str], target: Target, *, count: bool = False) -> bool:
    """Writes a join or a leave; False when no socket or no room can match."""
    message = command.join if verb == "join" else command.leave
    if not rooms or not target_to_proto(message.target, target):
        return False
    message.rooms.extend(rooms)
    if count:
        message.want_count = check_flag(count, "count")
    return True


def check_rooms(command: command_pb2.Command) -> None:
    """Checks that a join does not name another socket's own room.

    The broker rejects such a join, but it does not answer the joins of handlers.

    Args:
        command: Any command.

    Raises:
        CommandError: A room has the form of a socket's id, and the target is not that socket alone.
    """
    target = command.join.target
    for room in command.join.rooms:
        if _SOCKET_ID.fullmatch(room) and (target.pattern or list(target.rooms) != [room]):
            raise CommandError(
                f"join: room {room!r} has the form of a socket's id, so its members would receive what is emitted to that"
                " socket alone (choose another name, or set the broker's allow-socket-id-rooms)",
                code="INVALID",
            )


def disconnect_to_proto(command: command_pb2.Command, target: Target, *, close_session: bool, count: bool = False) -> bool:
    """Writes a disconnect; False when no socket can match."""
    message = command.disconnect
    if not target_to_proto(message.target, target):
        return False
    message.close_session = check_flag(close_session, "close_session")
    if count:
        message.want_count = check_flag(count, "count")
    return True


def fetch_to_proto(command: command_pb2.Command, target: Target, limit: int) -> bool:
    """Writes the query for the sockets of a target; False when no socket can match."""
    query = command.fetch_sockets
    one_namespace(target.namespace)
    if not target_to_proto(query.target, target):
        return False
    query.timeout_ms = milliseconds(target._timeout)
    query.limit = check_whole(limit, "limit")
    return True


def list_rooms_to_proto(command: command_pb2.Command, namespace: Space, *, own: bool, local: bool, timeout: float | None) -> None:
    """Writes the query for the rooms of a namespace."""
    query = command.list_rooms
    query.namespace = one_namespace(namespace)
    query.include_own, query.local = check_flag(own, "own"), check_flag(local, "local")
    query.timeout_ms = milliseconds(timeout)


def message_to_proto(
    command: command_pb2.Command,
    codec: Codec,
    name: str,
    args: Sequence[Any],
    namespace: Space,
    services: str | Iterable[str],
) -> None:
    """Writes a message to other instances; its arguments are serialised at once."""
    message = command.server_side_emit
    if name == "":
        raise ValueError("message name: is empty (pass the name first, then the arguments)")
    event_to_proto(message.event, codec, name, args, "message")
    message.namespace = check_namespace(one_namespace(namespace))
    message.services.extend(names(services, "service"))


def acks_from_proto(codec: Codec, answer: command_pb2.Answer | Any) -> Acks:
    """Reads the acks of an answer, or of the response to a unary call.

    Args:
        codec: Parses the acks.
        answer: The answer.

    Returns:
        The acks.
    """
    came = [SocketAck(a.socket_id, codec.decode(a.ack.args, a.ack.attachments)) for a in answer.acks]
    return Acks(
        sockets=answer.sockets,
        acks=came,
        missing=answer.missing,
        silent_replicas=tuple(answer.silent_replicas),
        dropped=answer.dropped,
    )


def collected(codec: Codec, answer: command_pb2.Answer | Any) -> Acks:
    """Reads the acks of an answer that was waited for.

    Args:
        codec: Parses the acks.
        answer: The answer.

    Returns:
        The acks, with the names of silent replicas.

    Raises:
        CommandError: The emit was rejected, or it is unknown which replicas it did not reach.
    """
    if not answer.silent_replicas:
        check(codec, answer)
    return acks_from_proto(codec, answer)


def counted(codec: Codec, answer: command_pb2.Answer | Any) -> Count:
    """Reads how many sockets were counted in the whole cluster.

    Args:
        codec: Parses the data of a conflict.
        answer: The answer, or the response to a unary call.

    Returns:
        The number.

    Raises:
        PartialDeliveryError: Some replicas did not report how many sockets they reached.
        CommandError: The command was rejected for another reason.
    """
    check(codec, answer)
    if silent := tuple(answer.silent_replicas):
        raise PartialDeliveryError(
            f"command: delivered to {answer.sockets} sockets; replicas that did not report their sockets: {', '.join(silent)}",
            sockets=answer.sockets,
            silent_replicas=silent,
        )
    return Count(answer.sockets, answer.dropped)


def instance_acks_from_proto(codec: Codec, answer: command_pb2.Answer) -> InstanceAcks:
    """Reads the acks of instances.

    Args:
        codec: Parses the acks.
        answer: The answer.

    Returns:
        The acks.
    """
    came = [InstanceAck(a.service, a.instance_id, codec.decode(a.ack.args, a.ack.attachments)) for a in answer.instance_acks]
    return InstanceAcks(acks=came, missing=answer.missing, silent_replicas=tuple(answer.silent_replicas))


def value_from_json(codec: Codec, data: bytes) -> Any:
    """Parses the data of a socket.

    Args:
        codec: Parses the value.
        data: The JSON value, or nothing.

    Returns:
        The value; an empty dict for nothing.
    """
    return codec.decode(b"[" + data + b"]")[0] if data else {}


def sockets_from_proto(codec: Codec, answer: command_pb2.Answer, target: Target, executor: Executor[Any]) -> Sockets:
    """Reads the sockets of an answer.

    Args:
        codec: Parses the data of the sockets.
        answer: The answer.
        target: The target of the query.
        executor: Carries out commands to the sockets.

    Returns:
        The sockets.
    """
    namespace = one_namespace(target.namespace)

    def one(info: command_pb2.SocketInfo) -> RemoteSocket:
        itself = Target(info.socket_id, namespace=namespace, _executor=executor, _link=target._link)
        return RemoteSocket(
            itself if target._timeout is None else itself.timeout(target._timeout),
            id=info.socket_id,
            namespace=namespace,
            rooms=tuple(info.rooms),
            handshake=Handshake(info.handshake),
            data=value_from_json(codec, info.data),
            data_version=info.data_version,
            replica=info.replica,
            transport=info.transport,
        )

    silent = tuple(answer.silent_replicas)
    return Sockets(map(one, answer.found), silent_replicas=silent, truncated=answer.truncated)


def rooms_from_proto(answer: command_pb2.Answer) -> Rooms:
    """Reads the rooms of an answer.

    Args:
        answer: The answer.

    Returns:
        The rooms.
    """
    found = Rooms(silent_replicas=tuple(answer.silent_replicas), truncated=answer.truncated)
    for room in answer.rooms:
        # Several replicas may report the same room.
        found[room.name] = found.get(room.name, 0) + room.sockets
    return found


def check(codec: Codec, answer: command_pb2.Answer | Any) -> None:
    """Raises an error when the broker rejected a command.

    Args:
        codec: Parses the data of a conflict.
        answer: The answer, or the response to a unary call.

    Raises:
        ConflictError: Another caller changed the data meanwhile.
        PartialDeliveryError: It was executed, but possibly not by every replica.
        CommandError: It was rejected for another reason.
    """
    if not answer.HasField("fault"):
        return
    name = command_pb2.FaultCode.Name(answer.fault.code).removeprefix("FAULT_CODE_")
    text = f"command: rejected by the broker: {answer.fault.message}"
    if name == "CONFLICT":
        raise ConflictError(text, data=value_from_json(codec, answer.data), version=answer.data_version)
    if name == "BACKPLANE_UNAVAILABLE":
        raise PartialDeliveryError(
            f"command: delivered to {answer.sockets} sockets, and possibly not to those of other replicas:"
            f" {answer.fault.message}",
            sockets=answer.sockets,
            silent_replicas=tuple(answer.silent_replicas),
        )
    raise CommandError(text, code=name)
