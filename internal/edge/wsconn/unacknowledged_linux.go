// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unacknowledged is how many bytes the system has taken and the peer has not, or 0 where that cannot be told.
func (c *Conn) unacknowledged() (bytes int) {
	raw := c.raw
	if raw == nil {
		sock := c.sock
		if wrapped, ok := sock.(interface{ NetConn() net.Conn }); ok { // TLS
			sock = wrapped.NetConn()
		}
		s, ok := sock.(syscall.Conn)
		if !ok {
			return 0
		}
		var err error
		if raw, err = s.SyscallConn(); err != nil {
			return 0
		}
	}
	_ = raw.Control(func(fd uintptr) { bytes, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }) // a socket that is closed has nothing
	return bytes
}
