// SPDX-License-Identifier: Apache-2.0

// What an Engine.IO client can do, one function for each feature of matrix.json. The broker speaks
// Socket.IO on top of it, so the messages here are packets of Socket.IO, written by hand, and the
// handler's echo is what comes back.

import { check, equal, limited, until } from "./check.js";

// EngineWorld makes Engine.IO clients of one version on one transport.
export class EngineWorld {
  constructor({ Socket, url, transport, revision = 4 }) {
    Object.assign(this, { Socket, url, transport, revision, sockets: [] });
  }

  // joined opens a session and joins the main namespace. Before revision 4 that went without
  // saying.
  async joined() {
    const transports = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] }[this.transport];
    const socket = new this.Socket(this.url, { path: "/socket.io/", transports });
    socket.binaryType = "arraybuffer";
    this.sockets.push(socket);
    socket.heard = [];
    socket.on("message", (data) => socket.heard.push(data));
    const opened = new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    await limited(opened, "the session");
    if (this.revision === 4) socket.send("0");
    const [answer] = await heard(socket, 1);
    check(this.revision === 4 ? answer.startsWith('0{"sid":"') : answer === "0", `the first message is ${answer}`);
    return socket;
  }

  closeAll() {
    for (const socket of this.sockets.splice(0)) socket.close();
  }
}

// heard takes the next messages.
async function heard(socket, count) {
  await until(`message ${count}`, () => socket.heard.length >= count);
  return socket.heard.splice(0, count);
}

export const engineFeatures = {
  async open(world) {
    const socket = await world.joined();
    const last = world.transport === "polling" ? "polling" : "websocket";
    await until(`the transport ${last}`, () => socket.transport.name === last);
    socket.send('20["echo",1]');
    equal(await heard(socket, 1), ["30[1]"]);
  },

  async message(world) {
    const socket = await world.joined();
    const numbers = Array.from({ length: 50 }, (_, i) => i);
    for (const i of numbers) socket.send(`2${i}["echo",${i}]`);
    equal(await heard(socket, 50), numbers.map((i) => `3${i}[${i}]`));
  },

  async "binary-message"(world) {
    const socket = await world.joined();
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const head = '0["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]';
    socket.send(`52-${head}`);
    socket.send(bytes.buffer);
    socket.send(Uint8Array.of(0).buffer);
    const [text, ...parts] = await heard(socket, 3);
    equal(text, `62-${head.replace('"echo",', "")}`);
    equal(parts, [bytes, Uint8Array.of(0)]);
  },

  async "unicode-message"(world) {
    const socket = await world.joined();
    const value = ["ünïcödé 漢字 🎉👩‍👩‍👧 \u2028 \u2029 \" \\ \n", { "ключ 🗝": "\ud7ff\ue000\u{10ffff}" }];
    socket.send(`27${JSON.stringify(["echo", ...value])}`);
    const [answer] = await heard(socket, 1);
    check(answer.startsWith("37["), `the answer is ${answer}`);
    equal(JSON.parse(answer.slice(2)), value);
  },

  async "large-message"(world) {
    const socket = await world.joined();
    const text = "0123456789".repeat(99_000);
    socket.send(`21["echo","${text}"]`);
    const [answer] = await heard(socket, 1);
    check(answer === `31["${text}"]`, `an answer of ${answer.length} characters came back`);
  },

  async close(world) {
    const [watcher, leaver] = [await world.joined(), await world.joined()];
    watcher.send('21["join","watchers"]');
    equal(await heard(watcher, 1), ["31[]"]);
    leaver.send('22["handshake"]');
    const [answer] = await heard(leaver, 1);
    const { id } = JSON.parse(answer.slice(2))[0];
    leaver.close();
    await until("the word of its leaving", () => watcher.heard.some((m) => m.includes(id)));
    equal(watcher.heard.find((m) => m.includes(id)), `2["left","${id}","transport close"]`);
  },
};
