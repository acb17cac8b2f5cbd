// SPDX-License-Identifier: Apache-2.0

// What a Socket.IO client in JavaScript can do, one function for each feature of matrix.json. Node
// and pages run the same functions; the world that they are given knows the client at hand.

import { check, equal, limited, pause, until } from "./check.js";

// LARGE is almost the broker's max-payload. Clients of which all is binary say less, since over
// polling base64 makes it larger.
const LARGE = 990_000;

// World makes clients of one version on one transport.
export class World {
  // io is the client library; options go to each client; cut ends the connections of all of them.
  constructor({ io, url, transport, revision = 4, options = {}, large = LARGE, bytes = (list) => new Uint8Array(list).buffer, cut }) {
    Object.assign(this, { io, url, transport, revision, options, large, bytes, cut, managers: [] });
  }

  // socket makes a socket on a connection of its own, or on that of another socket.
  socket(namespace = "/", { auth = {}, beside } = {}) {
    const transports = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] }[this.transport];
    // Before Socket.IO 3 a query was all that a client could send.
    const credentials = this.revision === 3 ? { query: auth } : { auth };
    if (!beside) {
      beside = new this.io.Manager(this.url, {
        autoConnect: false,
        transports,
        reconnectionDelay: 50,
        reconnectionDelayMax: 200,
        ...this.options,
        ...(this.revision === 3 ? credentials : {}),
      });
      this.managers.push(beside);
    }
    return beside.socket(namespace, credentials);
  }

  async connected(namespace, how) {
    const socket = this.socket(namespace, how);
    await connect(socket, this.refusal);
    return socket;
  }

  // refusal is the event that reports a refusal.
  get refusal() {
    return this.revision === 3 ? "error" : "connect_error";
  }

  closeAll() {
    for (const manager of this.managers.splice(0)) {
      manager.reconnection(false);
      for (const socket of Object.values(manager.nsps)) socket.disconnect();
      manager.engine?.close();
    }
  }
}

async function connect(socket, refusal = "connect_error") {
  const opened = new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once(refusal, (e) => reject(new Error(`refused: ${e?.message ?? JSON.stringify(e)}`)));
    socket.io.once("connect_error", reject); // of revision 3
    socket.io.once("error", reject);
  });
  socket.connect();
  await limited(opened, "the connection");
}

// ask emits and gives the ack's arguments.
function ask(socket, event, ...args) {
  return limited(new Promise((resolve) => socket.emit(event, ...args, (...answer) => resolve(answer))), `the ack of "${event}"`);
}

// hear keeps the arguments of each event of a name.
function hear(socket, event) {
  const heard = [];
  socket.on(event, (...args) => heard.push(args));
  return heard;
}

// refuse asks to be refused, and gives what the client got.
async function refuse(world, auth) {
  const socket = world.socket("/custom", { auth });
  const refused = new Promise((resolve) => socket.once(world.refusal, resolve));
  socket.connect();
  const why = await limited(refused, "the refusal");
  check(!socket.connected, "it is connected");
  return why;
}

// unique gives a name that no other client of this run uses.
const unique = (prefix) => `${prefix} ${Math.random().toString(36).slice(2)}`;

const texts = ["ünïcödé 漢字 🎉👩‍👩‍👧 \u2028 \u2029 \u0000 \u001e \" \\ \n", { "ключ 🗝": ["значение", "\ud7ff\ue000\u{10ffff}"] }];

