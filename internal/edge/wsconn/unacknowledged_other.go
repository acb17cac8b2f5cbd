// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package wsconn

import "net"

// unacknowledged is how many bytes the system has taken and the peer has not: other systems do not
// tell.
func (c *Conn) unacknowledged() int { return 0 }

// Unacknowledged is 0 for every connection here.
func Unacknowledged(net.Conn) int { return 0 }
