// Package simulate stands in for LLM providers: over real sockets, with real
// TLS, and with answers that never change. It serves the demo, Postern's own
// tests and the tests that users write for their policies.
//
//	socket ─► Server ─► journal ─► behavior ─► Provider ─► send
//	          by Host   what was   slow or     a pure      paced, cut
//	                    received   broken?     function    or whole
//
// A Provider only turns a request into an Answer. Everything about the wire
// (pacing a stream, breaking it, recording what arrived) is the Server's, so
// that each provider is one file and each fault works for all of them.
//
// What a gateway got wrong shows here: doubled Authorization headers, a wrong
// Host, a wrong content type and a case-variant JSON member are refused, and
// every request is kept in a record whose credentials are fingerprints.
//
// The package knows nothing of the gateway. Its keys, its certificate
// authority and the tokens that Mint makes are for development only.
package simulate
