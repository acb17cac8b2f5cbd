// SPDX-License-Identifier: Apache-2.0

// Runs all JavaScript clients of matrix.json on Node, and writes what each could do into the folder
// RESULTS. An argument picks one client.

import { createRequire } from "node:module";
import { rows } from "./check.js";
import { EngineWorld, engineFeatures } from "./engine.js";
import { features, World } from "./features.js";
import { Broker, clients, store, TRANSPORTS } from "./results.js";

// TOGETHER is how many clients run at a time: they mostly wait.
const TOGETHER = 4;

const require = createRequire(import.meta.url);
// Each package holds its own version of what it needs; package.json of some is not exported, so it
// is read by its path.
const version = (name) => require(require.resolve.paths(name)[1].concat(`/${name}/package.json`)).version;

const broker = await Broker.start();
// Clients of Engine.IO alone see every packet, also broadcasts of others.
const quiet = await Broker.start();

async function run(client, transport) {
  const library = require(client.package);
  const engine = client.id.startsWith("engine");
  const line = await (engine ? quiet : broker).line();
  const { revision, large } = client;
  if (engine) {
    // Up to revision 3 the package is the function that makes a socket.
    const Socket = library.Socket;
    const world = new EngineWorld({ Socket, url: line.url, transport, revision });
    await store(client, version(client.package), transport, await rows(engineFeatures, client.features, world, client.without));
    return;
  }
  const options = client.parser ? { parser: require(client.parser) } : {};
  const bytes = (list) => Buffer.from(list);
  const world = new World({ io: library, url: line.url, transport, revision, options, large, bytes, cut: line.cut });
  await store(client, version(client.package), transport, await rows(features, client.features, world, client.without));
}

const jobs = clients("js")
  .filter((c) => !process.argv[2] || c.id === process.argv[2])
  .flatMap((client) => TRANSPORTS.map((transport) => () => run(client, transport)));
try {
  await Promise.all(
    Array.from({ length: TOGETHER }, async () => {
      for (let job = jobs.shift(); job; job = jobs.shift()) await job();
    }),
  );
} finally {
  await broker.stop();
  await quiet.stop();
}
process.exit(); // some old clients keep timers
