// SPDX-License-Identifier: Apache-2.0

// What clients see of handlers that die, start again, or are two: nothing but a short wait.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ack, Cluster, limited, until } from "./world.js";

describe("handlers", () => {
  // with runs a test on a cluster of its own.
  const on = (what, options, body) =>
    test(what, async () => {
      const cluster = await Cluster.start(options);
      try {
        await body(cluster);
      } finally {
        await cluster.stop();
      }
    });

  on("are killed and started again while clients stay connected", {}, async (cluster) => {
    const kinds = [["polling"], ["websocket"], ["polling", "websocket"]];
    const sockets = await Promise.all(kinds.map((transports) => cluster.connected({ transports })));
    const ids = sockets.map((s) => s.id);
    const first = await Promise.all(sockets.map((s) => ack(s, "work", 1)));
    await cluster.end(cluster.handlers[0]);
    // These come while nobody is there to handle them.
    const waiting = sockets.map((s) => Promise.all([2, 3, 4].map((n) => ack(s, "work", n))));
    await cluster.handler();
    const answers = await Promise.all(waiting);
    answers.forEach((list, i) => {
      assert.deepEqual(list.map(([n]) => n), [2, 3, 4]);
      assert.notEqual(list[0][1], first[i][1], "another process answered");
    });
    assert.deepEqual(sockets.map((s) => s.id), ids);
    sockets.forEach((s) => assert.equal(s.seen.all("disconnect").length, 0));
    // The new instance knows who they are.
    const [handshake] = await ack(sockets[0], "handshake");
    assert.equal(handshake.id, ids[0]);
  });

  on("are asked to end, and a connect waits for the next one", {}, async (cluster) => {
    const stayed = await cluster.connected();
    await cluster.end(cluster.handlers[0], "term");
    const connecting = cluster.connected({ auth: { hello: ["late"] } });
    await cluster.handler();
    const came = await connecting;
    assert.deepEqual(await came.seen.first("hello"), ["late"]);
    assert.deepEqual(await ack(stayed, "echo", 1), [1]);
    assert.equal(stayed.seen.all("disconnect").length, 0);
  });

  on("are two, one hangs and is killed: its open events go to the other", { handlers: [{ env: ["HOLD=1"] }] }, async (cluster) => {
    const [hanging] = cluster.handlers;
    const sockets = await Promise.all(Array.from({ length: 8 }, () => cluster.connected({ transports: ["websocket"] })));
    const answers = sockets.map((s, i) => Promise.all([10 + i, 20 + i, 30 + i].map((n) => ack(s, "work", n))));
    await until("the first event of each is open", async () => (await cluster.printed(hanging)).split("work ").length > sockets.length);
    const other = await cluster.handler();
    const pid = await cluster.pid(other);
    await cluster.end(hanging);
    (await Promise.all(answers)).forEach((list, i) =>
      assert.deepEqual(list, [10 + i, 20 + i, 30 + i].map((n) => [n, pid])),
    );
    sockets.forEach((s) => assert.equal(s.seen.all("disconnect").length, 0));
  });

  on("are two, and both are given sockets", { handlers: [{}, {}] }, async (cluster) => {
    const sockets = await Promise.all(Array.from({ length: 24 }, () => cluster.connected({ transports: ["websocket"] })));
    const pids = new Set(await Promise.all(sockets.map(async (s) => (await ack(s, "work", 1))[1])));
    assert.equal(pids.size, 2);
    // One socket stays with one instance.
    for (let i = 0; i < 5; i++) assert.deepEqual(await ack(sockets[0], "work", i), [i, (await ack(sockets[0], "work", i))[1]]);
  });

  on("are killed and no event is lost under load", { handlers: [{}, {}] }, async (cluster) => {
    const sockets = await Promise.all(Array.from({ length: 20 }, () => cluster.connected({ transports: ["websocket"] })));
    let sending = true;
    const talk = async (socket) => {
      for (let n = 0; ; n++) {
        if (!sending) return n;
        assert.deepEqual((await ack(socket, "work", n))[0], n);
      }
    };
    const talks = Promise.all(sockets.map(talk));
    talks.catch(() => {});
    try {
      for (let i = 0; i < 3; i++) {
        await cluster.handler();
        await cluster.end(cluster.handlers[i]);
        await Promise.all(sockets.map((s) => ack(s, "echo", i)));
      }
    } finally {
      sending = false;
    }
    const counts = await limited(talks, "the last acks");
    assert.ok(counts.every((n) => n > 0));
    sockets.forEach((s) => assert.equal(s.seen.all("disconnect").length, 0));
  });

  on("none is there at first: a connect waits for it", { handlers: [] }, async (cluster) => {
    const connecting = cluster.connected();
    await cluster.handler();
    const socket = await connecting;
    assert.deepEqual(await ack(socket, "echo", 1), [1]);
  });
});