export const features = {
  async connect(world) {
    const socket = await world.connected();
    const last = world.transport === "polling" ? "polling" : "websocket";
    await until(`the transport ${last}`, () => socket.io.engine.transport.name === last);
    equal(await ask(socket, "echo", 1), [1]);
  },

  async auth(world) {
    if (world.revision === 3) {
      const main = await world.connected("/", { auth: { token: "t" } });
      const [{ url }] = await ask(main, "handshake");
      check(/[?&]token=t(&|$)/.test(url), `the query is not in ${url}`);
      const own = await world.connected("/custom", { auth: { token: "ü" } });
      equal((await ask(own, "handshake"))[0].auth, { token: "ü" });
      return;
    }
    const auth = { token: "t", nested: { list: [1, { a: "ü" }] } };
    const socket = await world.connected("/", { auth });
    const [handshake] = await ask(socket, "handshake");
    equal(handshake.auth, auth);
    equal(handshake.id, socket.id);
  },

  async arguments(world) {
    const socket = await world.connected();
    const heard = hear(socket, "reflected");
    const sent = [[], [1, "two", { three: [3, null, true, { four: {} }] }], [null, false, 3.5, -1e-7, Number.MAX_SAFE_INTEGER]];
    for (const args of sent) socket.emit("reflect", ...args);
    await until("all events", () => heard.length === sent.length);
    equal(heard, sent);
  },

  async "server-ack"(world) {
    const socket = await world.connected();
    for (const args of [[], ["one"], [1, { a: [2] }, "three"]]) equal(await ask(socket, "echo", ...args), args);
  },

  async "client-ack"(world) {
    const socket = await world.connected();
    socket.on("question", (...args) => args.pop()(...args.reverse(), "and more"));
    equal(await ask(socket, "ask", "x", { y: 1 }), [{ y: 1 }, "x", "and more"]);
  },

  async binary(world) {
    const socket = await world.connected();
    const all = world.bytes(Array.from({ length: 256 }, (_, i) => i));
    const args = [{ deep: [{ deeper: all, name: "ü.bin" }] }, world.bytes([0]), "between", [all, { last: world.bytes([255, 0]) }]];
    equal(await ask(socket, "echo", ...args), args, "the ack");
    const heard = hear(socket, "reflected");
    socket.emit("reflect", ...args);
    await until("the event", () => heard.length > 0);
    equal(heard[0], args, "the event");
    socket.on("question", (value, answer) => answer({ got: value }, world.bytes([7])));
    equal(await ask(socket, "ask", { value: all }), [{ got: { value: all } }, world.bytes([7])], "the answer");
  },

  async unicode(world) {
    const socket = await world.connected();
    equal(await ask(socket, "echo", ...texts), texts, "the ack");
    const heard = hear(socket, "reflected");
    socket.emit("reflect", ...texts);
    await until("the event", () => heard.length > 0);
    equal(heard[0], texts, "the event");
  },

  async large(world) {
    const socket = await world.connected();
    const text = "0123456789".repeat(world.large / 10);
    const [back] = await ask(socket, "echo", text);
    check(back === text, "another text came back");
    const heard = hear(socket, "reflected");
    socket.emit("reflect", text);
    await until("the event", () => heard.length > 0);
    check(heard[0][0] === text, "another text came back as an event");
    equal(await ask(socket, "echo", "still here"), ["still here"]);
  },

  async "concurrent-acks"(world) {
    const socket = await world.connected();
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(socket, "echo", i, `text ${i}`)));
    equal(answers, Array.from({ length: 100 }, (_, i) => [i, `text ${i}`]));
  },

  async compress(world) {
    const socket = await world.connected();
    const text = "compress me ".repeat(10_000);
    for (const flag of [true, false]) {
      const answer = new Promise((resolve) => socket.compress(flag).emit("echo", text, resolve));
      check((await limited(answer, "the ack")) === text, `another text came back with the flag ${flag}`);
    }
  },

  async volatile(world) {
    const socket = await world.connected();
    const [room, event] = [unique("room"), unique("volatile")];
    await ask(socket, "join", room);
    const heard = hear(socket, event);
    // It may be dropped whenever the transport is busy, and over polling it often is.
    await until("a volatile event", async () => {
      await ask(socket, "broadcast", { event, args: ["x", { y: [1] }], to: [room], volatile: true });
      await pause(20);
      return heard.length > 0;
    });
    equal(heard[0], ["x", { y: [1] }]);
    equal(await ask(socket, "echo", "after"), ["after"]);
  },

  async broadcast(world) {
    const all = [await world.connected(), await world.connected()];
    const event = unique("all");
    const heard = all.map((s) => hear(s, event));
    await ask(all[0], "broadcast", { event, args: ["to", { all: true }] });
    await until("the broadcast at both", () => heard.every((h) => h.length > 0));
    for (const h of heard) equal(h, [["to", { all: true }]]);
  },

  async rooms(world) {
    const [inside, outside] = [await world.connected(), await world.connected()];
    const [room, event] = [unique("room"), unique("event")];
    const heard = [inside, outside].map((s) => hear(s, event));
    await ask(inside, "join", room);
    await ask(outside, "broadcast", { event, args: [1], to: [room] });
    await until("the event in the room", () => heard[0].length > 0);
    await ask(inside, "leave", room);
    await ask(outside, "broadcast", { event, args: [2], to: [room] });
    // What came after the broadcast is here, so the broadcast would be too.
    await ask(inside, "echo");
    await ask(outside, "echo");
    equal(heard, [[[1]], []]);
  },

  async namespace(world) {
    const socket = await world.connected("/custom");
    equal(await ask(socket, "echo", "custom", { a: 1 }), ["custom", { a: 1 }]);
    // Only this namespace has no such event, and nobody answers.
    const heard = hear(socket, "reflected");
    socket.emit("reflect", 1);
    equal(await ask(socket, "echo", 2), [2]);
    equal(heard, []);
  },

  async namespaces(world) {
    const main = world.socket("/");
    const custom = world.socket("/custom", { beside: main.io });
    await Promise.all([connect(main, world.refusal), connect(custom, world.refusal)]);
    check(main.io.engine === custom.io.engine, "these are two connections");
    check(main.id !== custom.id, "both sockets have the same id");
    const both = await Promise.all([ask(main, "echo", "main"), ask(custom, "echo", "custom"), ask(main, "echo", 2)]);
    equal(both, [["main"], ["custom"], [2]]);
    custom.disconnect();
    equal(await ask(main, "echo", "still here"), ["still here"]);
  },

  async refused(world) {
    const why = await refuse(world, { refuse: "not today 🎉" });
    equal(world.revision === 3 ? why : why.message, "not today 🎉");
  },

  async "refused-data"(world) {
    const why = await refuse(world, { refuse: "not today", code: "401" });
    // Before Socket.IO 3 a refusal was one value.
    if (world.revision === 3) equal(why, { code: "401" });
    else equal([why.message, why.data], ["not today", { code: "401" }]);
  },

  async "client-disconnect"(world) {
    const [watcher, leaver] = [await world.connected(), await world.connected()];
    const heard = hear(watcher, "left");
    await ask(watcher, "join", "watchers");
    const [{ id }] = await ask(leaver, "handshake");
    const reasons = hear(leaver, "disconnect");
    leaver.disconnect();
    equal(reasons[0]?.[0], "io client disconnect");
    await until("the word of its leaving", () => heard.some(([who]) => who === id));
    const [, reason] = heard.find(([who]) => who === id);
    check(reason === "client namespace disconnect", `the handler got "${reason}"`);
  },

  async "server-disconnect"(world) {
    const socket = await world.connected();
    const reasons = hear(socket, "disconnect");
    socket.emit("kick", false);
    await until("the end", () => reasons.length > 0);
    equal(reasons[0][0], "io server disconnect");
    // It is not lost: it may come back when it wants to.
    await connect(socket, world.refusal);
    equal(await ask(socket, "echo", 1), [1]);
  },

  async reconnect(world) {
    const socket = await world.connected();
    equal(await ask(socket, "echo", 1), [1]);
    // A client that loses its WebSocket while it pauses polling for it polls no more, and finds out
    // after its ping timeout only.
    if (world.transport === "upgrade") await until("the upgrade", () => socket.io.engine.transport.name === "websocket");
    const [lost, back] = [hear(socket, "disconnect"), hear(socket, "connect")];
    // Between two polls there is nothing to cut.
    await until("the loss", async () => {
      await world.cut();
      await pause(200);
      return lost.length > 0;
    });
    check(["transport close", "transport error"].includes(lost[0][0]), `it got "${lost[0][0]}"`);
    await until("the way back", () => back.length > 0);
    equal(await ask(socket, "echo", 2), [2]);
  },
};
