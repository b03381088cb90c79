//go:build unix

package forward

import (
	"errors"
	"syscall"
)

// awaitReadable returns when there is something to be read, or when that can no
// longer be. An error of the connection is returned, for the kernel tells it
// once: after a reset, the next read would see an end.
func awaitReadable(raw syscall.RawConn) error {
	var b [1]byte
	var err error
	waited := false
	rerr := raw.Read(func(fd uintptr) bool {
		if waited {
			return true
		}
		waited = true
		for {
			_, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if err != syscall.EINTR {
				break
			}
		}
		if err == syscall.EAGAIN || err == syscall.EWOULDBLOCK {
			err = nil
			return false
		}
		return true
	})
	return errors.Join(err, rerr)
}

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
