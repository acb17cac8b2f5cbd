# SPDX-License-Identifier: Apache-2.0
"""The asyncio client of python-socketio."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import socketio
from conftest import LIMIT, Cluster

TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}


@pytest.fixture(params=TRANSPORTS)
def transports(request: pytest.FixtureRequest) -> list[str]:
    return TRANSPORTS[request.param]


async def connected(cluster: Cluster, transports: list[str], **options: Any) -> socketio.AsyncClient:
    client = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.2)
    client.seen = []

    async def keep(event: str, *args: Any) -> None:
        client.seen.append((event, *args))

    client.on("*", keep)
    await client.connect(cluster.url, transports=transports, wait_timeout=LIMIT, **options)
    return client


async def heard(client: socketio.AsyncClient, event: str, n: int = 1) -> list[tuple[Any, ...]]:
    async with asyncio.timeout(LIMIT):
        while len(found := [e[1:] for e in client.seen if e[0] == event]) < n:
            await asyncio.sleep(0.01)
    return found


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 3 * LIMIT))


def test_burst(cluster: Cluster, transports: list[str]) -> None:
    """By polling this client takes 16 packets in one answer and closes over more."""

    async def body() -> None:
        client = await connected(cluster, transports)
        await client.emit("burst", (2000, "x" * 100))
        assert [i for i, _ in await heard(client, "burst", 2000)] == list(range(2000))
        assert await client.call("echo", 1, timeout=LIMIT) == 1
        await client.disconnect()

    run(body)


def test_life(cluster: Cluster, transports: list[str]) -> None:
    """One client's whole life: auth, acks, binary, the server's questions, and the end."""

    async def body() -> None:
        client = await connected(cluster, transports, auth={"hello": ["hi"]})
        assert await heard(client, "hello") == [("hi",)]
        data = bytes(range(256))
        args = ("ü", {"b": data, "empty": b""})
        assert tuple(await client.call("echo", args, timeout=LIMIT)) == args

        async def question(*args: Any) -> Any:
            return (*reversed(args), data)

        client.on("question", question)
        assert tuple(await client.call("ask", (1, "two"), timeout=LIMIT)) == ("two", 1, data)
        gone = asyncio.Event()

        async def disconnect(reason: str) -> None:
            client.why = reason
            gone.set()

        client.on("disconnect", disconnect)
        await client.emit("kick", False)
        await asyncio.wait_for(gone.wait(), LIMIT)
        assert client.why == client.reason.SERVER_DISCONNECT
        await client.shutdown()

    run(body)


def test_is_refused(cluster: Cluster, transports: list[str]) -> None:
    async def body() -> None:
        for options in ({"auth": {"refuse": "no"}}, {"namespaces": ["/nobody"]}):
            client = socketio.AsyncClient(reconnection=False)
            with pytest.raises(socketio.exceptions.ConnectionError):
                await client.connect(cluster.url, transports=transports, wait_timeout=LIMIT, **options)
            await client.shutdown()

    run(body)


def test_many_at_once(cluster: Cluster, transports: list[str]) -> None:
    """Events of many clients do not mix, and a broadcast reaches each once."""

    async def body() -> None:
        clients = await asyncio.gather(*(connected(cluster, transports, auth={"rooms": ["many"]}) for _ in range(20)))

        async def talk(number: int, client: socketio.AsyncClient) -> None:
            for i in range(20):
                assert tuple(await client.call("echo", (number, i), timeout=LIMIT)) == (number, i)

        await asyncio.gather(*(talk(n, c) for n, c in enumerate(clients)))
        await clients[0].call("broadcast", {"event": "news", "args": [b"all"], "to": ["many"]}, timeout=LIMIT)
        for client in clients:
            assert await heard(client, "news") == [(b"all",)]
        await asyncio.gather(*(c.disconnect() for c in clients))
        await asyncio.gather(*(c.shutdown() for c in clients))

    run(body)
