// SPDX-License-Identifier: Apache-2.0

// Everything that one client can see, on each transport: polling only, WebSocket only, and the
// default that begins with polling and upgrades.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ack, Cluster, connect, once, until } from "./world.js";

const kinds = {
  polling: { transports: ["polling"] },
  websocket: { transports: ["websocket"] },
  upgrade: { transports: ["polling", "websocket"] },
};

for (const [kind, options] of Object.entries(kinds)) {
  describe(`client, ${kind}`, () => {
    let cluster;
    before(async () => {
      cluster = await Cluster.start();
    });
    after(() => cluster.stop());

    const join = (extra, where) => cluster.connected({ ...options, ...extra }, where);

    test("connects with auth, and gets what the connect handler emits", async () => {
      const socket = await join({ auth: { hello: [1, { a: "ü" }], token: "t" } });
      assert.deepEqual(await socket.seen.first("hello"), [1]);
      assert.deepEqual(await socket.seen.first("hello", 2), [{ a: "ü" }]);
      const [handshake] = await ack(socket, "handshake");
      assert.equal(handshake.id, socket.id);
      assert.deepEqual(handshake.auth, { hello: [1, { a: "ü" }], token: "t" });
      assert.equal(handshake.address, "127.0.0.1");
      assert.match(handshake.url, /^\/socket\.io\/\?.*EIO=4/);
    });

    test("hears events of the connect handler only after connect", async () => {
      const socket = cluster.client({ ...options, auth: { hello: [1] } });
      const order = [];
      socket.on("connect", () => order.push("connect"));
      socket.on("hello", () => order.push("hello"));
      await connect(socket);
      await socket.seen.first("hello");
      assert.deepEqual(order, ["connect", "hello"]);
    });

    test("hears a burst, in order", async () => {
      const socket = await join();
      socket.emit("burst", 2000, "x".repeat(100));
      await socket.seen.first("burst", 2000);
      assert.deepEqual(socket.seen.all("burst").map(([i]) => i), Array.from({ length: 2000 }, (_, i) => i));
      assert.deepEqual(await ack(socket, "echo", 1), [1]);
    });

    test("is refused with a message", async () => {
      const socket = cluster.client({ ...options, auth: { refuse: "not today" } });
      const refused = once(socket, "connect_error");
      socket.connect();
      const [error] = await refused;
      assert.equal(error.message, "not today");
      assert.equal(error.data, undefined);
      assert.equal(socket.active, false, "it would try again");
    });

    test("is refused with a message and data", async () => {
      const socket = cluster.client({ ...options, auth: { refuse: "no", data: { code: 401, why: ["a", "b"] } } });
      const refused = once(socket, "connect_error");
      socket.connect();
      const [error] = await refused;
      assert.equal(error.message, "no");
      assert.deepEqual(error.data, { code: 401, why: ["a", "b"] });
    });

    test("may try again after it was refused", async () => {
      const socket = cluster.client({ ...options, auth: { refuse: "no" } });
      const refused = once(socket, "connect_error");
      socket.connect();
      await refused;
      socket.auth = {};
      await connect(socket);
      assert.deepEqual(await ack(socket, "echo", 1), [1]);
    });

    test("is refused in a namespace that nobody registered", async () => {
      const socket = cluster.client(options, { namespace: "/nobody" });
      const refused = once(socket, "connect_error");
      socket.connect();
      const [error] = await refused;
      assert.equal(error.message, "Invalid namespace");
    });

    test("gets acks with what it sent", async () => {
      const socket = await join();
      const values = [
        [],
        [1],
        ["a", "b", 3.5, null, true, false],
        [{ nested: { list: [1, [2, [3]]], empty: {}, none: null } }],
        ["ünïcödé 漢字 🎉 \u2028 \" \\ \n \u0000", { "ключ": "значение" }],
        [Number.MAX_SAFE_INTEGER, -1e-7, 1e21],
      ];
      for (const args of values) assert.deepEqual(await ack(socket, "echo", ...args), args);
    });

    test("gets an empty ack when the handler returns nothing", async () => {
      const socket = await join();
      assert.deepEqual(await ack(socket, "join", "nowhere"), []);
    });

    test("gets events with what it sent", async () => {
      const socket = await join();
      socket.emit("reflect", 1, "two", { three: [3] });
      assert.deepEqual(await socket.seen.first("reflected"), [1, "two", { three: [3] }]);
      socket.emit("reflect");
      assert.deepEqual(await socket.seen.first("reflected", 2), []);
    });

    test("sends and gets the event message", async () => {
      const socket = await join();
      socket.send("plain");
      assert.deepEqual(await socket.seen.first("message"), ["plain"]);
      socket.send({ json: [1] });
      assert.deepEqual(await socket.seen.first("message", 2), [{ json: [1] }]);
    });

    test("answers what the server asks", async () => {
      const socket = await join();
      socket.on("question", (a, b, answer) => answer(b, a));
      assert.deepEqual(await ack(socket, "ask", "x", { y: 1 }), [{ y: 1 }, "x"]);
    });

    test("answers what the server asks with nothing", async () => {
      const socket = await join();
      socket.on("question", (answer) => answer());
      assert.deepEqual(await ack(socket, "ask"), []);
    });

    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

    test("gets binary acks with what it sent", async () => {
      const socket = await join();
      for (const args of [
        [bytes],
        [Buffer.alloc(0)],
        [{ deep: [{ deeper: bytes }], and: "text" }, Buffer.from("second"), 3],
        [bytes, bytes, Buffer.alloc(0), [Buffer.from("x")]],
      ]) {
        assert.deepEqual(await ack(socket, "echo", ...args), args);
      }
    });

    test("gets binary events with what it sent", async () => {
      const socket = await join();
      const args = [{ file: bytes, name: "ü.bin", parts: [Buffer.alloc(0), Buffer.from([0])] }, "after"];
      socket.emit("reflect", ...args);
      assert.deepEqual(await socket.seen.first("reflected"), args);
    });

    test("answers what the server asks in binary", async () => {
      const socket = await join();
      socket.on("question", (data, answer) => answer({ got: data.value }, Buffer.from("and more")));
      assert.deepEqual(await ack(socket, "ask", { value: bytes }), [{ got: bytes }, Buffer.from("and more")]);
    });

    test("may send what is large", async () => {
      const socket = await join();
      const text = "€".repeat(100_000);
      assert.deepEqual(await ack(socket, "echo", text), [text]);
      const large = Buffer.alloc(500_000, 7);
      const [back] = await ack(socket, "echo", large);
      assert.ok(large.equals(back));
    });

    test("keeps the order of many events, both ways", async () => {
      const socket = await join();
      const count = 2000;
      for (let i = 0; i < count; i++) socket.emit("reflect", i);
      await until("all events", () => socket.seen.all("reflected").length >= count);
      assert.deepEqual(socket.seen.all("reflected").map(([i]) => i), Array.from({ length: count }, (_, i) => i));
      socket.emit("burst", count);
      await until("the burst", () => socket.seen.all("burst").length >= count);
      assert.deepEqual(socket.seen.all("burst").map(([i]) => i), Array.from({ length: count }, (_, i) => i));
    });

    test("keeps binary and text events apart and in order", async () => {
      const socket = await join();
      const count = 200;
      for (let i = 0; i < count; i++) socket.emit("reflect", i, i % 3 ? "text" : Buffer.from([i]), Buffer.from("end"));
      await until("all events", () => socket.seen.all("reflected").length >= count);
      socket.seen.all("reflected").forEach(([n, part, end], i) => {
        assert.equal(n, i);
        assert.deepEqual(part, i % 3 ? "text" : Buffer.from([i]));
        assert.deepEqual(end, Buffer.from("end"));
      });
    });

    test("has its acks in the order of its events", async () => {
      const socket = await join();
      const order = [];
      await Promise.all(Array.from({ length: 300 }, (_, i) => ack(socket, "echo", i).then(([n]) => order.push(n))));
      assert.deepEqual(order, Array.from({ length: 300 }, (_, i) => i));
    });

    test("is in two namespaces on one connection, which stay apart", async () => {
      const main = cluster.client(options);
      const admin = main.io.socket("/admin", { auth: { admin: true } });
      admin.seen = { events: [] };
      admin.onAny((...args) => admin.seen.events.push(args));
      const both = Promise.all([once(main, "connect"), once(admin, "connect")]);
      main.connect();
      admin.connect();
      await both;
      assert.notEqual(main.id, admin.id);
      assert.deepEqual(await ack(admin, "echo", "a"), ["a"]);
      assert.deepEqual(await ack(main, "echo", "m"), ["m"]);
      await ack(admin, "shout", "to admins");
      await until("the shout", () => admin.seen.events.length > 0);
      assert.deepEqual(admin.seen.events, [["shouted", "to admins"]]);
      const left = once(admin, "disconnect");
      admin.disconnect();
      assert.deepEqual((await left)[0], "io client disconnect");
      assert.deepEqual(await ack(main, "echo", "still here"), ["still here"]);
      assert.equal(main.seen.all("shouted").length, 0);
      main.disconnect();
    });

    test("is refused in one namespace and stays in the other", async () => {
      const main = await join();
      const admin = main.io.socket("/admin", { auth: { admin: false } });
      const refused = once(admin, "connect_error");
      admin.connect();
      assert.equal((await refused)[0].message, "admins only");
      assert.deepEqual(await ack(main, "echo", 1), [1]);
      main.disconnect();
    });

    test("gets no ack from a handler that fails, and the next event is served", async () => {
      const socket = await join();
      let answered = false;
      socket.emit("fail", () => (answered = true));
      assert.deepEqual(await ack(socket, "echo", "next"), ["next"]);
      assert.equal(answered, false);
    });

    test("is disconnected by the server and does not come back", async () => {
      const socket = await join();
      const left = once(socket, "disconnect");
      socket.emit("kick", false);
      assert.equal((await left)[0], "io server disconnect");
      assert.equal(socket.active, false, "it would try again");
    });

    test("loses its session when the server closes it", async () => {
      const socket = await join();
      const left = once(socket, "disconnect");
      socket.emit("burst", 200, "last words");
      socket.emit("kick", true);
      assert.equal((await left)[0], "io server disconnect");
      assert.equal(socket.seen.all("burst").length, 200, "what was sent before the end");
    });

    test("tells the handler why it left", async () => {
      const watcher = await join({ auth: { rooms: ["watchers"] } });
      const leaver = await join();
      const { id } = leaver;
      leaver.disconnect();
      await until("the leaving", () => watcher.seen.all("left").some(([who]) => who === id));
      assert.equal(watcher.seen.all("left").find(([who]) => who === id)[1], "client namespace disconnect");
      const kicked = await join();
      const { id: kickedID } = kicked;
      kicked.emit("kick", false);
      await until("the kick", () => watcher.seen.all("left").some(([who]) => who === kickedID));
      assert.equal(watcher.seen.all("left").find(([who]) => who === kickedID)[1], "server namespace disconnect");
      const lost = await join();
      const { id: lostID } = lost;
      lost.io.reconnection(false);
      lost.io.engine.close();
      await until("the loss", () => watcher.seen.all("left").some(([who]) => who === lostID));
      assert.equal(watcher.seen.all("left").find(([who]) => who === lostID)[1], "transport close");
    });

    test("reconnects after its transport is lost, with a new id", async () => {
      const socket = await join();
      const before = socket.id;
      const back = once(socket, "connect");
      socket.io.engine.close();
      await back;
      assert.notEqual(socket.id, before);
      assert.deepEqual(await ack(socket, "echo", 1), [1]);
    });

    test("uses the transport that it was given", async () => {
      const socket = await join();
      const last = kind === "polling" ? "polling" : "websocket";
      await until(`transport ${last}`, () => socket.io.engine.transport.name === last);
      assert.deepEqual(await ack(socket, "echo", 1), [1]);
    });
  });
}
