// SPDX-License-Identifier: Apache-2.0

// Two real browser windows on the example page, as a reader of the README has them: one form echoes
// to its own page, the other reaches both, and closing a window is noticed on the application's
// console.

import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { launch } from "./launch.js";

const LIMIT = 30_000;
const control = process.env.TEST_CONTROL;
if (!control) throw new Error("run this through test/control: go run ./test/control -- node --test test/browser/*.test.js");

async function ask(method, path, body) {
  const response = await fetch(control + path, { method, body: body && JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
  return JSON.parse(text);
}

async function until(what, condition) {
  for (const end = Date.now() + LIMIT; !(await condition()); await pause(20)) {
    if (Date.now() > end) throw new Error(`${what} did not come true within ${LIMIT} ms`);
  }
}

let browser, pictures;
before(async () => {
  browser = await launch();
  pictures = await mkdtemp(join(tmpdir(), "spanwire-browser-"));
  console.log(`screenshots are in ${pictures}`);
});
after(() => browser?.close());

// Window is one browser window of a person of its own.
class Window {
  static async open(url, transport) {
    const w = new Window();
    w.context = await browser.newContext();
    w.page = await w.context.newPage();
    w.errors = [];
    w.sockets = 0;
    w.page.on("pageerror", (e) => w.errors.push(String(e)));
    w.page.on("websocket", () => w.sockets++);
    if (transport === "polling") await w.page.addInitScript(() => delete window.WebSocket);
    await w.page.goto(url);
    return w;
  }

  // lines gives what the page shows that it received.
  async lines() {
    return (await this.page.innerText("#log")).split("\n").map((l) => l.trim()).filter(Boolean);
  }

  shows(text) {
    return until(`the page shows ${JSON.stringify(text)}`, async () => (await this.lines()).some((l) => l.includes(text)));
  }

  async submit(form, text) {
    await this.page.fill(`form#${form} #${form}_data`, text);
    await this.page.click(`form#${form} :is(button, input[type=submit])`);
  }
}

for (const app of ["flask_chat", "go_chat", "node_chat"]) {
  for (const transport of ["websocket", "polling"]) {
    describe(`${app}, one replica, ${transport}`, () => {
      let cluster, replica;
      before(async () => {
        cluster = await ask("POST", "/clusters", { replicas: 0 });
        replica = await ask("POST", `/clusters/${cluster.id}/apps`, { app });
      });
      after(() => cluster && ask("DELETE", `/clusters/${cluster.id}`));

      test("two windows chat", async () => {
        await until("the page is there", async () => (await fetch(replica.url)).ok);
        const [one, two] = [await Window.open(replica.url, transport), await Window.open(replica.url, transport)];
        await chat(one, two, `${app}-${transport}`);
        if (transport === "websocket") await until("the upgrade", () => one.sockets > 0);
        else assert.equal(one.sockets, 0);
        const printed = async () => (await ask("GET", `/clusters/${cluster.id}/processes/${replica.name}`)).text;
        const disconnects = async () => (await printed()).split("Client disconnected").length - 1;
        const before = await disconnects();
        await two.context.close();
        await until("the console tells that a window was closed", async () => (await disconnects()) > before);
        await one.submit("broadcast", "anybody there?");
        await one.shows("anybody there?");
        assert.deepEqual(one.errors, []);
        await one.context.close();
      });
    });
  }
}

// chat has two windows say something to themselves and to each other.
async function chat(one, two, name) {
  await Promise.all([one.shows("Connected"), two.shows("Connected")]);
  await one.submit("emit", "only for me");
  await one.shows("only for me");
  await two.submit("broadcast", "for everybody <b>&amp;");
  await Promise.all([one.shows("for everybody <b>&amp;"), two.shows("for everybody <b>&amp;")]);
  await one.submit("broadcast", "ünïcödé 🎉");
  await Promise.all([one.shows("ünïcödé 🎉"), two.shows("ünïcödé 🎉")]);
  assert.ok(!(await two.lines()).some((l) => l.includes("only for me")), "the echo reached the other window");
  await one.page.screenshot({ path: join(pictures, `${name}.png`) });
}

test("the page shows time and kind, refuses empty messages and says when one waits", async () => {
  const cluster = await ask("POST", "/clusters", { replicas: 0 });
  try {
    const replica = await ask("POST", `/clusters/${cluster.id}/apps`, { app: "go_chat" });
    await until("the page is there", async () => (await fetch(replica.url)).ok);
    const [one, two] = [await Window.open(replica.url), await Window.open(replica.url)];
    await Promise.all([one.shows("Connected"), two.shows("Connected")]);
    const last = (w) => w.page.innerText("#log p:last-child");
    assert.match(await last(one), /^\d+:\d\d:\d\d.*Received: Connected.*server$/s);
    await one.submit("emit", "to me");
    await one.shows("to me");
    assert.match(await last(one), /echo$/);
    await one.submit("broadcast", "to all");
    await Promise.all([one.shows("to all"), two.shows("to all")]);
    for (const w of [one, two]) assert.match(await last(w), /broadcast$/);
    assert.match(await one.page.innerText("#hint"), /second window/);

    const before = (await one.lines()).length;
    await one.submit("emit", "  ");
    assert.match(await one.page.innerText("#note"), /Write a message first/);

    await one.page.evaluate(() => socket.io.engine.close());
    await one.submit("broadcast", "while away");
    assert.match(await one.page.innerText("#note"), /waits in this page/);
    await one.shows("while away");
    assert.equal(await one.page.innerText("#note"), "");
    assert.ok((await one.lines()).length > before);
    assert.deepEqual(one.errors, []);
    await Promise.all([one.context.close(), two.context.close()]);
  } finally {
    await ask("DELETE", `/clusters/${cluster.id}`);
  }
});

test("polyglot: one namespace, a Python and a Go service", async () => {
  const cluster = await ask("POST", "/clusters", { replicas: 0 });
  try {
    const replica = await ask("POST", `/clusters/${cluster.id}/apps`, { app: "polyglot" });
    await until("the page is there", async () => (await fetch(replica.url)).ok);
    // Two services attach one after the other: both are there once both are counted.
    await until("both services", async () => (await (await fetch(`${replica.operators}/status`)).json()).services?.length === 2);
    const one = await Window.open(replica.url);
    await one.shows("Connected");
    await one.submit("emit", "Hello");
    await one.shows("python: HELLO");
    await one.submit("broadcast", "Hello");
    await one.shows("go: olleH");
    assert.deepEqual(one.errors, []);
    await one.context.close();
  } finally {
    await ask("DELETE", `/clusters/${cluster.id}`);
  }
});

describe("flask_chat, two replicas", () => {
  for (const transport of ["websocket", "polling"]) {
    test(`two windows chat across, ${transport}`, async () => {
      const cluster = await ask("POST", "/clusters", { replicas: 0 });
      try {
        const nats = await ask("POST", `/clusters/${cluster.id}/address`, {});
        const first = await ask("POST", `/clusters/${cluster.id}/apps`, {
          app: "flask_chat",
          flags: ["--nats-listen", nats.address],
        });
        const second = await ask("POST", `/clusters/${cluster.id}/apps`, {
          app: "flask_chat",
          flags: ["--nats-url", `nats://${nats.address}`],
        });
        for (const r of [first, second]) {
          await until("the page is there", async () => (await fetch(r.url)).ok);
          await until("the replicas know each other", async () =>
            /^spanwire_mesh_peers 1$/m.test(await (await fetch(`${r.operators}/metrics`)).text()),
          );
        }
        const [one, two] = [await Window.open(first.url, transport), await Window.open(second.url, transport)];
        await chat(one, two, `two-replicas-${transport}`);
        assert.deepEqual([one.errors, two.errors], [[], []]);
        await Promise.all([one.context.close(), two.context.close()]);
      } finally {
        await ask("DELETE", `/clusters/${cluster.id}`);
      }
    });
  }
});
