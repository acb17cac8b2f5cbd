# SPDX-License-Identifier: Apache-2.0
"""Batch frames put together from bytes.

Making a message for each result and command of a batch, and copying it in, is what an event would cost most in the core. So
each action is turned into the bytes of an element of `ActionBatch.actions` when it is queued, the common results by a
struct, and a frame is their concatenation.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ._proto import event_pb2, handler_pb2

__all__ = ["OVERHEAD", "ack_element", "batch_frame", "element", "result_element"]

# What a batch costs in a frame beside its actions: tags, lengths, sequences. A little more than it can be.
OVERHEAD = 48

# ActionBatch.actions (3), Action.result (1), Result.dispatch_id (1), Result.ack (2), Ack.args (1).
_RESULT = struct.Struct("<5BQ").pack
_RESULT_ACK = struct.Struct("<5BQ4B").pack
_SHORT = 112  # bytes of args up to which every length of a result fits in one byte


def result_element(number: int) -> bytes:
    """Encodes a result without an outcome.

    Args:
        number: The dispatch's id.

    Returns:
        The element.
    """
    return _RESULT(0x1A, 11, 0x0A, 9, 0x09, number)


def ack_element(number: int, args: bytes, attachments: Sequence[bytes]) -> bytes:
    """Encodes a result with an ack.

    Args:
        number: The dispatch's id.
        args: The ack's arguments.
        attachments: The ack's attachments.

    Returns:
        The element.
    """
    n = len(args)
    if attachments or n > _SHORT:
        ack = event_pb2.Ack(args=args, attachments=attachments)
        return element(handler_pb2.Action(result=handler_pb2.Result(dispatch_id=number, ack=ack)))
    return _RESULT_ACK(0x1A, n + 15, 0x0A, n + 13, 0x09, number, 0x12, n + 2, 0x0A, n) + args


def element(action: handler_pb2.Action) -> bytes:
    """Encodes any action.

    Args:
        action: The action.

    Returns:
        The element.
    """
    data = action.SerializeToString()
    return b"\x1a" + _varint(len(data)) + data


def batch_frame(sequence: int, answered: int, elements: Sequence[bytes]) -> bytes:
    """Puts elements into a frame.

    Args:
        sequence: The frame's number.
        answered: The highest sequence of the broker's frames that is answered with it.
        elements: The elements.

    Returns:
        The bytes of an AttachRequest.
    """
    head = handler_pb2.ActionBatch(sequence=sequence, answered=answered).SerializeToString()
    # AttachRequest.batch (2).
    return b"".join((b"\x12", _varint(len(head) + sum(map(len, elements))), head, *elements))


def _varint(value: int) -> bytes:
    if value < 128:
        return bytes((value,))
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)
