# SPDX-License-Identifier: Apache-2.0
"""Flask-SocketIO with threads and simple-websocket, its mode that needs no patching."""

import sys

from flask import Flask
from flask_socketio import SocketIO

app = Flask(__name__)
socketio = SocketIO(app, async_mode="threading")


@socketio.on("echo")
def echo(data):
    return data


host, port = sys.argv[1].rsplit(":", 1)
socketio.run(app, host=host, port=int(port), allow_unsafe_werkzeug=True)
