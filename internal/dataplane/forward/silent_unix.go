//go:build unix

package forward

import "syscall"

// silent reports whether a connection is open and has nothing to be read.
func silent(raw syscall.RawConn) bool {
	var b [1]byte
	var err error
	rerr := raw.Read(func(fd uintptr) bool {
		_, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return rerr == nil && (err == syscall.EAGAIN || err == syscall.EWOULDBLOCK)
}
