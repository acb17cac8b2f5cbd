// SPDX-License-Identifier: Apache-2.0

// Package page is the page of all examples: two forms, of which one is answered to this browser and
// the other to everyone. The Flask example renders the same file as a template.
package page

import "embed"

// Files holds index.html.
//
//go:embed index.html
var Files embed.FS
