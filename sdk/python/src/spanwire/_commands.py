# SPDX-License-Identifier: Apache-2.0
"""What can be asked of the broker, in Python's words and in the contract's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ._payloads import Codec, arguments
from ._proto import command_pb2, event_pb2
from ._remote import RemoteSocket
from ._target import Target, To, Via
from ._words import Acks, Count, Handshake, InstanceAck, InstanceAcks, Rooms, SocketAck, Sockets, Space, names
from .exceptions import CommandError, ConflictError, PartialDeliveryError

__all__ = [
    "acks",
    "check",
    "check_rooms",
    "fill_emit",
    "fill_event",
    "fill_message",
    "fill_rooms",
    "fill_target",
    "instance_acks",
    "milliseconds",
    "one_namespace",
    "pattern_source",
    "rooms",
    "sockets",
    "value",
]

# 30 characters of URL-safe base64, of which the sixth ends the replica's id and carries two bits.
_SOCKET_ID = re.compile(r"[A-Za-z0-9_-]{5}[AQgw][A-Za-z0-9_-]{24}", re.ASCII)
_MAX_NAMESPACE = 255  # bytes
_RESERVED = frozenset({"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"})


def pattern_source(pattern: re.Pattern[str]) -> str:
    """Checks that a pattern can be told to the broker.

    Args:
        pattern: The pattern.

    Returns:
        Its source.

    Raises:
        ValueError: It has flags.
        TypeError: It is one of bytes.
    """
    if not isinstance(pattern.pattern, str):
        raise TypeError("a pattern for namespaces has to be one of text, not of bytes")
    if pattern.flags & ~re.UNICODE:
        flags = re.RegexFlag(pattern.flags & ~re.UNICODE)
        raise ValueError(f"a pattern for namespaces cannot have flags ({flags!r}): the broker is told its source alone")
    return pattern.pattern


def one_namespace(namespace: Space) -> str:
    """Checks that a namespace is one, where a pattern for many will not do.

    Args:
        namespace: The namespace.

    Returns:
        The namespace.

    Raises:
        ValueError: It is a pattern.
    """
    if not isinstance(namespace, str):
        raise ValueError("this is asked of one namespace, not of a pattern")
    return namespace


def check_namespace(namespace: str) -> str:
    """Checks that a namespace can have the name: brokers refuse others, and tell only who waits for an answer.

    Args:
        namespace: The name.

    Returns:
        The name.

    Raises:
        ValueError: No namespace can have it.
    """
    if namespace and (namespace[0] != "/" or "," in namespace or len(namespace.encode()) > _MAX_NAMESPACE):
        raise ValueError(
            f"{namespace[:_MAX_NAMESPACE]!r} is no namespace: it must begin with a slash, have no comma and at most"
            f" {_MAX_NAMESPACE} bytes"
        )
    return namespace


def milliseconds(seconds: float | None) -> int:
    """Translates a timeout.

    Args:
        seconds: The timeout, None for the broker's default.

    Returns:
        The timeout as the broker is told it.
    """
    return 0 if seconds is None else max(1, round(seconds * 1000))


def fill_target(message: event_pb2.Target, to: To, except_: str | Iterable[str] | None, namespace: Space) -> bool:
    """Writes down who is meant.

    Args:
        message: Where to.
        to: A room or socket id, several, a target, or None for the whole namespace.
        except_: Rooms and socket ids to leave out.
        namespace: The namespace; a target brings its own.

    Returns:
        Whether anybody can be meant: an empty list of rooms means nobody here, and everybody on the wire.
    """
    if type(to) is not str and isinstance(to, Target):
        except_ = (*to.excepted, *names(except_))
        message.local = to._local
        namespace, to = to.namespace, to.rooms
    if type(namespace) is str:
        message.namespace = namespace if namespace == "/" else check_namespace(namespace)
    else:
        message.namespace, message.pattern = _space(namespace)
    if type(to) is str:
        message.rooms.append(to)
    elif to is not None:
        message.rooms.extend(names(to))
        if not message.rooms:
            return False
    if except_ is not None:
        getattr(message, "except").extend(names(except_))
    return True


def _space(namespace: Space) -> tuple[str, bool]:
    return (check_namespace(namespace), False) if isinstance(namespace, str) else (pattern_source(namespace), True)


def fill_event(message: event_pb2.Event, codec: Codec, event: str, args: Sequence[Any]) -> None:
    """Writes down an event or a message; the arguments are serialised here and now.

    Args:
        message: Where to.
        codec: Serialises the arguments.
        event: The event's name.
        args: What was passed after the name.

    Raises:
        TypeError: An argument cannot be sent.
        ValueError: The name is one that Socket.IO keeps for itself.
    """
    if event in _RESERVED:
        raise ValueError(f"{event!r} cannot be emitted: Socket.IO keeps the name for itself")
    payload, attachments = codec.encode(arguments(args))
    message.SetInParent()  # An empty name and no arguments are an event, too.
    message.name = event
    message.args = payload
    if attachments:
        message.attachments.extend(attachments)


def fill_emit(
    message: command_pb2.Emit,
    codec: Codec,
    event: str,
    args: Sequence[Any],
    to: To,
    except_: str | Iterable[str] | None,
    namespace: Space,
) -> bool:
    """Writes down an emit, with the flags of a target; the arguments are serialised here and now.

    Args:
        message: Where to.
        codec: Serialises the arguments.
        event: The event's name.
        args: What was passed after the name.
        to: A room or socket id, several, a target, or None for the whole namespace.
        except_: Rooms and socket ids to leave out.
        namespace: The namespace; a target brings its own.

    Returns:
        Whether anybody can be meant.

    Raises:
        TypeError: An argument cannot be sent.
        ValueError: The name is one that Socket.IO keeps for itself.
    """
    fill_event(message.event, codec, event, args)
    if not fill_target(message.target, to, except_, namespace):
        return False
    if type(to) is not str and isinstance(to, Target):
        if to._volatile:
            message.volatile = True
        if not to._compress:
            message.no_compress = True
    return True


def fill_move(
    command: command_pb2.Command, verb: str, rooms: Sequence[str], to: To, namespace: Space, *, count: bool = False
) -> bool:
    """Writes down a join or a leave; False when nobody or no room can be meant."""
    message = command.join if verb == "join" else command.leave
    if not rooms or not fill_target(message.target, to, None, namespace):
        return False
    message.rooms.extend(rooms)
    message.want_count = count
    return True


def check_rooms(command: command_pb2.Command) -> None:
    """Raises when a join names another socket's own room, as the broker would: it does not answer joins of handlers.

    Args:
        command: Any command.

    Raises:
        CommandError: A room has the form of a socket's id, and the target is not that socket alone.
    """
    target = command.join.target
    for room in command.join.rooms:
        if _SOCKET_ID.fullmatch(room) and (target.pattern or list(target.rooms) != [room]):
            raise CommandError(
                f"room {room!r} has the form of a socket's id, and its members would hear what is emitted to that socket alone; "
                "name the room otherwise, or set the broker's allow-socket-id-rooms",
                code="INVALID",
            )


def fill_disconnect(command: command_pb2.Command, to: To, namespace: Space, *, close_session: bool, count: bool = False) -> bool:
    """Writes down a disconnect; False when nobody can be meant."""
    message = command.disconnect
    if not fill_target(message.target, to, None, namespace):
        return False
    message.close_session = close_session
    message.want_count = count
    return True


def fill_fetch(command: command_pb2.Command, target: Target, limit: int) -> bool:
    """Writes down the question which sockets a target has; False when nobody can be meant."""
    question = command.fetch_sockets
    one_namespace(target.namespace)
    if not fill_target(question.target, target, None, "/"):
        return False
    question.timeout_ms = milliseconds(target._timeout)
    question.limit = limit
    return True


def fill_rooms(command: command_pb2.Command, namespace: Space, *, own: bool, local: bool, timeout: float | None) -> None:
    """Writes down the question which rooms a namespace has."""
    question = command.list_rooms
    question.namespace = one_namespace(namespace)
    question.include_own, question.local = own, local
    question.timeout_ms = milliseconds(timeout)


def fill_message(
    command: command_pb2.Command, codec: Codec, name: str, args: Sequence[Any], namespace: Space, services: str | Iterable[str]
) -> None:
    """Writes down a message to other instances; the arguments are serialised here and now."""
    message = command.server_side_emit
    if not name:
        raise ValueError("a message needs a name")
    fill_event(message.event, codec, name, args)
    message.namespace = check_namespace(one_namespace(namespace))
    message.services.extend(names(services))


def acks(codec: Codec, answer: command_pb2.Answer | Any) -> Acks:
    """Translates the acks of an answer, or of the response to a unary call.

    Args:
        codec: Parses the acks.
        answer: The message.

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


