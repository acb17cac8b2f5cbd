// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unacknowledged is how many bytes the system has taken and the peer has not, or 0 where that
// is unknown.
func (c *Conn) unacknowledged() int {
	if c.raw != nil {
		return outstanding(c.raw)
	}
	return Unacknowledged(c.sock)
}

// Unacknowledged tells how many bytes the system has taken from sock, or from the connection under
// its TLS, and the peer has not. It is 0 where that is unknown.
func Unacknowledged(sock net.Conn) int {
	if wrapped, ok := sock.(interface{ NetConn() net.Conn }); ok { // TLS
		sock = wrapped.NetConn()
	}
	s, ok := sock.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0
	}
	return outstanding(raw)
}

func outstanding(raw syscall.RawConn) (bytes int) {
	// a socket that is closed has nothing
	_ = raw.Control(func(fd uintptr) { bytes, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return bytes
}
