// SPDX-License-Identifier: Apache-2.0

// Runs the bundles that the broker serves through the features of matrix.json in a real browser,
// and writes what each could do into the folder RESULTS. The page comes from a server of its own,
// as the pages of most applications do, and loads the same list of features that the clients on
// Node run.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { Broker, clients, store, TRANSPORTS } from "../interop/js/matrix/results.js";
import { launch } from "./launch.js";

const modules = new URL("../interop/js/matrix/", import.meta.url);

// serve answers with the modules of the features, or with a page that loads the bundle that its
// query names.
async function serve(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const script = /^\/(check|features)\.js$/.exec(pathname);
  response.setHeader("Content-Type", script ? "text/javascript" : "text/html; charset=utf-8");
  response.end(
    script
      ? await readFile(new URL(script[1] + ".js", modules))
      : `<!doctype html><link rel="icon" href="data:,"><script src="${searchParams.get("bundle")}"></script>`,
  );
}

const server = createServer(serve);
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${server.address().port}`;
const broker = await Broker.start(["--allowed-origins", origin]);
const browser = await launch();

async function run(client, transport) {
  const line = await broker.line();
  const bundle = `${line.url}/socket.io/${client.bundle}`;
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.exposeFunction("cut", () => line.cut());
  await page.goto(`${origin}/?bundle=${encodeURIComponent(bundle)}`);
  const rows = await page.evaluate(
    async ({ client, transport, url }) => {
      const [{ rows }, { features, World }] = await Promise.all([import("/check.js"), import("/features.js")]);
      const world = new World({ io: window.io, url, transport, large: client.large, cut: window.cut });
      return rows(features, client.features, world, client.without);
    },
    { client, transport, url: line.url },
  );
  const text = await (await fetch(bundle)).text();
  await store(client, /Socket\.IO v([0-9.]+)/.exec(text)[1], transport, rows);
  await context.close();
}

try {
  await Promise.all(clients("browser").flatMap((client) => TRANSPORTS.map((transport) => run(client, transport))));
} finally {
  await browser.close();
  await broker.stop();
  server.close();
}
