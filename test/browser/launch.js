// SPDX-License-Identifier: Apache-2.0

// A headless Chromium for the suites of this folder.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

// find gives the browser's binary: CHROMIUM, or where Linux distributions put it.
function find() {
  const places = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  const found = places.find((p) => p && existsSync(p));
  if (!found) throw new Error("there is no Chromium; install it, or set CHROMIUM to its path");
  return found;
}

export function launch() {
  return chromium.launch({
    executablePath: find(),
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
