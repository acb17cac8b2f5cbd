# SPDX-License-Identifier: Apache-2.0
"""Serving an application: the example in a process of its own."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from fakebroker import WAIT, FakeBroker

from spanwire import BrokerNotFoundError, BrokerUnavailableError, Service, _broker
from spanwire.flask._serving import Attachment

TESTS = pathlib.Path(__file__).parent
EXAMPLE = TESTS.parents[2] / "examples" / "flask_chat" / "app.py"


class App:
    """The example in a process."""

    def __init__(self, *args: str, **environ: str) -> None:
        env = {**os.environ, "PYTHONPATH": str(TESTS.parent / "src"), "PYTHONUNBUFFERED": "1", **environ}
        self.process = subprocess.Popen(
            [sys.executable, *(args or (str(EXAMPLE),))],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=EXAMPLE.parent,
        )
        self.lines: list[str] = []

    def until(self, text: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if text in line:
                return line.rstrip()
        raise AssertionError(f"no {text!r} in {self.lines}")

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        assert self.process.stdout is not None
        late = threading.Timer(WAIT, self.process.kill)
        late.start()
        self.lines += self.process.stdout.read().splitlines()
        code = self.process.wait()
        late.cancel()
        self.process.stdout.close()
        return code


# A process whose parent runs in the background of a shell starts with SIGINT ignored.
HEED_SIGINT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"


@pytest.fixture
def program(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "broker"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {TESTS / "fake_program.py"} "$@"\n')
    path.chmod(0o755)
    return str(path)


# Without a broker, run() starts one, serves behind it, prints the address, and stops it at the end.
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_starts_a_broker(program: str, number: int) -> None:
    script = (
        f"{HEED_SIGINT} import sys; sys.path.insert(0, {str(EXAMPLE.parent)!r}); import app, spanwire._settings as s;"
        # Nothing listens there, whatever runs on this machine.
        "s.DEFAULT_ADDRESS = '127.0.0.1:1';"
        f"app.socketio.run(app.app, port={_broker.free_port()})"
    )
    app = App("-c", script, SPANWIRE_BROKER=program)
    assert app.until("Spanwire is at").startswith(" * Spanwire is at http://localhost:")
    app.until("page <!doctype html>")
    assert app.stop(number) == 0
    text = "\n".join(app.lines)
    assert "ack []" in text
    assert "emit ('my response', [{'data': 1}])" in text
    assert "drained True retires True" in text
    assert "Running on" not in text


# With an address, run() attaches there and serves on its own.
def test_run_attaches(broker: FakeBroker) -> None:
    port = _broker.free_port()
    script = (
        f"{HEED_SIGINT} import sys; sys.path.insert(0, {str(EXAMPLE.parent)!r}); import app;"
        f"app.socketio.run(app.app, port={port})"
    )
    app = App("-c", script, SPANWIRE_ADDRESS=broker.address)
    stream = broker.attached()
    assert stream.register.service == "app"
    app.until("Running on")
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}").read().startswith(b"<!doctype html>")
    stream.result(stream.connect())
    assert stream.emits()[0][:3] == ("my response", [{"data": "Connected"}], ["s1"])
    stream.result(stream.disconnected())
    assert app.until("Client") == "Client disconnected"
    assert app.stop() == 0
    stream.wait(lambda: stream.draining)


# Under `broker dev`, run() listens at the address of the environment.
def test_run_under_dev(broker: FakeBroker) -> None:
    port = _broker.free_port()
    app = App(SPANWIRE_ADDRESS=broker.address, SPANWIRE_APP_ADDRESS=f"127.0.0.1:{port}")
    broker.attached()
    deadline = time.monotonic() + WAIT
    while not _broker.listening(f"127.0.0.1:{port}"):
        assert time.monotonic() < deadline
    assert app.stop(signal.SIGTERM) == 0


# find() searches for the program, and its error names the places and the fix.
def test_find(program: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _broker.find(program) == program
    with pytest.raises(BrokerNotFoundError, match="SPANWIRE_ADDRESS") as caught:
        _broker.find(str(tmp_path / "nowhere"))
    assert caught.value.searched == (str(tmp_path / "nowhere"),)
    for word, found in (("spanwire 1.0", True), ("another broker", False)):
        (tmp_path / "bin").mkdir(exist_ok=True)
        other = tmp_path / "bin" / "broker"
        other.write_text(f"#!/bin/sh\necho {word}\n")
        other.chmod(0o755)
        monkeypatch.setenv("PATH", str(other.parent), prepend=os.pathsep)
        monkeypatch.setattr(_broker, "__file__", str(tmp_path / "a" / "b" / "c" / "d" / "spanwire" / "_broker.py"))
        if found:
            assert _broker.find() == str(other)
        else:
            with pytest.raises(BrokerNotFoundError, match="PATH"):
                _broker.find()
    (tmp_path / "a" / "bin").mkdir(parents=True)
    checkout = tmp_path / "a" / "bin" / "broker"
    checkout.write_text("#!/bin/sh\n")
    checkout.chmod(0o755)
    monkeypatch.setattr(_broker, "__file__", str(tmp_path / "a" / "sdk" / "python" / "src" / "spanwire" / "_broker.py"))
    assert _broker.find() == str(checkout)


# A broker that does not start, or ends at once, is an error.
def test_broker_does_not_start(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "broker"
    path.write_text("#!/bin/sh\nexit 3\n")
    path.chmod(0o755)
    broker = _broker.Broker(str(path), "127.0.0.1", 5000)
    with pytest.raises(BrokerUnavailableError, match="exit code 3"):
        broker.wait()
    broker.stop()
    assert not _broker.listening("nonsense")


# A master that forks leaves attaching to its children, each of which is its own instance.
def test_fork_before_attaching(broker: FakeBroker) -> None:
    service = Service("forked", address=broker.address)
    service.on("x")(lambda socket: None)
    attachment = Attachment(service)
    attachment._schedule()
    assert attachment.pending
    attachment.before_fork()
    assert not attachment.pending
    attachment.after_fork()  # what the hook does in the child
    assert attachment.pending
    stream = broker.attached()
    assert stream.register.instance_id == service.instance_id
    attachment.after_fork()
    service.stop()


# A process that was forked without Python's knowledge notices it.
def test_fork_unnoticed(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("forked", address=broker.address)
    service.on("x")(lambda socket: None)
    before = service.instance_id
    service._process = -1
    service.start()
    assert broker.attached().register.instance_id == service.instance_id != before
    service.stop()


# A program that ends without stopping its service drains it nevertheless.
def test_drains_at_exit(broker: FakeBroker) -> None:
    script = (
        f"import spanwire; s = spanwire.Service('x', address={broker.address!r}); s.on('e')(lambda socket: None);"
        "s.wait_attached(10)"
    )
    app = App("-c", script)
    stream = broker.attached()
    stream.wait(lambda: stream.draining)
    assert app.process.wait(WAIT) == 0
    app.stop()


# A port that is taken is an error with the fix for the case that the broker has it.
def test_run_port_taken(broker: FakeBroker) -> None:
    script = f"import sys; sys.path.insert(0, {str(EXAMPLE.parent)!r}); import app; app.socketio.run(app.app, port={broker.port})"
    app = App("-c", script, SPANWIRE_ADDRESS=broker.address)
    app.until("--upstream")
    assert app.process.wait(WAIT) == 1
    app.stop()
