# SPDX-License-Identifier: Apache-2.0
"""The log names a coroutine handler that blocks the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fakebroker import FakeBroker

import spanwire


# A handler that blocks the loop is logged once; one that awaits is not.
def test_blocked(broker: FakeBroker, service: Callable[..., spanwire.Service], caplog: pytest.LogCaptureFixture) -> None:
    s = service()
    gate = threading.Event()

    @s.on("patient")
    async def patient(socket: Any) -> str:
        await asyncio.sleep(2.5)
        return "patient"

    @s.on("blocking")
    async def blocking(socket: Any) -> str:
        gate.wait(30)
        return "blocking"

    s.start()
    stream = broker.attached()
    assert stream.ack(stream.dispatch("patient")) == ["patient"]
    assert "event loop blocked" not in caplog.text
    with caplog.at_level(logging.WARNING, "spanwire"):
        blocked = stream.dispatch("blocking", sid="s2")
        until = time.monotonic() + 30
        while "event loop blocked" not in caplog.text and time.monotonic() < until:
            time.sleep(0.02)
    gate.set()
    assert stream.ack(blocked) == ["blocking"]
    assert caplog.text.count("event loop blocked") == 1
    assert "event=blocking namespace=/ duration=1s" in caplog.text
