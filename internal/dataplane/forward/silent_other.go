//go:build !unix

package forward

import "syscall"

// awaitReadable cannot wait here; who reads next waits.
func awaitReadable(syscall.RawConn) error { return nil }

// silent cannot tell here; a dead connection shows when it is used.
func silent(syscall.RawConn) bool { return true }
