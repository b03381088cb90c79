package authn

import (
	"net/netip"
	"time"
)

// Call is what an external server is told of a request beside its headers.
type Call struct {
	// ID is the request's id; Time when it came.
	ID   string
	Time time.Time
	// Method to Protocol are the normalized request, Protocol as "HTTP/1.1".
	Method, Scheme, Host, Path, RawQuery, Protocol string
	// Source is the caller's address, Destination the gateway's.
	Source, Destination netip.AddrPort
	// Principal is the URI or name of the caller's verified certificate, and
	// ServerName the one that its TLS asked for.
	Principal, ServerName string
	// Length of the body as declared; -1 if it is unknown.
	Length int64
	// ReadBody returns the beginning of the body, of so many bytes at most,
	// and whether that is all of it.
	ReadBody func(most int64) (data []byte, whole bool, err error)
}
