// SPDX-License-Identifier: Apache-2.0

// What the suites in JavaScript share: clusters from test/control, clients, and waiting with an
// end. There are no pauses here: every wait is for a condition, and fails when it does not come
// true in time.

import { setTimeout as pause } from "node:timers/promises";
import { io } from "socket.io-client";

// LIMIT is generous, since machines that run suites are busy.
export const LIMIT = 20_000;

const control = process.env.TEST_CONTROL;

async function ask(method, path, body) {
  const response = await fetch(control + path, { method, body: body && JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
  return JSON.parse(text);
}

// Cluster is one or more replicas, with handlers.
export class Cluster {
  // start starts replicas, and one handler at the first of them unless a test says otherwise.
  static async start({ replicas = 1, handlers = [{}], flags = [] } = {}) {
    if (!control) throw new Error("run this through test/control: go run ./test/control -- node --test test/interop/js/*.test.js");
    const cluster = new Cluster();
    Object.assign(cluster, await ask("POST", "/clusters", { replicas, flags }), { clients: [] });
    cluster.handlers = [];
    for (const h of handlers) await cluster.handler(h);
    return cluster;
  }

  async stop() {
    this.clients.forEach((c) => c.disconnect());
    await ask("DELETE", `/clusters/${this.id}`);
  }

  // handler starts a handler and gives its name once it is attached.
  async handler({ replica = 0, env = [] } = {}) {
    const { name } = await ask("POST", `/clusters/${this.id}/handlers`, { replica, env });
    this.handlers.push(name);
    return name;
  }

  end(name, signal = "kill") {
    return ask("DELETE", `/clusters/${this.id}/processes/${name}`, { signal });
  }

  async printed(name) {
    return (await ask("GET", `/clusters/${this.id}/processes/${name}`)).text;
  }

  async pid(name) {
    return (await ask("GET", `/clusters/${this.id}/processes/${name}`)).pid;
  }

  // cli runs `broker ARGS`; emitter runs a script with the SDK of the handlers.
  cli(args, replica = 0) {
    return ask("POST", `/clusters/${this.id}/cli`, { replica, args });
  }

  emitter(args, replica = 0) {
    return ask("POST", `/clusters/${this.id}/emitter`, { replica, args });
  }

  // balancer gives the address of a balancer that gives each request, or each connection, to the
  // next replica.
  async balancer(by) {
    return (await ask("POST", `/clusters/${this.id}/balancers`, { by })).url;
  }

  // metric sums the samples of a metric of a replica.
  async metric(name, labels = "", replica = 0) {
    const text = await (await fetch(`${this.replicas[replica].operators}/metrics`)).text();
    return text
      .split("\n")
      .filter((l) => (l.startsWith(name + " ") || l.startsWith(name + "{")) && l.includes(labels))
      .reduce((sum, l) => sum + Number(l.slice(l.lastIndexOf(" "))), 0);
  }

  // client makes a client, not connected yet unless `autoConnect` says so.
  client(options = {}, { replica = 0, namespace = "", url = this.replicas[replica].url } = {}) {
    const socket = io(url + namespace, {
      autoConnect: false,
      forceNew: true,
      reconnectionDelay: 50,
      reconnectionDelayMax: 200,
      ...options,
    });
    socket.seen = new Seen(socket);
    this.clients.push(socket);
    return socket;
  }

  // connected makes a client and waits until it is connected.
  async connected(options, where) {
    const socket = this.client(options, where);
    await connect(socket);
    return socket;
  }
}

// connect connects a client and waits.
export async function connect(socket) {
  const done = once(socket, "connect");
  const refused = new Promise((_, reject) => socket.once("connect_error", reject));
  socket.connect();
  await Promise.race([done, refused]);
  refused.catch(() => {});
}

// once waits for one event and gives its arguments.
export function once(socket, event) {
  return limited(new Promise((resolve) => socket.once(event, (...args) => resolve(args))), `"${event}"`);
}

// ack emits and waits for the ack's arguments.
export function ack(socket, event, ...args) {
  return limited(new Promise((resolve) => socket.emit(event, ...args, (...answer) => resolve(answer))), `the ack of "${event}"`);
}

// limited fails when a promise takes too long.
export async function limited(promise, what) {
  const stop = new AbortController();
  try {
    return await Promise.race([
      promise,
      pause(LIMIT, undefined, { signal: stop.signal }).then(() => {
        throw new Error(`${what} did not come within ${LIMIT} ms`);
      }),
    ]);
  } finally {
    stop.abort();
  }
}

// until waits until a condition holds.
export async function until(what, condition) {
  for (const end = Date.now() + LIMIT; ; await pause(10)) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what} did not come true within ${LIMIT} ms`);
  }
}

// Seen keeps every event of a client, so that none is missed between two waits.
class Seen {
  constructor(socket) {
    this.events = [];
    socket.onAny((name, ...args) => this.events.push({ name, args }));
    socket.on("disconnect", (reason) => this.events.push({ name: "disconnect", args: [reason] }));
  }

  all(name) {
    return this.events.filter((e) => e.name === name).map((e) => e.args);
  }

  // first waits for the n-th event of a name.
  async first(name, n = 1) {
    await until(`event "${name}" number ${n}`, () => this.all(name).length >= n);
    return this.all(name)[n - 1];
  }
}
