// SPDX-License-Identifier: Apache-2.0

// Who gets what: rooms, exceptions, the sender or not, volatile events, and emits from outside.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { ack, Cluster, until } from "./world.js";

describe("rooms", () => {
  let cluster, a, b, c;
  before(async () => {
    cluster = await Cluster.start();
  });
  after(() => cluster.stop());
  const three = async (rooms = [[], [], []]) => {
    const kinds = [["polling"], ["websocket"], ["polling", "websocket"]];
    [a, b, c] = await Promise.all(kinds.map((transports, i) => cluster.connected({ transports, auth: { rooms: rooms[i] } })));
  };
  afterEach(() => [a, b, c].forEach((s) => s.disconnect()));

  // reached tells who had an event, once a later event to all has reached everybody: what is not
  // there then does not come any more.
  const reached = async (event) => {
    await ack(a, "broadcast", { event: "fence", args: [event] });
    await Promise.all([a, b, c].map((s) => until("the fence", () => s.seen.all("fence").some(([e]) => e === event))));
    return [a, b, c].map((s) => s.seen.all(event).length);
  };

  test("everybody", async () => {
    await three();
    await ack(a, "broadcast", { event: "e1", args: [1] });
    assert.deepEqual(await reached("e1"), [1, 1, 1]);
  });

  test("everybody but the sender", async () => {
    await three();
    await ack(a, "broadcast", { event: "e2", others: true });
    assert.deepEqual(await reached("e2"), [0, 1, 1]);
  });

  test("a room, its own members only", async () => {
    await three();
    await ack(b, "join", "blue");
    await ack(a, "broadcast", { event: "e3", to: ["blue"] });
    assert.deepEqual(await reached("e3"), [0, 1, 0]);
    await ack(b, "leave", "blue");
    await ack(a, "broadcast", { event: "e4", to: ["blue"] });
    assert.deepEqual(await reached("e4"), [0, 0, 0]);
  });

  test("several rooms, each socket once, some excepted", async () => {
    await three([["x", "y"], ["y"], ["x", "y", "z"]]);
    await ack(a, "broadcast", { event: "e5", to: ["x", "y"] });
    assert.deepEqual(await reached("e5"), [1, 1, 1]);
    await ack(a, "broadcast", { event: "e6", to: ["x", "y"], except: ["z"] });
    assert.deepEqual(await reached("e6"), [1, 1, 0]);
    await ack(a, "broadcast", { event: "e7", to: ["y"], except: [b.id] });
    assert.deepEqual(await reached("e7"), [1, 0, 1]);
  });

  test("one socket by its id", async () => {
    await three();
    await ack(a, "broadcast", { event: "e8", to: [c.id] });
    assert.deepEqual(await reached("e8"), [0, 0, 1]);
  });

  test("names of any characters", async () => {
    const room = 'ü "quoted" * > . \u0000 ' + "x".repeat(1000);
    await three([[room], [], []]);
    await ack(b, "broadcast", { event: "e9", to: [room] });
    assert.deepEqual(await reached("e9"), [1, 0, 0]);
  });

  test("binary to everybody", async () => {
    await three();
    const data = { file: Buffer.from([1, 2, 3]) };
    await ack(a, "broadcast", { event: "e10", args: [data, Buffer.alloc(0)] });
    assert.deepEqual(await reached("e10"), [1, 1, 1]);
    for (const s of [a, b, c]) assert.deepEqual(s.seen.all("e10")[0], [data, Buffer.alloc(0)]);
  });

  test("volatile events reach who can take them, in order with the others", async () => {
    await three();
    // A WebSocket client that has nothing queued can.
    await ack(a, "broadcast", { event: "e11", to: [b.id], volatile: true });
    assert.deepEqual(await reached("e11"), [0, 1, 0]);
  });

  test("a broadcast with acks counts who did not answer", async () => {
    await three([["ask"], ["ask"], ["ask"]]);
    a.on("question", (_, answer) => answer("a", 1));
    b.on("question", (_, answer) => answer("b"));
    const [result] = await ack(a, "poll", "ask", 5000); // which is what it takes, since one does not answer
    assert.deepEqual(result.answers.sort(), [["a", 1], ["b"]]);
    assert.equal(result.missing, 1);
    const [nobody] = await ack(a, "poll", "an empty room");
    assert.deepEqual(nobody, { answers: [], missing: 0 });
  });

  test("a socket that leaves settles its part at once", async () => {
    await three([["quiet"], ["quiet"], []]);
    a.on("question", (_, answer) => answer("a"));
    b.on("question", () => b.disconnect());
    const [result] = await ack(c, "poll", "quiet");
    assert.deepEqual(result, { answers: [["a"]], missing: 1 });
  });

  test("one client makes another leave", async () => {
    await three();
    await ack(a, "kick other", b.id);
    assert.deepEqual(await b.seen.first("disconnect"), ["io server disconnect"]);
    assert.deepEqual(await ack(c, "echo", 1), [1]);
  });

  test("broker emit reaches all, or a room", async () => {
    await three([["cli"], [], []]);
    const all = await cluster.cli(["emit", "news", '{"data":"ü"}', "2"]);
    assert.equal(all.code, 0, all.output);
    for (const s of [a, b, c]) assert.deepEqual(await s.seen.first("news"), [{ data: "ü" }, 2]);
    const room = await cluster.cli(["emit", "--room", "cli", "news2"]);
    assert.equal(room.code, 0, room.output);
    assert.deepEqual(await a.seen.first("news2"), []);
    assert.deepEqual(await reached("news2"), [1, 0, 0]);
  });

  test("broker emit gathers acks", async () => {
    await three([["quiz"], [], []]);
    a.on("quiz", (answer) => answer(42));
    const result = await cluster.cli(["emit", "--room", "quiz", "--wait-acks", "10s", "quiz"]);
    assert.equal(result.code, 0, result.output);
    assert.match(result.output, /\[42\]/);
  });

  test("broker emit says what is wrong", async () => {
    await three();
    const bad = await cluster.cli(["emit", "news", "not json"]);
    assert.notEqual(bad.code, 0);
    assert.match(bad.output, /JSON/);
    const reserved = await cluster.cli(["emit", "connect"]);
    assert.notEqual(reserved.code, 0);
  });

  test("a script with the SDK reaches all, or a room", async () => {
    await three([[], ["script"], []]);
    const all = await cluster.emitter(["", "tidings", '{"n":[1]}']);
    assert.equal(all.code, 0, all.output);
    for (const s of [a, b, c]) assert.deepEqual(await s.seen.first("tidings"), [{ n: [1] }]);
    const room = await cluster.emitter(["script", "tidings2", "1", "2"]);
    assert.equal(room.code, 0, room.output);
    assert.deepEqual(await b.seen.first("tidings2"), [1, 2]);
    assert.deepEqual(await reached("tidings2"), [0, 1, 0]);
  });
});
