# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakebroker import FakeBroker

from spanwire import Service


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "SPANWIRE_ADDRESS",
        "SPANWIRE_APP_ADDRESS",
        "SPANWIRE_TOKEN",
        "SPANWIRE_BROKER",
        "SPANWIRE_RETIRE",
        "SPANWIRE_TLS",
        "SPANWIRE_TLS_CA",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    fake = FakeBroker()
    yield fake
    fake.stop()


@pytest.fixture
def service(broker: FakeBroker) -> Iterator[Callable[..., Service]]:
    """Makes services that are attached to the fake broker once they are started, and stops them."""
    made: list[Service] = []

    def make(name: str = "tests", **options: Any) -> Service:
        options.setdefault("drain_timeout", 5)
        new = Service(name, address=broker.address, **options)
        made.append(new)
        return new

    yield make
    for old in made:
        old.stop()