def gathered(codec: Codec, answer: command_pb2.Answer | Any) -> Acks:
    """Is `acks` of an answer that was waited for.

    Args:
        codec: Parses the acks.
        answer: The message.

    Returns:
        The acks. Replicas that were silent are named in it.

    Raises:
        CommandError: The emit was refused, or nobody can tell which replicas it did not reach.
    """
    if not answer.silent_replicas:
        check(codec, answer)
    return acks(codec, answer)


def counted(codec: Codec, answer: command_pb2.Answer | Any) -> Count:
    """Gives how many sockets were counted in the whole cluster.

    Args:
        codec: Parses the data of a conflict.
        answer: The answer, or the response to a unary call.

    Returns:
        The number.

    Raises:
        PartialDeliveryError: Some replicas did not say how many they reached.
        CommandError: The command was refused for another reason.
    """
    check(codec, answer)
    if silent := tuple(answer.silent_replicas):
        raise PartialDeliveryError(
            f"delivered to {answer.sockets} sockets; replicas that did not say how many they reached: {', '.join(silent)}",
            sockets=answer.sockets,
            silent_replicas=silent,
        )
    return Count(answer.sockets, answer.dropped)


def instance_acks(codec: Codec, answer: command_pb2.Answer) -> InstanceAcks:
    """Translates the acks of instances.

    Args:
        codec: Parses the acks.
        answer: The message.

    Returns:
        The acks.
    """
    came = [InstanceAck(a.service, a.instance_id, codec.decode(a.ack.args, a.ack.attachments)) for a in answer.instance_acks]
    return InstanceAcks(acks=came, missing=answer.missing, silent_replicas=tuple(answer.silent_replicas))


