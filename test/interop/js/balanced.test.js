// SPDX-License-Identifier: Apache-2.0

// Three replicas behind a balancer that knows nothing of sessions: every request, or every
// connection, goes to the next replica.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ack, Cluster, until } from "./world.js";

const REPLICAS = [0, 1, 2];
const MESSAGES = 300;
const WAYS = {
  "polling only": { transports: ["polling"], upgrade: false },
  "polling, then websocket": { transports: ["polling", "websocket"] },
  "websocket only": { transports: ["websocket"] },
};
const numbers = Array.from({ length: MESSAGES }, (_, i) => i);

for (const by of ["requests", "connections"]) {
  describe(`three replicas, balanced by ${by}`, () => {
    let cluster, url;
    before(async () => {
      cluster = await Cluster.start({ replicas: 3, flags: ["--trusted-proxies", "127.0.0.1"] });
      url = await cluster.balancer(by);
    });
    after(() => cluster.stop());
    const sum = async (name, labels) =>
      (await Promise.all(REPLICAS.map((r) => cluster.metric(name, labels, r)))).reduce((a, b) => a + b, 0);

    for (const [way, options] of Object.entries(WAYS)) {
      test(`${way}: every message arrives once, in order`, async () => {
        const clients = await settled(cluster, url, 3, options);
        const ids = clients.map((s) => s.io.engine.id);
        await Promise.all(
          clients.map(async (s) => {
            const answered = [];
            await Promise.all(
              numbers.map(async (i) => {
                s.emit("broadcast", { event: "tick", args: [i, Buffer.from([i % 256])], to: [s.id] });
                const [n] = await ack(s, "echo", i);
                answered.push(n);
                // Some of it in many small requests, the rest in few large ones.
                if (i % 10 === 0) assert.deepEqual(await ack(s, "echo", `${i}`), [`${i}`]);
              }),
            );
            assert.deepEqual(answered, numbers);
            await until("all ticks", () => s.seen.all("tick").length >= MESSAGES);
            for (const i of numbers.slice(0, 30)) assert.deepEqual(await ack(s, "echo", i), [i]); // one after the other
            assert.deepEqual(s.seen.all("tick"), numbers.map((i) => [i, Buffer.from([i % 256])]));
            assert.deepEqual(s.seen.all("disconnect"), []);
          }),
        );
        assert.deepEqual(clients.map((s) => s.io.engine.id), ids);
        clients.forEach((s) => s.disconnect());
      });
    }

    test("requests of all kinds were forwarded, and none in vain", async () => {
      assert.ok((await sum("spanwire_sessionproxy_requests_total", 'transport="polling"')) > 0);
      // An upgrade may come to its session's replica by chance, so there are as many as it takes.
      await until("an upgrade that was forwarded", async () => {
        const [s] = await settled(cluster, url, 1, WAYS["polling, then websocket"]);
        s.disconnect();
        return (await sum("spanwire_sessionproxy_requests_total", 'transport="websocket"')) > 0;
      });
      // What clients had under way when they left may fail.
      for (const reason of ["no_address", "unreachable", "wrong_replica", "too_many"]) {
        assert.equal(await sum("spanwire_sessionproxy_failures_total", `reason="${reason}"`), 0, reason);
      }
      await until("the end of all that is forwarded", async () => (await sum("spanwire_sessionproxy_open_requests")) === 0);
    });

    test("a page of another origin is refused wherever it comes", async () => {
      const s = await cluster.connected({ transports: ["polling"], upgrade: false }, { url });
      for (const _ of REPLICAS) {
        const answer = await fetch(`${url}/socket.io/?EIO=4&transport=polling&sid=${s.io.engine.id}`, {
          method: "POST",
          headers: { origin: "http://elsewhere.example" },
          body: "3",
        });
        assert.equal(answer.status, 403);
        assert.match((await answer.json()).message, /elsewhere\.example/);
      }
      assert.deepEqual(await ack(s, "echo", 1), [1]);
    });
  });
}

for (const signal of ["kill", "term"]) {
  for (const [way, options] of Object.entries(WAYS)) {
    test(`the end of a replica by ${signal}, ${way}: its clients come back through the others`, async (t) => {
      const cluster = await Cluster.start({ replicas: 3, flags: ["--drain-spread", "100ms", "--drain-timeout", "5s"] });
      t.after(() => cluster.stop());
      const url = await cluster.balancer("requests");
      const clients = await settled(cluster, url, 9, options);
      const owner = (s) => s.io.engine.id.slice(0, 6);
      // The last replica is ended: the first one is NATS to the others.
      const opened = await idOfLast(cluster, options);
      while (!clients.some((s) => owner(s) === opened)) clients.push(...(await settled(cluster, url, 3, options)));
      const victims = clients.filter((s) => owner(s) === opened);
      const others = clients.filter((s) => owner(s) !== opened);
      const ids = others.map((s) => s.io.engine.id);
      await cluster.end("replica-2", signal);
      await until("the clients of the dead one", () => victims.every((s) => s.connected && owner(s) !== opened));
      // A replica that is asked to end takes no polling session of another along.
      if (signal === "term" && options.upgrade === false) {
        for (const s of others) assert.deepEqual(await ack(s, "echo", 1), [1]);
        assert.deepEqual(others.map((s) => s.io.engine.id), ids);
      }
      for (const s of clients) {
        // What a client said while its connection broke is lost, and its ack with it.
        const answers = (i) => s.timeout(1000).emitWithAck("echo", i).then((n) => n === i, () => false);
        await until("an answer", async () => s.connected && (await answers(0)));
        for (let i = 1; i < 5; i++) assert.deepEqual(await ack(s, "echo", i), [i]);
      }
    });
  }
}

// settled makes clients and waits until each is on the transport where it will stay.
async function settled(cluster, url, n, options) {
  const clients = await Promise.all(Array.from({ length: n }, () => cluster.connected(options, { url })));
  const last = options.transports.at(-1);
  await until("the upgrades", () => clients.every((s) => s.io.engine.transport.name === last));
  return clients;
}

// idOfLast tells the id of the last replica, by a session that it opens.
async function idOfLast(cluster, options) {
  const s = await cluster.connected(options, { replica: 2 });
  const id = s.io.engine.id.slice(0, 6);
  s.disconnect();
  return id;
}
