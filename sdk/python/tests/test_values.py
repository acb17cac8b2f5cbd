# SPDX-License-Identifier: Apache-2.0
"""The handshake of a client without auth, and of one with it."""

from __future__ import annotations

import json
from pathlib import Path

from spanwire import Handshake
from spanwire._proto import event_pb2


# Without a payload `auth` is empty, and `sent_auth` is None.
def test_auth() -> None:
    silent = Handshake(event_pb2.Handshake())
    assert silent.auth == {}
    assert silent.sent_auth is None
    empty = Handshake(event_pb2.Handshake(auth=b"{}"))
    assert empty.auth == {}
    assert empty.sent_auth == {}
    sent = Handshake(event_pb2.Handshake(auth=b'{"token":"x"}'))
    assert sent.auth == sent.sent_auth == {"token": "x"}


VECTORS = Path(__file__).parents[3] / "testdata/vectors/queries.json"


# The query has every pair, and ends where a fragment begins.
def test_query() -> None:
    cases = json.loads(VECTORS.read_text())["cases"]
    assert cases
    for case in cases:
        for end in ("", "#fragment?x=1"):
            url = f"/socket.io/?{case['query']}{end}"
            assert Handshake(event_pb2.Handshake(url=url)).query == case["values"], case["name"]
    assert Handshake(event_pb2.Handshake(url="/socket.io/")).query == {}
