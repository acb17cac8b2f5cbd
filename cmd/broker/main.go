// SPDX-License-Identifier: Apache-2.0

// Command broker is the Spanwire broker: `broker help` tells how it is used.
package main

import (
	"os"

	"github.com/spanwire/spanwire/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }
