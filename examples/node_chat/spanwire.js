// SPDX-License-Identifier: Apache-2.0

// A handler's side of the contract spanwire.v1, from its .proto files alone: enough for the chat
// beside it, and a place to begin for an SDK in another language. docs/protocol.md tells the rules
// that are kept here.
"use strict";

const { AsyncLocalStorage } = require("node:async_hooks");
const { randomUUID } = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const folder = path.join(__dirname, "..", "..", "api", "proto");
const { spanwire } = grpc.loadPackageDefinition(loader.loadSync(["spanwire/v1/handler.proto", "spanwire/v1/emitter.proto"], {
  includeDirs: [folder], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true,
}));

const LEAST_PAUSE = 100; // ms before the first attempt to attach again; each further one waits up to twice as long
const MOST_PAUSE = 5000;
const REMEMBERED = 10_000; // ids of messages, which come once over each replica
const ACK_TIMEOUT = 10_000; // ms
const FRAME_HEAD = 128; // bytes that a frame needs beside its actions, and more
const DRAIN_TIMEOUT = 25_000; // ms
const { INVALID_ARGUMENT } = grpc.status;

const serialize = spanwire.v1.HandlerService.service.Attach.requestSerialize;

// A token travels by TLS wherever that is asked for.
function credentials() {
  const { SPANWIRE_TLS: tls, SPANWIRE_TLS_CA: ca } = process.env;
  if (!ca && tls !== "true") return grpc.credentials.createInsecure();
  return grpc.credentials.createSsl(ca ? fs.readFileSync(ca) : null);
}

