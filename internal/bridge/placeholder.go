// SPDX-License-Identifier: Apache-2.0

package bridge

import "github.com/spanwire/spanwire/internal/jsonscan"

// payload checks arguments and their attachments: the standard client closes its connection over a
// placeholder that names no attachment. Without attachments a placeholder is ordinary data. The
// arguments come without surrounding space.
func payload(args []byte, attachments [][]byte, depth int) ([]byte, error) {
	args, err := jsonArray(args, depth)
	if err != nil || len(attachments) == 0 || len(args) == 0 {
		return args, err
	}
	return scan(&jsonscan.Scanner{Data: args, Depth: depth, Placeholders: true, Attachments: len(attachments)})
}
