# SPDX-License-Identifier: Apache-2.0
"""What can be asked of the broker, in Python's words and in the contract's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ._payloads import Codec, arguments
from ._proto import command_pb2, event_pb2
from ._words import Acks, SocketAck, Target, names
from .exceptions import CommandError

__all__ = ["Rooms", "acks", "check", "fill_emit", "fill_target"]

Rooms = str | Iterable[str] | Target | None

_RESERVED = frozenset({"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"})


def fill_target(message: event_pb2.Target, to: Rooms, except_: str | Iterable[str] | None, namespace: str) -> bool:
    """Writes down who is meant.

    Args:
        message: Where to.
        to: A room or socket id, several, a target, or None for the whole namespace.
        except_: Rooms and socket ids to leave out.
        namespace: The namespace; a target brings its own.

    Returns:
        Whether anybody can be meant: an empty list of rooms means nobody here, and everybody on the wire.
    """
    if isinstance(to, Target):
        except_ = (*names(to.except_), *names(except_))
        namespace, to = to.namespace, _local(message, to)
    message.namespace = namespace
    if type(to) is str:
        message.rooms.append(to)
    elif to is not None:
        message.rooms.extend(names(to))
        if not message.rooms:
            return False
    if except_ is not None:
        getattr(message, "except").extend(names(except_))
    return True


def _local(message: event_pb2.Target, chosen: Target) -> str | Iterable[str] | None:
    message.local = chosen.local
    return chosen.rooms


def fill_emit(
    message: command_pb2.Emit,
    codec: Codec,
    event: str,
    args: Sequence[Any],
    to: Rooms,
    except_: str | Iterable[str] | None,
    namespace: str,
) -> bool:
    """Writes down an emit; the arguments are serialised here and now.

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
    if event in _RESERVED or not event:
        raise ValueError(f"{event!r} cannot be emitted: Socket.IO keeps the name for itself")
    payload, attachments = codec.encode(arguments(args))
    if not fill_target(message.target, to, except_, namespace):
        return False
    content = message.event
    content.name = event
    content.args = payload
    if attachments:
        content.attachments.extend(attachments)
    return True


def acks(codec: Codec, answer: command_pb2.Answer | Any) -> Acks:
    """Translates the acks of an answer, or of the response to a unary call.

    Args:
        codec: Parses the acks.
        answer: The message.

    Returns:
        The acks.
    """
    came = [SocketAck(a.socket_id, codec.decode(a.ack.args, a.ack.attachments)) for a in answer.acks]
    return Acks(sockets=answer.sockets, acks=came, missing=answer.missing)


def check(answer: command_pb2.Answer) -> None:
    """Raises when the broker refused a command.

    Args:
        answer: The answer.

    Raises:
        CommandError: It did.
    """
    if answer.HasField("fault"):
        name = command_pb2.FaultCode.Name(answer.fault.code).removeprefix("FAULT_CODE_")
        raise CommandError(f"the broker refused the command: {answer.fault.message}", code=name)
