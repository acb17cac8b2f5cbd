// SPDX-License-Identifier: Apache-2.0
// Reads one query a line, as a JSON text, and answers each with what Node makes of it: an object of
// lists.
const querystring = require("querystring");

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const parsed = querystring.parse(JSON.parse(line), "&", "=", { maxKeys: 0 });
    const lists = Object.fromEntries(Object.keys(parsed).map((key) => [key, [].concat(parsed[key])]));
    process.stdout.write(JSON.stringify(lists) + "\n");
  });
