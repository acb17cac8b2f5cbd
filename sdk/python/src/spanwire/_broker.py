# SPDX-License-Identifier: Apache-2.0
"""A broker for development: finds the program and runs it as a child process."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from .exceptions import BrokerNotFoundError, BrokerUnavailableError

__all__ = ["Broker", "find", "free_port", "listening"]

_NAME = "broker.exe" if sys.platform == "win32" else "broker"
_START_TIMEOUT = 15.0
_STOP_TIMEOUT = 10.0


def find(named: str = "") -> str:
    """Finds the broker program.

    Args:
        named: The value of `SPANWIRE_BROKER`; then no other place is searched.

    Returns:
        Its path.

    Raises:
        BrokerNotFoundError: The program was not found.
    """
    package = pathlib.Path(__file__).resolve().parent
    places = [pathlib.Path(named)] if named else [package / "_bin" / _NAME]
    if not named and len(package.parents) > 3:
        # A checkout: sdk/python/src/spanwire, with the program that `make build` puts into bin.
        places.append(package.parents[3] / "bin" / _NAME)
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return str(place)
    searched = [str(place) for place in places]
    if not named:
        # Other programs have the name broker, too, so the program must identify itself.
        on_path = shutil.which(_NAME)
        if on_path is not None and _is_ours(on_path):
            return on_path
        searched.append(f"{_NAME} on PATH")
    raise BrokerNotFoundError(
        f"broker: none is running, and no program was found to start one in {', '.join(searched)} (start a broker and set"
        " SPANWIRE_ADDRESS, or set SPANWIRE_BROKER to the program)",
        searched=tuple(searched),
    )


def _is_ours(program: str) -> bool:
    try:
        output = subprocess.run(  # noqa: S603 - the program that the user's PATH names
            [program, "version"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return "spanwire" in output.stdout.lower()


def listening(address: str, timeout: float = 0.3) -> bool:
    """Returns whether a program listens at an address.

    Args:
        address: host:port.
        timeout: How long to try, in seconds.

    Returns:
        Whether one does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), timeout).close()
    except (OSError, ValueError):
        return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """Returns a port that no program listens on.

    The search stays below the ports of outgoing connections, one of which could take the port
    before it is used.

    Args:
        host: The address to look at.

    Returns:
        The port.

    Raises:
        OSError: No free port was found.
    """
    for port in random.sample(range(10_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError("broker: no free port was found")


class Broker:
    """A broker that runs as a child of this process.

    Attributes:
        service_address: The address of its service listener.
        upstream: The address at which it expects the web application.
    """

    def __init__(self, program: str, host: str, port: int, *, extra: Sequence[str] = ()) -> None:
        self.http_address = f"{host}:{port}"
        self.service_address = f"127.0.0.1:{free_port()}"
        self.upstream = f"127.0.0.1:{free_port()}"
        # The broker watches its parent, so it ends even if this process is killed.
        self._process = subprocess.Popen(  # noqa: S603 - a program that find() chose
            [
                program,
                "serve",
                f"--http-address={self.http_address}",
                f"--upstream=http://{self.upstream}",
                f"--service-address={self.service_address}",
                # The default port may be taken, and is not needed here.
                "--operator-address=",
                "--log-level=warn",
                "--exit-with-parent",
                *extra,
            ],
            stdin=subprocess.DEVNULL,
            # The broker prints its address there, which its caller prints instead; it logs to
            # standard error.
            stdout=subprocess.DEVNULL,
            # Ctrl+C is for this process, which stops the broker after itself.
            start_new_session=True,
        )

    def wait(self) -> None:
        """Waits until the broker listens. The wait ends after 15 seconds.

        Raises:
            BrokerUnavailableError: The broker ended, or took too long.
        """
        deadline = time.monotonic() + _START_TIMEOUT
        while not listening(self.service_address):
            code = self._process.poll()
            if code is not None:
                raise BrokerUnavailableError(
                    f"broker: did not start (exit code {code}; does another program listen at {self.http_address}?)",
                    address=self.http_address,
                )
            if time.monotonic() > deadline:
                self.stop()
                raise BrokerUnavailableError("broker: did not start in time", address=self.http_address)
            time.sleep(0.02)

    def stop(self) -> None:
        """Stops the broker, gracefully first. Does nothing when it has ended."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
