# SPDX-License-Identifier: Apache-2.0
"""The common part of the Python suites: a cluster from test/control, and bounded waits."""

import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# Generous, since machines that run suites are busy.
LIMIT = 20.0


class Cluster:
    """One replica with one handler, started by test/control."""

    def __init__(self) -> None:
        # Heartbeats are short since this client, when it is refused while it still posts, forgets
        # to close its polling session and then sits in its poll until the next one.
        made = self._ask("POST", "/clusters", {"replicas": 1, "flags": ["--ping-interval", "3s"]})
        self._id = made["id"]
        self.url = made["replicas"][0]["url"]

    def handler(self) -> str:
        return str(self._ask("POST", f"/clusters/{self._id}/handlers", {})["name"])

    def end(self, name: str) -> None:
        self._ask("DELETE", f"/clusters/{self._id}/processes/{name}", {"signal": "kill"})

    def stop(self) -> None:
        self._ask("DELETE", f"/clusters/{self._id}", None)

    def _ask(self, method: str, path: str, body: Any) -> Any:
        control = os.environ.get("TEST_CONTROL")
        assert control, "run this through test/control: go run ./test/control -- pytest test/interop/python"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(control + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read())


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    cluster.handler()
    yield cluster
    cluster.stop()


def until(what: str, condition: Callable[[], Any]) -> Any:
    """Waits until a condition holds."""
    end = time.monotonic() + LIMIT
    while not (value := condition()):
        assert time.monotonic() < end, f"{what} did not come true within {LIMIT} s"
        time.sleep(0.01)
    return value