function metadataOf(token) {
  const metadata = new grpc.Metadata();
  if (token) metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

/** What a connect handler throws to refuse a socket. */
class Refusal extends Error {
  constructor(message, data) {
    super(message);
    this.data = data;
  }
}

/** What a handler returns to answer with several arguments, or with none that is an array. */
class Ack {
  constructor(...args) {
    this.args = args;
  }
}

// Binary arguments stand beside the JSON, and placeholders in it.
function pack(args) {
  const attachments = [];
  const strip = (v) => {
    if (v instanceof Uint8Array) return { _placeholder: true, num: attachments.push(Buffer.from(v)) - 1 };
    if (Array.isArray(v)) return v.map(strip);
    if (v === null || typeof v !== "object" || typeof v.toJSON === "function") return v;
    return Object.fromEntries(Object.entries(v).map(([key, value]) => [key, strip(value)]));
  };
  return { args: Buffer.from(JSON.stringify(args.map(strip))), attachments };
}

function unpack({ args, attachments }) {
  if (args.length === 0) return [];
  return JSON.parse(args.toString(), (_key, v) => (v?._placeholder === true ? attachments[v.num] : v));
}

const value = (bytes) => (bytes?.length > 0 ? JSON.parse(bytes.toString()) : undefined);

/** Service is one instance, attached to all replicas. */
class Service {
  constructor(name, options = {}) {
    this.name = name;
    this.id = `${name}-${randomUUID()}`; // kept across streams, so that a broker knows who comes back
    this.addresses = (options.address ?? process.env.SPANWIRE_ADDRESS ?? "127.0.0.1:50051").split(",");
    this.token = options.token ?? process.env.SPANWIRE_TOKEN;
    this.oneReplica = options.oneReplica ?? false;
    this.namespaces = [];
    this.links = new Map(); // by address
    this.sockets = new Map(); // by id
    this.turns = new Map(); // the last dispatch of each socket that has one at work, by the socket's id
    this.messages = new Set(); // ids
    this.replicas = new Set(); // ids, of the latest topology
    this.running = new AsyncLocalStorage(); // the link of the dispatch that a handler works on
    this.leaving = false;
    this.attached = new Promise((resolve) => (this.wasAttached = resolve));
  }

  namespace(name = "/", options = {}) {
    const n = new Namespace(this, name, options.pattern ?? false);
    this.namespaces.push(n);
    return n;
  }

  /** Attaches, and stays until drain. Fails when a broker says that the registration makes no sense. */
  async run() {
    for (const address of this.addresses) this.link(address.trim());
    await new Promise((resolve, reject) => Object.assign(this, { left: resolve, failed: reject }));
  }

  /** Takes nothing new, finishes what is open, and leaves; what is not finished in time is given to others. */
  drain() {
    this.leaving = true;
    for (const link of [...this.links.values()]) link.leave();
    if (this.links.size === 0) this.left();
    setTimeout(() => { for (const link of this.links.values()) link.stream.cancel(); }, DRAIN_TIMEOUT).unref();
  }

  link(address) {
    if (!this.links.has(address)) this.links.set(address, new Link(this, address));
  }

  // Each replica names the others. One that a link leads to already, at whatever address, needs
  // no second.
  learn(topology) {
    if (this.oneReplica) return;
    this.replicas = new Set((topology?.replicas ?? []).map((r) => r.id));
    const known = new Set([...this.links.values()].map((link) => link.replica));
    for (const { id, address } of topology?.replicas ?? []) if (address !== "" && !known.has(id)) this.link(address);
  }

  // A command of a handler goes where its dispatch came from, so that it takes effect before the
  // ack; any other goes to any broker.
  anyLink() {
    const mine = this.running.getStore();
    if (mine?.ready) return mine;
    const ready = [...this.links.values()].filter((link) => link.ready);
    const link = ready.find((l) => !l.draining) ?? ready[0];
    if (!link) throw new Error("no broker is attached");
    return link;
  }

  // One socket's dispatches run one after another, and different sockets' side by side. One that
  // comes again is handled again: what its handler commanded may have been lost with the stream,
  // not its result alone.
  take(link, dispatch) {
    if (dispatch.kind === "message" && this.seen(dispatch.id)) return link.act({ result: { dispatch_id: dispatch.id } });
    const socket = this.meet(link, dispatch);
    const { stream } = link;
    const key = dispatch.socket_id || dispatch.id; // a message has no socket, and waits for nothing
    // Turns outlive the stream: what comes again waits until the handler that was at work when the
    // stream broke has ended.
    const result = (this.turns.get(key) ?? Promise.resolve()).then(() => {
      if (link.stream !== stream || !link.ready) return null; // it was given to another meanwhile
      return this.running.run(link, () => this.handle(socket, dispatch));
    });
    this.turns.set(key, result);
    if (dispatch.kind === "disconnected") this.forget(socket);
    result.then((r) => {
      if (this.turns.get(key) === result) this.turns.delete(key);
      if (r?.refusal) this.forget(socket); // only connects are refused
      if (r && link.stream === stream) link.act({ result: r });
    });
  }

  // Messages come once over each replica, with the same id.
  seen(id) {
    if (this.messages.has(id)) return true;
    this.messages.add(id);
    if (this.messages.size > REMEMBERED) this.messages.delete(this.messages.values().next().value);
    return false;
  }

  // An introduction that comes again replaces what was known: the socket was with another instance
  // meanwhile.
  meet(link, dispatch) {
    if (dispatch.kind === "message") return null;
    let socket = this.sockets.get(dispatch.socket_id);
    if (!socket) {
      socket = new Socket(this, dispatch.socket_id, dispatch.namespace || "/");
      this.sockets.set(dispatch.socket_id, socket);
    }
    socket.link = link;
    if (dispatch.introduction) socket.introduce(dispatch.introduction);
    return socket;
  }

  // The socket went to another instance, and is introduced again should it come back.
  release(link, id) {
    const socket = this.sockets.get(id);
    if (socket?.link === link) this.forget(socket);
  }

  forget(socket) {
    if (this.sockets.get(socket.id) === socket) this.sockets.delete(socket.id);
  }

  async handle(socket, dispatch) {
    const result = { dispatch_id: dispatch.id };
    try {
      const answer = await this.call(socket, dispatch);
      result.ack = pack(answer instanceof Ack ? answer.args : answer === undefined ? [] : [answer]);
    } catch (err) {
      if (err instanceof Refusal && dispatch.kind === "connect") {
        result.refusal = { message: err.message, data: err.data === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(err.data)) };
      } else {
        console.error(err);
        result.failure = { message: String(err) };
      }
    }
    return result;
  }

  async call(socket, d) {
    const all = this.namespaces.filter((n) => n.covers(d.namespace || "/"));
    const first = (pick) => all.map(pick).find((f) => f);
    switch (d.kind) {
      case "connect": return void (await first((n) => n.onConnect)?.(socket, d.connect.recovered));
      case "event": return first((n) => n.events.get(d.event.name))?.(socket, ...unpack(d.event));
      case "disconnected": return void (await first((n) => n.onDisconnect)?.(socket, d.disconnected.reason));
      case "room_event": return void (await first((n) => n.onRoom)?.(socket, d.room_event.change.replace("ROOM_CHANGE_", "").toLowerCase(), d.room_event.room));
      case "message": return first((n) => n.messages.get(d.message.event.name))?.(...unpack(d.message.event));
    }
  }
}

