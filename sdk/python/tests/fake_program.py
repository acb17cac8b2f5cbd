# SPDX-License-Identifier: Apache-2.0
"""A program that replaces the broker: it attaches handlers and fetches the application's page."""

from __future__ import annotations

import argparse
import pathlib
import signal
import sys
import urllib.request

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / "src")]

from fakebroker import FakeBroker  # noqa: E402 - found through the path above


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    for flag in ("http-address", "upstream", "service-address", "operator-address", "log-level"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--exit-with-parent", action="store_true", required=True)
    options = parser.parse_args()
    sys.stdout = sys.stderr  # as the broker's log
    broker = FakeBroker(port=int(options.service_address.rpartition(":")[2]))
    stream = broker.attached()
    print("ack", stream.ack(stream.dispatch("my event", {"data": 1})), flush=True)
    print("emit", stream.emits()[0][:2], flush=True)
    for _ in range(100):
        try:
            print("page", urllib.request.urlopen(options.upstream).read().decode()[:15], flush=True)
            break
        except OSError:
            signal.sigtimedwait([signal.SIGTERM], 0.1)
    signal.sigwait([signal.SIGTERM])
    print("drained", stream.draining, "retires", stream.retires, flush=True)
    broker.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    main()
