// SPDX-License-Identifier: Apache-2.0

// Two replicas tied by NATS look like one.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ack, Cluster, until } from "./world.js";

// The handlers dial both replicas, or only the first one: then the second borrows them.
for (const [how, env] of Object.entries({ "handlers at each": [], "handlers at one": ["ONE_REPLICA=1"] })) {
  describe(`two replicas, ${how}`, () => {
    let cluster, near, far;
    before(async () => {
      cluster = await Cluster.start({ replicas: 2, handlers: [{ env }] });
    });
    after(() => cluster.stop());
    const two = async (a = {}, b = {}) => {
      [near, far] = await Promise.all([
        cluster.connected({ transports: ["websocket"], ...a }, { replica: 0 }),
        cluster.connected({ ...b }, { replica: 1 }),
      ]);
    };

    test("serve the browsers of both", async () => {
      await two({ auth: { hello: ["near"] } }, { auth: { hello: ["far"] } });
      assert.deepEqual(await near.seen.first("hello"), ["near"]);
      assert.deepEqual(await far.seen.first("hello"), ["far"]);
      const binary = { data: Buffer.from([1, 2, 3]) };
      for (const s of [near, far]) {
        assert.deepEqual(await ack(s, "echo", "ü", binary), ["ü", binary]);
        const [handshake] = await ack(s, "handshake");
        assert.equal(handshake.id, s.id);
      }
    });

    test("refuse at both", async () => {
      for (const replica of [0, 1]) {
        await assert.rejects(cluster.connected({ auth: { refuse: "no", data: 1 } }, { replica }), { message: "no", data: 1 });
        await assert.rejects(cluster.connected({}, { replica, namespace: "/nobody" }), { message: "Invalid namespace" });
      }
    });

    test("broadcasts cross, once, in order", async () => {
      await two();
      for (let i = 0; i < 100; i++) near.emit("broadcast", { event: "tick", args: [i] });
      for (const s of [near, far]) {
        await until("all ticks", () => s.seen.all("tick").length >= 100);
        assert.deepEqual(s.seen.all("tick").map(([n]) => n), Array.from({ length: 100 }, (_, i) => i));
      }
      await ack(far, "broadcast", { event: "tock", others: true });
      assert.deepEqual(await near.seen.first("tock"), []);
      await ack(far, "echo", 1);
      assert.equal(far.seen.all("tock").length, 0);
    });

    test("rooms and ids reach across", async () => {
      await two({ auth: { rooms: ["r"] } }, { auth: { rooms: ["r"] } });
      await ack(near, "broadcast", { event: "room", to: ["r"], except: [near.id] });
      assert.deepEqual(await far.seen.first("room"), []);
      await ack(near, "broadcast", { event: "you", args: [Buffer.from("x")], to: [far.id] });
      assert.deepEqual(await far.seen.first("you"), [Buffer.from("x")]);
      await ack(far, "leave", "r");
      await ack(near, "broadcast", { event: "room2", to: ["r"] });
      await ack(near, "broadcast", { event: "fence" });
      await far.seen.first("fence");
      assert.equal(far.seen.all("room2").length, 0);
      assert.deepEqual(await near.seen.first("room2"), []);
    });

    test("acks come from both", async () => {
      await two({ auth: { rooms: ["acks"] } }, { auth: { rooms: ["acks"] } });
      near.on("question", (_, answer) => answer("near"));
      far.on("question", (_, answer) => answer("far", Buffer.from("b").length));
      for (const s of [near, far]) {
        const [result] = await ack(s, "poll", "acks");
        assert.deepEqual(result, { answers: result.answers, missing: 0 });
        assert.deepEqual(result.answers.sort(), [["far", 1], ["near"]]);
      }
    });

    test("one makes another leave", async () => {
      await two();
      await ack(near, "kick other", far.id);
      assert.deepEqual(await far.seen.first("disconnect"), ["io server disconnect"]);
    });

    test("the server asks a client of the other", async () => {
      await two();
      far.on("question", (x, answer) => answer(x + 1));
      assert.deepEqual(await ack(far, "ask", 1), [2]);
    });

    test("emits from outside reach all, at either replica", async () => {
      await two();
      for (const replica of [0, 1]) {
        const cli = await cluster.cli(["emit", `cli${replica}`, "1"], replica);
        assert.equal(cli.code, 0, cli.output);
        const script = await cluster.emitter(["", `script${replica}`, "2"], replica);
        assert.equal(script.code, 0, script.output);
        for (const s of [near, far]) {
          assert.deepEqual(await s.seen.first(`cli${replica}`), [1]);
          assert.deepEqual(await s.seen.first(`script${replica}`), [2]);
        }
      }
    });

    test("a join that is counted is in force everywhere when it is answered", async () => {
      await two({ auth: { rooms: ["counted"] } }, { auth: { rooms: ["counted"] } });
      const call = async (replica, path, body) => {
        const answer = await fetch(`${cluster.replicas[replica].operators}/api/v1/${path}`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ rooms: ["counted"], count: true, ...body }),
        });
        assert.equal(answer.status, 200);
        return answer.json();
      };
      for (const replica of [0, 1]) {
        const none = { silent_replicas: [], replayed: false };
        const rooms = [`joined${replica}`];
        assert.deepEqual(await call(replica, "join", { join: rooms }), { sockets: 2, ...none });
        // Another replica is asked next, which nothing but the answer to the join makes sure.
        assert.deepEqual(await call(1 - replica, "emit", { rooms, event: "joined", args: [replica] }), { sockets: 2, ...none });
        assert.deepEqual(await call(replica, "leave", { leave: rooms }), { sockets: 2, ...none });
        assert.deepEqual(await call(1 - replica, "emit", { rooms, event: "left" }), { sockets: 0, ...none });
        for (const s of [near, far]) await until("the emit", () => s.seen.all("joined").length > replica);
      }
      assert.deepEqual(await call(0, "disconnect", { rooms: [far.id, near.id] }), { sockets: 2, silent_replicas: [], replayed: false });
      for (const s of [near, far]) assert.deepEqual(await s.seen.first("disconnect"), ["io server disconnect"]);
    });

    test("a handler that is killed is replaced for the browsers of both", async () => {
      await two();
      const before = await Promise.all([near, far].map((s) => ack(s, "work", 1)));
      await cluster.end(cluster.handlers.at(-1));
      const waiting = [near, far].map((s) => ack(s, "work", 2));
      await cluster.handler({ env });
      (await Promise.all(waiting)).forEach(([n, pid], i) => {
        assert.equal(n, 2);
        assert.notEqual(pid, before[i][1]);
      });
      for (const s of [near, far]) assert.equal(s.seen.all("disconnect").length, 0);
    });

    test("the disconnect of one is reported through the other", async () => {
      await two({ auth: { rooms: ["watchers"] } });
      const { id } = far;
      far.disconnect();
      await until("the leaving", () => near.seen.all("left").some(([who]) => who === id));
    });
  });
}
