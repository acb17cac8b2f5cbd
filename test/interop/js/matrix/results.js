// SPDX-License-Identifier: Apache-2.0

// What drivers in JavaScript share: the list of clients, a broker with handlers, and the results.

import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

export const TRANSPORTS = ["polling", "websocket", "upgrade"];

// clients lists those of a driver, each with the names of its features.
export function clients(driver) {
  const matrix = JSON.parse(readFileSync(new URL("../../matrix.json", import.meta.url)));
  return matrix.tables.flatMap((t) => t.clients.filter((c) => c.driver === driver).map((c) => ({ ...c, features: t.features })));
}

const control = process.env.TEST_CONTROL;

async function ask(method, path, body) {
  const response = await fetch(control + path, { method, body: body && JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
  return JSON.parse(text);
}

// Broker is one replica with a handler, reached over lines that can be cut.
export class Broker {
  static async start(flags = []) {
    const broker = new Broker();
    broker.path = `/clusters/${(await ask("POST", "/clusters", { replicas: 1, flags })).id}`;
    await ask("POST", `${broker.path}/handlers`, {});
    return broker;
  }

  async line() {
    const { name, url } = await ask("POST", `${this.path}/lines`, {});
    return { url, cut: () => ask("POST", `${this.path}/lines/${name}/cut`, {}) };
  }

  stop() {
    return ask("DELETE", this.path);
  }
}

// store writes the rows of one client on one transport.
export async function store(client, version, transport, rows) {
  const handler = process.env.TEST_HANDLER;
  const folder = process.env.RESULTS;
  await mkdir(folder, { recursive: true });
  const all = rows.map((r) => ({ client: client.id, version, transport, handler, ...r }));
  await writeFile(join(folder, `${client.id}-${transport}-${handler}.json`), JSON.stringify(all, undefined, 1));
}
