// SPDX-License-Identifier: Apache-2.0

// Connections that are lost while the broker has --recovery: the client comes back as who it was,
// with all that it missed.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ack, Cluster, connect, once, until } from "./world.js";

describe("recovery", () => {
  let cluster;
  before(async () => {
    cluster = await Cluster.start({ flags: ["--recovery", "2m"] });
  });
  after(() => cluster.stop());

  // names gives the first argument of each event, since the last is the offset.
  const names = (socket, event) => socket.seen.all(event).map(([first]) => first);
  const emit = async (...args) => assert.equal((await cluster.cli(["emit", ...args])).code, 0);
  const lose = async (socket) => {
    const lost = once(socket, "disconnect");
    socket.io.engine.close();
    await lost;
  };

  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
    test(`brings back what was missed, over ${transports.join(" and ")}`, async () => {
      const room = transports.join("-");
      const socket = await cluster.connected({ transports, reconnection: false, auth: { rooms: [room] } });
      assert.equal(socket.recovered, false);
      const { id } = socket;
      await emit("--room", room, "news", "0");
      await socket.seen.first("news");
      for (let round = 0; round < 3; round++) {
        await lose(socket);
        for (const n of [1, 2, 3]) await emit("--room", room, "news", String(10 * round + n));
        await emit("--room", "others", "news", "-1");
        await emit("--room", id, "direct", String(round));
        await connect(socket);
        assert.equal(socket.recovered, true);
        assert.equal(socket.id, id);
        await until("all that was missed", () => socket.seen.all("direct").length === round + 1);
      }
      await emit("--room", room, "news", "99");
      await until("what is live", () => names(socket, "news").at(-1) === 99);
      assert.deepEqual(names(socket, "news"), [0, 1, 2, 3, 11, 12, 13, 21, 22, 23, 99]);
      assert.deepEqual(await ack(socket, "echo", 1), [1]);
      socket.disconnect();
    });
  }

  test("works before the first event, and by the client's own reconnect", async () => {
    const socket = await cluster.connected();
    const { id } = socket;
    for (let i = 0; i < 3; i++) {
      const back = once(socket, "connect");
      await lose(socket);
      await back;
      assert.equal(socket.recovered, true);
      assert.equal(socket.id, id);
    }
    socket.disconnect();
  });

  test("brings back binary events, and not what was volatile", async () => {
    const socket = await cluster.connected({ reconnection: false });
    const other = await cluster.connected();
    await lose(socket);
    const binary = Buffer.from([1, 2, 3]);
    await ack(other, "broadcast", { event: "raw", args: [binary, "text"] });
    await ack(other, "broadcast", { event: "quick", args: ["text"], volatile: true });
    await connect(socket);
    assert.equal(socket.recovered, true);
    const [data, text] = await socket.seen.first("raw");
    assert.ok(binary.equals(Buffer.from(data)) && text === "text");
    await ack(other, "broadcast", { event: "fence" });
    await socket.seen.first("fence");
    assert.equal(socket.seen.all("quick").length, 0);
    [socket, other].forEach((s) => s.disconnect());
  });

  test("is not for a client that left", async () => {
    const socket = await cluster.connected();
    const { id } = socket;
    socket.disconnect();
    await connect(socket);
    assert.equal(socket.recovered, false);
    assert.notEqual(socket.id, id);
    socket.disconnect();
  });

  test("is counted", async () => {
    assert.ok((await cluster.metric("spanwire_edge_recoveries_total", 'outcome="recovered"')) >= 13);
  });
});
