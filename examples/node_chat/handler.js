// SPDX-License-Identifier: Apache-2.0

// The smallest chat, with handlers in Node.js: one form that echoes to its sender and one that
// reaches everybody.
//
//   broker dev -- node examples/node_chat/handler.js
//
// starts the broker and this program; open http://localhost:5000 in two browsers.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { Service } = require("./spanwire.js");

const service = new Service("chat");
const main = service.namespace("/");

main.onConnect = (socket) => socket.emit("my response", { data: "Connected" });
main.on("my event", (socket, message) => socket.emit("my response", { data: message.data }));
main.on("my broadcast event", (_socket, message) => main.emit("my response", { data: message.data }));
main.onDisconnect = () => console.log("Client disconnected");

// "broker dev" sends browsers to this address for everything that is not Socket.IO.
const [host, port] = (process.env.SPANWIRE_APP_ADDRESS ?? "127.0.0.1:8000").split(":");
const page = fs.readFileSync(path.join(__dirname, "..", "page", "index.html"));
const server = http.createServer((_request, response) => response.setHeader("Content-Type", "text/html; charset=utf-8").end(page));
server.listen(Number(port), host);

// The first signal drains, so that no event is lost; a second one ends the process, as without a
// listener.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => service.drain());
service.run().then(() => server.close());
