// SPDX-License-Identifier: Apache-2.0

// The reference server with its handlers in the same process, as its documentation shows it, with
// the `ws` package. The benchmark measures it beside the broker. It prints the address that it
// listens at.

"use strict";

const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { WebSocketServer } = require("ws");

const http = createServer();
const io = new Server(http, { wsEngine: WebSocketServer });

io.on("connection", (socket) => {
  socket.on("echo", (data, ack) => ack(data));
  socket.on("broadcast", (data, ack) => {
    io.emit("news", data);
    ack();
  });
});

http.listen({ host: "127.0.0.1", port: Number(process.argv[2] || 0), backlog: 4096 }, () => {
  console.log(`listening at ${http.address().address}:${http.address().port}`);
});
