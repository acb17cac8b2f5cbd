// SPDX-License-Identifier: Apache-2.0
// Reads one case a line, {"frames":[{"text":"..."}|{"binary":"base64"}]}, and answers each with
// what the published parser makes of it.
const path = require("path");
const parser = require(path.join(__dirname, "../interop/js/node_modules/socket.io-parser"));

function visible(value, binary) {
  if (Buffer.isBuffer(value)) {
    binary.count++;
    return { $bytes: value.toString("base64") };
  }
  if (Array.isArray(value)) return value.map((v) => visible(v, binary));
  if (value && typeof value === "object") {
    const copy = Object.create(null);
    for (const key of Object.keys(value)) copy[key] = visible(value[key], binary);
    return copy;
  }
  return value;
}

function parse(frames) {
  const decoder = new parser.Decoder();
  const packets = [];
  decoder.on("decoded", (p) => packets.push(p));
  try {
    for (const f of frames) decoder.add(f.text !== undefined ? f.text : Buffer.from(f.binary, "base64"));
  } catch (e) {
    return { verdict: "refused", why: String(e.message) };
  }
  if (packets.length === 0 || decoder.reconstructor) return { verdict: "incomplete" };
  const p = packets[packets.length - 1];
  return { verdict: "accepted", type: p.type, nsp: p.nsp, id: p.id, data: visible(p.data, { count: 0 }) };
}

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => process.stdout.write(JSON.stringify(parse(JSON.parse(line).frames)) + "\n"));
