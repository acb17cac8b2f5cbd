// SPDX-License-Identifier: Apache-2.0

// The service behind the broker in the interoperability suite, in Node.js: what handlers/go/main.go
// is in Go, event for event, on the code of examples/node_chat, which knows the contract alone.
"use strict";

const { Ack, Refusal, Service, emitOnce } = require("../../../../examples/node_chat/spanwire.js");

const echo = (_socket, ...args) => new Ack(...args);
const handshake = (socket) => ({
  id: socket.id, url: socket.handshake.url, transport: socket.handshake.transport, address: socket.handshake.address, auth: socket.auth,
});

function refuse({ refuse: message, ...rest }, data) {
  if (message) throw new Refusal(message, rest[data] === undefined || rest[data] === null ? undefined : data === "code" ? { code: rest.code } : rest[data]);
}

/** Connects are accepted or refused as the client asks for; disconnects are reported to the room "watchers". */
function lifecycle(n) {
  n.onConnect = (socket) => {
    const auth = socket.auth ?? {};
    refuse(auth, "data");
    if (auth.rooms?.length > 0) socket.join(...auth.rooms);
    for (const size of auth.large ?? []) socket.emit("hello", "x".repeat(size));
    for (const h of auth.hello ?? []) socket.emit("hello", h);
  };
  n.onDisconnect = (socket, reason) => n.to("watchers").emit("left", socket.id, reason);
}

/** What goes around comes around, as ack, as event, and as the client's own ack. */
function echoes(n) {
  n.on("echo", echo);
  n.on("reflect", (socket, ...args) => socket.emit("reflected", ...args));
  n.on("ask", async (socket, ...args) => {
    const { answers } = await socket.ask("question", args);
    if (answers.length === 0) throw new Error("the client did not answer");
    return new Ack(...answers[0]);
  });
  n.on("message", (socket, ...args) => socket.emit("message", ...args));
  n.on("", (socket, ...args) => {
    socket.emit("", ...args);
    return new Ack(...args);
  });
  n.on("fail", () => { throw new Error("as asked for"); });
  n.on("burst", (socket, count, ...more) => { for (let i = 0; i < count; i++) socket.emit("burst", i, ...more); });
  n.on("burst to", (_socket, room, count, ...more) => { for (let i = 0; i < count; i++) n.to(room).emit("burst", i, ...more); });
  n.on("handshake", handshake);
}

/** Joining, leaving, targets, and the ends that a server makes. */
function rooms(n) {
  n.on("join", (socket, room) => socket.join(room));
  n.on("leave", (socket, room) => socket.leave(room));
  n.on("broadcast", (socket, b) => {
    let target = n.to(...(b.to ?? [])).except(...(b.except ?? []));
    if (b.others) target = target.except(socket.id);
    if (b.volatile) target = target.volatile;
    target.emit(b.event, ...(b.args ?? []));
  });
  n.on("poll", (_socket, room, limit) => n.to(room).ask("question", ["all"], limit));
  n.on("kick", (socket, session) => socket.disconnect(session));
  n.on("kick other", (_socket, room) => n.to(room).disconnect());
}

/** Answers with the process that did it, or hangs in a process that was started to hang. */
function work(n) {
  n.on("work", (_socket, key) => {
    console.log(`work ${key}`);
    return process.env.HOLD ? new Promise(() => {}) : new Ack(key, process.pid);
  });
}

/** What handlers may ask of the broker. */
function surface(n) {
  n.on("fetch", (_socket, room) => n.to(room).fetchSockets());
  n.on("set data", async (socket, data) => {
    await socket.setData(data);
    return socket.data;
  });
  n.on("rooms", async (socket) => new Ack(...(await socket.rooms())));
  n.on("all rooms", async () => new Ack(...(await n.rooms()).sort()));
  n.on("move", (_socket, m) => {
    n.to(m.To ?? m.to).join(m.Join ?? m.join);
    n.to(m.Join ?? m.join).leave(m.Leave ?? m.leave);
  });
  n.onMessage("repeat", (text) => text);
  n.on("server side", (_socket, text) => n.serverSideAsk("repeat", text));
}

function serve() {
  const service = new Service("interop", { oneReplica: !!process.env.ONE_REPLICA });
  const main = service.namespace("/");
  for (const part of [lifecycle, echoes, rooms, work, surface]) part(main);

  const admin = service.namespace("/admin"); // not everybody may enter
  admin.onConnect = (socket) => { if (socket.auth?.admin !== true) throw new Refusal("admins only"); };
  admin.on("echo", echo);
  admin.on("shout", (_socket, text) => admin.emit("shouted", text));

  const dynamic = service.namespace("/room-\\d+", { pattern: true });
  dynamic.onConnect = () => {};
  dynamic.on("where", (socket) => socket.target.namespace);
  dynamic.on("auth", (socket) => socket.auth);
  dynamic.on("shout", (socket, text) => socket.namespace.emit("shouted", text));
  dynamic.on("shout to all", (_socket, text) => dynamic.emit("shouted", text));

  const reported = service.namespace("/rooms"); // reports what happens to its rooms
  reported.on("join", (socket, room) => socket.join(room));
  reported.on("leave", (socket, room) => socket.leave(room));
  reported.onRoom = (socket, change, room) => socket.emit("room", change, room);

  const custom = service.namespace("/custom"); // auth is of texts alone
  custom.onConnect = (socket) => refuse(socket.auth ?? {}, "code");
  custom.on("echo", echo);
  custom.on("handshake", handshake);

  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => service.drain());
  service.attached.then(() => console.log("attached"));
  return service.run();
}

const [command, room, event, ...texts] = process.argv.slice(2);
if (command === "emit") {
  emitOnce(room, event, texts.map((text) => JSON.parse(text))).catch((err) => {
    console.error(err.message);
    process.exitCode = 1;
  });
} else {
  serve();
}
