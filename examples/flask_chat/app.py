# SPDX-License-Identifier: Apache-2.0
"""The chat of the first Flask-SocketIO article. Only the import is different, and the page that it
shares with the other examples.

    python app.py        then open http://localhost:5000 in two browsers
"""

from flask import Flask, render_template

from spanwire.flask import SocketIO, emit

app = Flask(__name__, template_folder="../page")
app.config["SECRET_KEY"] = "secret!"
socketio = SocketIO(app)


@app.route("/")
def index():
    return render_template("index.html")


@socketio.on("my event")
def my_event(message):
    emit("my response", {"data": message["data"]})


@socketio.on("my broadcast event")
def my_broadcast_event(message):
    emit("my response", {"data": message["data"]}, broadcast=True)


@socketio.on("connect")
def connect():
    emit("my response", {"data": "Connected"})


@socketio.on("disconnect")
def disconnect():
    print("Client disconnected", flush=True)


if __name__ == "__main__":
    socketio.run(app)
