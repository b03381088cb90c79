// Package dataplane serves requests. It owns the immutable Snapshot, the
// Exchange that gathers what happens to one request, and the answers that the
// gateway makes itself. What a stage does is in the packages below it and in
// authn and authz; which stages a route has, compile decides.
//
//	Handler.ServeHTTP
//	  normalize ► match ► Route.Stages… ► (the last one forwards)
//	                         │ *Answer ends the request
//	                         ▼
//	                      write, record
//
// Nothing here reads configuration: a snapshot is built before it serves, and
// is swapped as a whole.
package dataplane

import (
	"crypto/tls"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
)

// Snapshot is everything that serves requests at one time. It is immutable.
type Snapshot struct {
	Sockets []*Socket
	// Release lets go of what the snapshot held in keep; the gateway calls it
	// after the next snapshot has taken over.
	Release func()
}

// Socket is one address and port, and the listeners that share it.
type Socket struct {
	// Address is empty for the gateway's default address.
	Address string
	Port    int
	// TLS is nil for plain HTTP. It picks certificates and client rules by
	// SNI, and is asked again for each connection.
	TLS *tls.Config
	// Hosts finds the listener for a host; on a TLS socket the same finds it
	// for the SNI.
	Hosts     *match.Hosts[*Listener]
	Listeners []*Listener
	// Limits are the widest of the socket's listeners', for the server that
	// reads from it.
	Limits Limits
}

// Limits bound what is read from clients; every field is set.
type Limits struct {
	HeaderBytes    int
	Headers        int
	BodyBytes      int64
	HeadTimeout    time.Duration
	RequestTimeout time.Duration // 0: none
	IdleTimeout    time.Duration
	StreamIdle     time.Duration
	Streams        int
}

// Listener is one compiled ir.Listener.
type Listener struct {
	Name    string
	Gateway string
	// Port as configured, which redirects name; 0: unknown.
	Port   int
	Origin ir.Origin
	Hosts  *match.Hosts[*VirtualHost]
	Limits Limits
	// Stages run before a route is chosen.
	Stages []Stage
	// Otherwise takes what no route takes; nil: 404.
	Otherwise *Route
	// TrustedHops, Via, ServerName, ForwardedPort and KeepRequestID are as in
	// ir.HTTPSettings, defaults filled in.
	TrustedHops int
	// Paths says what is made of a request's path.
	Paths         ir.PathNormalization
	Via           string
	ServerName    string
	ForwardedPort bool
	KeepRequestID bool
	// Clients are the listener's rules for client certificates; nil: it has
	// none.
	Clients Clients
	// Closed answers every request.
	Closed *ir.Closed
}

// VirtualHost is the compiled routes of one host pattern.
type VirtualHost struct {
	Router *match.Router[*Route]
}

// Route is one compiled ir.Route. A request holds its route, not the
// snapshot, so that a reload cuts no stream.
type Route struct {
	Name   string
	Origin ir.Origin
	// Stages in their order; the last one answers.
	Stages []Stage
	// Guards marks, by index, those of Stages that ask who calls, what they
	// may and how much: a request that leaves the route by Rematch passes them
	// all the same.
	Guards []bool
	// Sanitize are headers that a step of the route may set: whatever a
	// client sends in them is removed before the first stage.
	Sanitize []string
	// Brought are headers in which a client may bring a credential of its own
	// for an upstream of the route: they are set aside before the first stage.
	Brought []string
	// Entry says what must hold before a body is read to choose the route.
	Entry Entry
	// Lists says that the route answers with Models, and that its stages do
	// not: where several such routes take a request, the answer is of all
	// whose stages let the caller pass.
	Lists  bool
	Models []Model
}

// Entry is what a route asks before the body of a request is read to tell it
// from others. The zero Entry asks nobody.
type Entry struct {
	// Proof is how many of the stages, from the first on, find out who calls;
	// Allowed how many, until it is settled what the caller may.
	Proof, Allowed int
	// Asks says that the route lets nobody pass unproven.
	Asks bool
	// Key is the same for routes whose first Proof stages do the same, so that
	// none need run twice; empty: they are like no other's.
	Key string
	// Forwards says that the route leads to an upstream.
	Forwards bool
}

// Model is a model as GET /v1/models shows it.
type Model struct {
	ID string
	// JSON is the whole element of the list.
	JSON string
}
