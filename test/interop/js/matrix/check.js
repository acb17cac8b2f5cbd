// SPDX-License-Identifier: Apache-2.0

// What Node and a page both need to run a list of features: waiting with an end, and comparing
// without caring how a client keeps bytes. Nothing here may be imported from elsewhere, since pages
// load it too.

// LIMIT is generous, since machines that run the matrix are busy.
const LIMIT = 15_000;

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// limited fails when a promise takes too long.
export async function limited(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come`)), LIMIT);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// until waits until a condition holds.
export async function until(what, condition) {
  for (const end = Date.now() + LIMIT; !(await condition()); await pause(10)) {
    if (Date.now() > end) throw new Error(`${what} did not come true`);
  }
}

export function check(holds, what) {
  if (!holds) throw new Error(what);
}

// equal compares what came with what was sent.
export function equal(got, want, what = "what came") {
  const [a, b] = [canonical(got), canonical(want)];
  check(a === b, `${what} is ${a.slice(0, 200)}, not ${b.slice(0, 200)}`);
}

// canonical writes a value as text, with the keys in order and the bytes as a list.
function canonical(value) {
  return JSON.stringify(plain(value)) ?? "undefined";
}

function plain(value) {
  if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
  if (ArrayBuffer.isView(value)) return { bytes: [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] };
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, plain(value[key])]));
}

// rows runs features one after the other. When the first one fails, the client does not connect,
// and the rest is not tried.
export async function rows(features, names, world, without = {}) {
  const results = [];
  let broken = "";
  for (const name of names) {
    const row = { feature: name, outcome: name in without ? "not offered" : "ok" };
    results.push(row);
    if (name in without) continue;
    try {
      if (broken) throw new Error(broken);
      await features[name](world);
    } catch (e) {
      row.outcome = "failed";
      row.why = String(e?.message ?? e);
      if (results.length === 1) broken = `it does not connect: ${row.why}`;
    } finally {
      world.closeAll();
    }
  }
  return results;
}
