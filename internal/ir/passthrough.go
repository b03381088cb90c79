package ir

// Passthrough carries the connections of a listener to upstreams with their
// TLS unread: nothing but the server name that the client asks for is looked
// at. A connection that asks for none, or for one that no route has, is closed.
type Passthrough struct {
	// Routes, found by server name. No name stands in two of them.
	Routes []*SNIRoute `json:"routes,omitempty"`
	// Policies decide whether a connection is carried: steps with
	// Authorization. They see addresses and the server name; what is of a
	// request or of a certificate is missing.
	Policies []Step `json:"policies,omitempty"`
	Origin   Origin `json:"origin,omitzero"`
}

// SNIRoute says where connections for some server names go. What the backends'
// upstreams say of TLS, credentials and requests has no effect: their endpoints
// get the client's bytes as they are. Steps of backends are not run.
type SNIRoute struct {
	// Name is for people and logs: "VirtualService apps/web/tls[0]".
	Name string `json:"name"`
	// ServerNames are exact, "*.suffix" or "*", in lower case. The most
	// specific one of a listener that fits is taken.
	ServerNames []string `json:"serverNames"`
	Forward     Forward  `json:"forward"`
	// Closed closes the connections.
	Closed *Closed `json:"closed,omitempty"`
	Origin Origin  `json:"origin,omitzero"`
}

// Secure reports whether clients of l speak TLS, ended here or not.
func (l *Listener) Secure() bool { return l.TLS != nil || l.Passthrough != nil }