def value(codec: Codec, data: bytes) -> Any:
    """Parses what is kept with a socket.

    Args:
        codec: Parses it.
        data: The JSON value, or nothing.

    Returns:
        The value; an empty dict for nothing.
    """
    return codec.decode(b"[" + data + b"]")[0] if data else {}


def sockets(codec: Codec, answer: command_pb2.Answer, target: Target, via: Via, link: Any) -> Sockets:
    """Translates the sockets of an answer.

    Args:
        codec: Parses the sockets' data.
        answer: The message.
        target: What was asked about.
        via: Carries out what is asked of the sockets.
        link: Where to.

    Returns:
        The sockets.
    """
    namespace = one_namespace(target.namespace)

    def one(info: command_pb2.SocketInfo) -> RemoteSocket:
        itself = Target(info.socket_id, namespace=namespace, _via=via, _link=link)
        return RemoteSocket(
            itself if target._timeout is None else itself.timeout(target._timeout),
            id=info.socket_id,
            namespace=namespace,
            rooms=tuple(info.rooms),
            handshake=Handshake(info.handshake),
            data=value(codec, info.data),
            data_version=info.data_version,
            replica=info.replica,
            transport=info.transport,
        )

    return Sockets(map(one, answer.found), silent_replicas=tuple(answer.silent_replicas), truncated=answer.truncated)


def rooms(answer: command_pb2.Answer) -> Rooms:
    """Translates the rooms of an answer.

    Args:
        answer: The message.

    Returns:
        The rooms.
    """
    found = Rooms(silent_replicas=tuple(answer.silent_replicas), truncated=answer.truncated)
    for room in answer.rooms:
        # A room may be told by several replicas.
        found[room.name] = found.get(room.name, 0) + room.sockets
    return found


def check(codec: Codec, answer: command_pb2.Answer | Any) -> None:
    """Raises when the broker refused a command.

    Args:
        codec: Parses the data of a conflict.
        answer: The answer, or the response to a unary call.

    Raises:
        ConflictError: What was to be changed was changed by somebody else.
        PartialDeliveryError: It was carried out, and possibly not by every replica.
        CommandError: It was refused for another reason.
    """
    if not answer.HasField("fault"):
        return
    name = command_pb2.FaultCode.Name(answer.fault.code).removeprefix("FAULT_CODE_")
    text = f"the broker refused the command: {answer.fault.message}"
    if name == "CONFLICT":
        raise ConflictError(text, data=value(codec, answer.data), version=answer.data_version)
    if name == "BACKPLANE_UNAVAILABLE":
        raise PartialDeliveryError(
            f"delivered to {answer.sockets} sockets, and possibly not to those of other replicas: {answer.fault.message}",
            sockets=answer.sockets,
            silent_replicas=tuple(answer.silent_replicas),
        )
    raise CommandError(text, code=name)
