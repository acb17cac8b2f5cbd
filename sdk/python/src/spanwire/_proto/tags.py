# SPDX-License-Identifier: Apache-2.0
"""The tags of the contract's fields that `_wire.py` writes: the field's number and wire type.

Written by scripts/generate_python; never edited.
"""

ATTACH_REQUEST_REGISTER = 0x0a  # 1, message
ATTACH_REQUEST_BATCH = 0x12  # 2, message
ATTACH_REQUEST_FRAME_ACK = 0x1a  # 3, message
ATTACH_REQUEST_DRAIN = 0x22  # 4, message
ATTACH_REQUEST_REGISTRATIONS = 0x2a  # 5, message
ACTION_BATCH_SEQUENCE = 0x08  # 1, uint64
ACTION_BATCH_ANSWERED = 0x10  # 2, uint64
ACTION_BATCH_ACTIONS = 0x1a  # 3, message
ACTION_RESULT = 0x0a  # 1, message
ACTION_COMMAND = 0x12  # 2, message
RESULT_DISPATCH_ID = 0x09  # 1, fixed64
RESULT_ACK = 0x12  # 2, message
RESULT_REFUSAL = 0x1a  # 3, message
RESULT_FAILURE = 0x22  # 4, message
ACK_ARGS = 0x0a  # 1, bytes
ACK_ATTACHMENTS = 0x12  # 2, bytes
