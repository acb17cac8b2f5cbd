// SPDX-License-Identifier: Apache-2.0

// Connects to URL as a page of ORIGIN would, by polling, by WebSocket, and by the upgrade from one
// to the other. Prints a line of JSON for each: what the handler got, or why the connection
// failed.
const fs = require("fs");
const path = require("path");
const { io } = require(path.join(__dirname, "../interop/js/node_modules/socket.io-client"));

const { URL: url, ORIGIN: origin, CA: ca } = process.env;
const ways = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };

function upgraded(socket) {
  return new Promise((resolve) => {
    const { engine } = socket.io;
    if (engine.transport.name === "websocket") resolve();
    else engine.once("upgrade", resolve);
  });
}

function connect(way) {
  return new Promise((resolve) => {
    const socket = io(url, {
      transports: ways[way], forceNew: true, reconnection: false, timeout: 60000,
      extraHeaders: { origin }, ...(ca ? { ca: fs.readFileSync(ca) } : {}),
    });
    const end = (fields) => { socket.disconnect(); resolve({ way, ...fields }); };
    socket.once("connect_error", (error) => end({ error: `${error.message} ${error.context?.status ?? ""} ${error.context?.responseText ?? ""}` }));
    socket.once("connect", async () => {
      if (way === "upgrade") await upgraded(socket);
      const binary = Buffer.alloc(100000, 7);
      const echoed = await socket.timeout(60000).emitWithAck("echo", binary);
      const handshake = await socket.timeout(60000).emitWithAck("handshake");
      end({ ...handshake, transport: socket.io.engine.transport.name, whole: Buffer.compare(Buffer.from(echoed), binary) === 0 });
    });
  });
}

(async () => {
  for (const way of Object.keys(ways)) console.log(JSON.stringify(await connect(way)));
})();