/** Target chooses sockets, and says what becomes of them. It is never changed: its methods give another. */
class Target {
  constructor(service, target, flags = {}) {
    Object.assign(this, { service, target, flags });
  }

  with(target, flags) { return new Target(this.service, { ...this.target, ...target }, { ...this.flags, ...flags }); }
  to(...rooms) { return this.with({ rooms: [...(this.target.rooms ?? []), ...rooms] }); }
  except(...rooms) { return this.with({ except: [...(this.target.except ?? []), ...rooms] }); }
  get volatile() { return this.with({}, { volatile: true }); }

  emit(name, ...args) { this.tell({ emit: { target: this.target, event: { name, ...pack(args) }, ...this.flags } }); }
  join(...rooms) { this.tell({ join: { target: this.target, rooms } }); }
  leave(...rooms) { this.tell({ leave: { target: this.target, rooms } }); }
  disconnect(closeSession = false) { this.tell({ disconnect: { target: this.target, close_session: closeSession } }); }

  /** Gives the arguments of each ack that came, and how many are missing. */
  async ask(name, args, timeout = ACK_TIMEOUT) {
    const emit = { target: this.target, event: { name, ...pack(args) }, want_acks: true, ack_timeout_ms: timeout };
    const { acks, missing } = await this.service.anyLink().ask({ emit });
    return { answers: acks.map(({ ack }) => unpack(ack)), missing };
  }

  async fetchSockets() {
    const { found } = await this.service.anyLink().ask({ fetch_sockets: { target: this.target } });
    return found.map((s) => ({ id: s.socket_id, rooms: s.rooms, data: value(s.data) ?? null, address: s.handshake.address }));
  }

  tell(command) { this.service.anyLink().act({ command }); }
}

/** Namespace holds handlers. It is also the target of all its sockets. */
class Namespace extends Target {
  constructor(service, name, pattern) {
    super(service, { namespace: name, pattern });
    Object.assign(this, { name, pattern, events: new Map(), messages: new Map() });
    this.matches = pattern ? new RegExp(`^(?:${name})$`) : null;
  }

  on(event, handler) { this.events.set(event, handler); }
  onMessage(name, handler) { this.messages.set(name, handler); }
  covers(name) { return this.pattern ? this.matches.test(name) : this.name === name; }

  async rooms() {
    const { rooms } = await this.service.anyLink().ask({ list_rooms: { namespace: this.name } });
    return rooms.map((r) => r.name);
  }

  async serverSideAsk(name, ...args) {
    const server_side_emit = { namespace: this.name, event: { name, ...pack(args) }, want_acks: true };
    const { instance_acks, missing } = await this.service.anyLink().ask({ server_side_emit });
    return { answers: instance_acks.map(({ ack }) => unpack(ack)), missing };
  }

