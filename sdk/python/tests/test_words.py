# SPDX-License-Identifier: Apache-2.0
"""What a handshake tells of a client that sent no auth, and of one that did."""

from __future__ import annotations

from spanwire import Handshake
from spanwire._proto import event_pb2


# Without a payload there is an empty one to look into, and the connect handler still can tell the difference.
def test_auth() -> None:
    silent = Handshake(event_pb2.Handshake())
    assert silent.auth == {}
    assert silent.sent_auth is None
    empty = Handshake(event_pb2.Handshake(auth=b"{}"))
    assert empty.auth == {}
    assert empty.sent_auth == {}
    told = Handshake(event_pb2.Handshake(auth=b'{"token":"x"}'))
    assert told.auth == told.sent_auth == {"token": "x"}
