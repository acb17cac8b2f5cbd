# SPDX-License-Identifier: Apache-2.0
"""Batch frames, written without a message object for each action.

Making a message for each result and command of a batch, and copying it into the batch, would be the
largest cost of an event in the core. So each action becomes the bytes of an element of
`ActionBatch.actions` when it is queued, the common results with one `struct`, and a frame is the
concatenation of its elements. The tags of the fields are generated from the contract
(`_proto/tags.py`); a test compares the frames with those that protobuf writes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ._proto import event_pb2, handler_pb2
from ._proto.tags import ACK_ARGS, ACTION_BATCH_ACTIONS, ACTION_RESULT, ATTACH_REQUEST_BATCH, RESULT_ACK, RESULT_DISPATCH_ID

__all__ = ["OVERHEAD", "ack_element", "batch_frame", "element", "result_element"]

# What a batch adds to a frame beside its actions: tags, lengths, sequences; rounded up.
OVERHEAD = 48

_SHORT = 112  # bytes of arguments up to which each length of a result fits into one byte
_ELEMENT = bytes((ACTION_BATCH_ACTIONS,))
_BATCH = bytes((ATTACH_REQUEST_BATCH,))


def _head(outcome: int) -> bytes:
    """Returns what precedes the id of a dispatch, with an outcome of so many bytes after the id."""
    result = 1 + 8 + outcome  # the id with its tag, and the outcome
    return bytes((ACTION_BATCH_ACTIONS, result + 2, ACTION_RESULT, result, RESULT_DISPATCH_ID))


# What precedes and what follows the id of a dispatch: without an outcome, and with an ack whose
# arguments have as many bytes as the index says.
_RESULT_HEAD = _head(0)
_ACK_HEADS = [(_head(n + 4), bytes((RESULT_ACK, n + 2, ACK_ARGS, n))) for n in range(_SHORT + 1)]
_RESULT = struct.Struct("<5sQ").pack
_RESULT_ACK = struct.Struct("<5sQ4s").pack


def result_element(number: int) -> bytes:
    """Writes a result without an outcome.

    Args:
        number: The id of the dispatch.

    Returns:
        The element.
    """
    return _RESULT(_RESULT_HEAD, number)


def ack_element(number: int, args: bytes, attachments: Sequence[bytes]) -> bytes:
    """Writes a result with an ack.

    Args:
        number: The id of the dispatch.
        args: The arguments of the ack.
        attachments: The attachments of the ack.

    Returns:
        The element.
    """
    n = len(args)
    if attachments or n > _SHORT:
        ack = event_pb2.Ack(args=args, attachments=attachments)
        return element(handler_pb2.Action(result=handler_pb2.Result(dispatch_id=number, ack=ack)))
    before, after = _ACK_HEADS[n]
    return _RESULT_ACK(before, number, after) + args


def element(action: handler_pb2.Action) -> bytes:
    """Writes any action.

    Args:
        action: The action.

    Returns:
        The element.
    """
    data = action.SerializeToString()
    return _ELEMENT + _varint(len(data)) + data


def batch_frame(sequence: int, answered: int, elements: Sequence[bytes]) -> bytes:
    """Joins elements to a frame.

    Args:
        sequence: The number of the frame.
        answered: The highest sequence among the broker's frames that this frame answers.
        elements: The elements.

    Returns:
        The bytes of an `AttachRequest`.
    """
    head = handler_pb2.ActionBatch(sequence=sequence, answered=answered).SerializeToString()
    return b"".join((_BATCH, _varint(len(head) + sum(map(len, elements))), head, *elements))


def _varint(value: int) -> bytes:
    if value < 128:
        return bytes((value,))
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)
