// SPDX-License-Identifier: Apache-2.0

// The client that the broker serves with the MessagePack parser in it, against handlers that do not
// know of it, beside a client that speaks JSON.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { Cluster, ack, limited, once } from "./world.js";

let cluster, packed;

before(async () => {
  cluster = await Cluster.start();
  const response = await fetch(`${cluster.replicas[0].url}/socket.io/socket.io.msgpack.min.js`);
  assert.equal(response.status, 200);
  // The bundle is written for pages: it exports what a module loader gives it, and takes the
  // browser's WebSocket.
  globalThis.WebSocket ??= WebSocket;
  const module = { exports: {} };
  new Function("module", "exports", await response.text())(module, module.exports);
  const io = module.exports.io ?? module.exports;
  packed = io(cluster.replicas[0].url, { transports: ["websocket"], forceNew: true, auth: { rooms: ["mixed"] } });
  cluster.clients.push(packed);
  await once(packed, "connect");
});

after(() => cluster.stop());

test("values come back as they went, and binary ones as binary", async () => {
  const values = [1, -129, 1.5, 2 ** 40, "é😀", null, true, { deep: [{}, []] }, "x".repeat(70_000)];
  assert.deepEqual(await ack(packed, "echo", ...values), values);
  const [buffer, { inside }] = await ack(packed, "echo", new Uint8Array([1, 2, 3]).buffer, { inside: new Uint8Array(300).buffer });
  assert.deepEqual(new Uint8Array(buffer), new Uint8Array([1, 2, 3]));
  assert.equal(inside.byteLength ?? inside.length, 300);
});

test("what JSON does not hold becomes what JavaScript writes for it", async () => {
  assert.deepEqual(await ack(packed, "echo", new Date(0), undefined, { no: undefined, nan: NaN }), ["1970-01-01T00:00:00.000Z", null, { nan: null }]);
});

test("a handler may ask", async () => {
  packed.on("question", (what, answer) => answer("packed", what));
  assert.deepEqual(await ack(packed, "ask", "why"), ["packed", "why"]);
});

test("a broadcast reaches both kinds of clients", async () => {
  const text = await cluster.connected({ auth: { rooms: ["mixed"] } });
  const came = [once(packed, "news"), once(text, "news")];
  await ack(text, "broadcast", { event: "news", args: [1, { a: "b" }], to: ["mixed"] });
  assert.deepEqual(await limited(Promise.all(came), "the broadcast"), [[1, { a: "b" }], [1, { a: "b" }]]);
});
