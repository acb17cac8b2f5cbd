# SPDX-License-Identifier: Apache-2.0
"""The probe of an address where a broker was expected."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest
from fakebroker import FakeBroker

from spanwire._probe import advice


@pytest.fixture
def web() -> Iterator[str]:
    """A web server's address."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


# A web server is named as such, with TLS and without.
@pytest.mark.parametrize("tls", [False, True])
def test_web(web: str, *, tls: bool, capfd: pytest.CaptureFixture[str]) -> None:
    del capfd  # the server prints what it refuses
    assert "speaks HTTP/1" in advice(web, tls=tls)


# A broker gets advice about TLS only.
def test_broker(broker: FakeBroker) -> None:
    assert not advice(broker.address, tls=False)
    assert "does not speak TLS" in advice(broker.address, tls=True)


# A port without a listener is named; an address of another form gets no advice.
def test_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert advice(f"127.0.0.1:{port}", tls=False).startswith(f"nothing listens at 127.0.0.1:{port}: start")
    assert not advice("unix:/tmp/x", tls=False)
    assert not advice("dns:///host", tls=False)