  get registration() {
    return {
      namespace: this.name, pattern: this.pattern, events: [...this.events.keys()], messages: [...this.messages.keys()],
      connect: !!this.onConnect, disconnect: true, room_events: !!this.onRoom, // a socket is forgotten with its disconnect
    };
  }
}

/** Socket is one client in one namespace, and the target that is this client alone. */
class Socket extends Target {
  constructor(service, id, namespace) {
    super(service, { namespace, rooms: [id] });
    this.id = id;
  }

  get namespace() { return new Target(this.service, { namespace: this.target.namespace }); }

  introduce({ handshake, data, data_version }) {
    Object.assign(this, { handshake, auth: value(handshake.auth) ?? null, data: value(data), version: data_version });
  }

  /** Keeps data with the socket, unless another handler has kept something meanwhile. */
  async setData(data) {
    const set_data = { namespace: this.target.namespace, socket_id: this.id, data: Buffer.from(JSON.stringify(data)), if_version: this.version };
    const { data_version } = await this.service.anyLink().ask({ set_data });
    Object.assign(this, { data, version: data_version });
  }

  async rooms() { return (await this.fetchSockets())[0]?.rooms ?? []; }
}

/** Link is the wish to be attached to one address, kept until the service leaves. */
class Link {
  constructor(service, address) {
    Object.assign(this, { service, address, attempts: 0, ready: false, draining: false });
    this.attach();
  }

  attach() {
    const { service } = this;
    this.client = new spanwire.v1.HandlerService(this.address, credentials(), {
      "grpc.max_receive_message_length": -1, "grpc.keepalive_time_ms": 10_000, "grpc.keepalive_timeout_ms": 5000,
    });
    // Sequences begin at 1 with each stream; what was queued for the old one is lost with it.
    Object.assign(this, { sent: 0, theyAnswered: 0, received: 0, weAnswered: 0, queue: [], asked: new Map(), ids: 0, timer: null });
    this.stream = this.client.attach(metadataOf(service.token));
    this.stream.on("data", (frame) => this[frame.frame]?.(frame[frame.frame])); // frames that are not known are skipped
    this.stream.on("error", (err) => { // "status" follows
      console.error(`${this.address}: ${err.message}`);
      if (err.code === INVALID_ARGUMENT && !this.ready) service.failed(err); // trying again would not help
    });
    // Each call ends with one status. Its "close" would never come: this side of the stream stays
    // open for writing.
    this.stream.on("status", () => this.ended());
    this.stream.write({ register: {
      protocol_version: 1, service: service.name, instance_id: service.id, sdk_name: "example-node", sdk_version: "1",
      registrations: service.namespaces.map((n) => n.registration),
    } });
  }

  ended() {
    const { service } = this;
    this.ready = this.draining = false;
    this.client.close();
    clearTimeout(this.timer);
    for (const { reject } of this.asked.values()) reject(new Error("the stream ended before the answer came"));
    for (const socket of service.sockets.values()) if (socket.link === this) service.forget(socket); // the next dispatch introduces them again
    if (service.leaving || this.isNotNeeded()) {
      service.links.delete(this.address);
      if (service.leaving && service.links.size === 0) service.left();
      return;
    }
    const most = Math.min(LEAST_PAUSE * 2 ** this.attempts++, MOST_PAUSE);
    setTimeout(() => (service.leaving ? this.ended() : this.attach()), most / 4 + Math.random() * most * 0.75);
  }

  // Another address leads to the same replica, whose broker keeps the newer stream only; or the
  // replica is gone for good.
  isNotNeeded() {
    const { service, replica } = this;
    if (!replica) return false;
    if ([...service.links.values()].some((other) => other !== this && other.ready && other.replica === replica)) return true;
    return !service.addresses.includes(this.address) && !service.replicas.has(replica);
  }

  leave() {
    if (this.ready) this.stream.write({ drain: {} });
    else this.stream.cancel();
  }

  // What the broker sends.

