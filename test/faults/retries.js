// SPDX-License-Identifier: Apache-2.0

// Emits COUNT numbered events to URL with the published client's own retries, and tells on one line
// what came of them.
const path = require("path");
const { io } = require(path.join(__dirname, "../interop/js/node_modules/socket.io-client"));

const count = Number(process.env.COUNT);
const socket = io(process.env.URL, { transports: ["websocket"], retries: 1000, ackTimeout: 250, reconnection: false });
const books = { acked: 0, failed: 0, wrong: 0, repeated: 0, disconnects: 0 };
const answered = new Set();

socket.on("disconnect", () => books.disconnects++);

function settle(number, error, answer) {
  if (answered.has(number)) return books.repeated++;
  answered.add(number);
  if (error) books.failed++;
  else if (answer === number) books.acked++;
  else books.wrong++;
  if (answered.size === count) {
    console.log(JSON.stringify(books));
    process.exit();
  }
}

for (let number = 0; number < count; number++) {
  socket.emit("number", 0, number, "", (error, answer) => settle(number, error, answer));
}