  welcome(w) {
    Object.assign(this, { ready: true, attempts: 0, replica: w.replica, window: w.frame_window, most: w.max_frame_bytes });
    this.service.wasAttached();
    this.service.learn(w.topology);
    if (this.service.leaving) this.leave();
  }

  topology(t) { this.service.learn(t); }
  drain() { this.draining = true; }
  fault(f) { console.error(`${this.address}: ${f.code}: ${f.message}`); }
  frame_ack(f) { this.answeredBy(f.answered); }

  batch(b) {
    this.answeredBy(b.answered);
    for (const a of b.answers) this.answer(a);
    for (const id of b.released) this.service.release(this, id);
    for (const d of b.dispatches) this.service.take(this, d);
    this.received = Number(b.sequence);
    this.later();
  }

  answer(a) {
    const waits = this.asked.get(a.id);
    if (!waits) return;
    waits.parts.push(a); // of a large answer, parts come before the last
    if (a.more) return;
    this.asked.delete(a.id);
    if (a.fault) return waits.reject(new Error(`${a.fault.code}: ${a.fault.message}`));
    for (const list of ["acks", "found", "rooms", "instance_acks"]) a[list] = waits.parts.flatMap((part) => part[list]);
    waits.resolve(a);
  }

  answeredBy(sequence) {
    this.theyAnswered = Math.max(this.theyAnswered, Number(sequence));
    this.flush();
  }

  // What the service sends. Frames are windowed: while two are unanswered the queue grows, so that
  // frames grow with the load.

  act(action) {
    if (!this.ready) return; // a result that is lost: the broker gives the dispatch again
    let bytes = serialize({ batch: { actions: [action] } }).length;
    if (bytes > this.most - FRAME_HEAD) {
      console.error(`${this.address}: ${bytes} bytes are more than a frame of ${this.most} holds; they were not sent`);
      if (!action.result) return void this.answer({ id: action.command.id, fault: { code: "FAULT_CODE_TOO_LARGE", message: "larger than a frame" } });
      action = { result: { dispatch_id: action.result.dispatch_id, failure: { message: "the answer is larger than a frame" } } };
      bytes = FRAME_HEAD;
    }
    this.queue.push({ action, bytes });
    if (this.queue.length === 1) setImmediate(() => this.flush()); // with all that this turn of the loop brings
  }

  ask(command) {
    const id = String(++this.ids);
    return new Promise((resolve, reject) => {
      this.asked.set(id, { resolve, reject, parts: [] });
      this.act({ command: { id, ...command } });
    });
  }

  flush() {
    while (this.ready && this.queue.length > 0 && this.sent - this.theyAnswered < this.window) {
      const batch = { sequence: ++this.sent, answered: this.received, actions: this.queue.splice(0, this.fitting()).map((q) => q.action) };
      this.weAnswered = this.received;
      this.stream.write({ batch });
    }
  }

  // How many of the queue fit into a frame.
  fitting() {
    let bytes = FRAME_HEAD;
    const n = this.queue.findIndex((q) => (bytes += q.bytes) > this.most);
    return n < 0 ? this.queue.length : Math.max(n, 1);
  }

  // A frame is answered by the next batch, or after a millisecond by a frame of its own when no
  // result is ready.
  later() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      if (!this.ready || this.weAnswered === this.received) return;
      this.weAnswered = this.received;
      this.stream.write({ frame_ack: { answered: this.received } });
    }, 1);
  }
}

/** Emits once, without being a handler. */
function emitOnce(room, name, args) {
  const client = new spanwire.v1.EmitterService(process.env.SPANWIRE_ADDRESS ?? "127.0.0.1:50051", credentials());
  const metadata = metadataOf(process.env.SPANWIRE_TOKEN);
  return new Promise((resolve, reject) => {
    client.emit({ emit: { target: { rooms: room ? [room] : [] }, event: { name, ...pack(args) } } }, metadata, (err, answer) => {
      client.close();
      return err ? reject(err) : resolve(answer);
    });
  });
}

module.exports = { Ack, Refusal, Service, emitOnce };
