// Package dialect says what a dialect is, and puts what the dialects say
// together.
//
//	resource.Set ─► Translator ─► Fragment per root ─► Merger ─► ir.Config
//	                  │  calls Dialect.Translate        │
//	                  └────────── status.Report ◄───────┘
//
// A dialect is a value: its kinds and pure functions. It reads through a
// View, answers with a Fragment, and knows neither the other dialects nor
// what is done with the fragment. What one resource does to another, a policy
// to a route, is an Attachment; Merger alone carries attachments out.
package dialect

import (
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Dialect is a configuration API family.
type Dialect struct {
	// Name as --dialects takes it: "gatewayapi".
	Name string
	// Kinds that the dialect reads, the core kinds apart.
	Kinds []resource.Kind
	// Roots lists the objects that are translated one by one. A root need not
	// exist: its translation may stand for a default.
	Roots func(v *resource.View) []resource.Key
	// Translate turns one root into its fragment. The fragment must not be
	// changed afterwards.
	Translate func(v *resource.View, root resource.Key) (*Fragment, status.Report)
	// Shared are translations that the dialect has in common with others, such
	// as that of Services to endpoints. Dialects of one name are one.
	Shared []Dialect
	// Status renders the statuses of the dialect's kinds, a pure function, too;
	// nil: they have none that is written.
	Status StatusFunc
}

// Fragment is what one root contributes.
type Fragment struct {
	Listeners []*Listener
	Hosts     []*VirtualHost
	SNIRoutes []*SNIRoute
	// Upstreams whose endpoints are Discovered have none here: Merger puts in
	// those of the EndpointList of that name, whoever brings it.
	Upstreams   []*ir.Upstream
	Endpoints   []*EndpointList
	Attachments []*Attachment
	// Referable are the things that routes of any dialect may refer to, also
	// where they attach nothing.
	Referable []Target
}

// EndpointList is what one place is served by at the moment, by name.
type EndpointList struct {
	Name      string
	Endpoints []ir.Endpoint
}

// Target is something that policies attach to: an object, or a named section
// of one (a listener of a Gateway, a rule of a route).
type Target struct {
	resource.GroupKind
	Namespace, Name string
	Section         string
}

// TargetOf returns the target that an object is as a whole.
func TargetOf(k resource.Key) Target {
	return Target{GroupKind: k.GroupKind, Namespace: k.Namespace, Name: k.Name}
}

// String returns "Kind namespace/name" with "/section" where there is one.
func (t Target) String() string {
	s := t.Kind + " " + t.Namespace + "/" + t.Name
	if t.Section != "" {
		s += "/" + t.Section
	}
	return s
}

// Listener is an ir.Listener with what Merger must know of it.
type Listener struct {
	ir.Listener
	// Targets that the listener stands for, narrowest first: its section,
	// its Gateway.
	Targets []Target
	// Addressing is what its Gateway asks for; the same for all its listeners.
	Addressing Addressing
	// Otherwise, if set, has the one route for what no route takes.
	Otherwise *VirtualHost
	// ClientCertificate, if set, is shown to the upstreams of its routes.
	ClientCertificate *ClientCertificate
	// Owner and Age decide when two objects want the same host and port.
	Owner resource.Key
	Age   time.Time
}

// VirtualHost offers routes for hostnames of listeners.
type VirtualHost struct {
	// Listeners by ir.Listener.Name.
	Listeners []string
	Hostnames []string
	// Exclusive says that no other owner may have the same hostname on the
	// same listener; otherwise the routes of all owners are put together.
	Exclusive bool
	// Family, if set, is the kind of routes that alone may serve a host on a
	// listener: of objects of two families the older one does, and the other
	// is refused there. The Gateway API asks that of HTTPRoute and GRPCRoute.
	Family string
	Routes []*Route
	// Targets that policies for the whole host attach to, narrowest first.
	Targets []Target
	Owner   resource.Key
	Age     time.Time
	Origin  ir.Origin
}

// SNIRoute is an ir.SNIRoute for listeners that pass TLS through.
type SNIRoute struct {
	ir.SNIRoute
	// Listeners by ir.Listener.Name.
	Listeners []string
	// Owner and Age decide when two objects want the same server name.
	Owner resource.Key
	Age   time.Time
}

// Route is an ir.Route with what Merger must know of it.
type Route struct {
	ir.Route
	// Targets that the route stands for, narrowest first: its rule, itself.
	Targets []Target
	// References to attachments that the route asks for by name. They rank
	// before all targets, in their order. One that does not exist closes the
	// route.
	References []Reference
	// Delegators are the rules through which the route is reached, outermost
	// first; none where it stands for itself. What is attached to them holds
	// for the route too, and comes first.
	Delegators []Delegator
	// Owner is the object that outcomes are reported for; Parent says for
	// which parent (Outcome.About).
	Owner  resource.Key
	Parent string
}

// Delegator is a rule that hands its requests to the rules of another object.
// Its policies hold for these, and in one slot the delegator's come before
// what is attached below it, references included: who hands out a prefix of
// his own says what guards it.
type Delegator struct {
	Targets    []Target
	References []Reference
	// Overrides names the slots in which what is attached below comes first
	// instead, by what follows the dialect's slash: "rbac" is "gloo/rbac", and
	// "jwt" also "gloo/jwt.afterExtAuth"; "*" is every slot.
	Overrides []string
	// Owner and Parent are for outcomes, as a Route's.
	Owner  resource.Key
	Parent string
}

// yields reports whether d lets what is attached below it come first.
func (d *Delegator) yields(slot string) bool {
	_, field, _ := strings.Cut(slot, "/")
	return slices.ContainsFunc(d.Overrides, func(name string) bool {
		return name == "*" || name == field || strings.HasPrefix(field, name+".")
	})
}

// Reference asks for what is attached to a Target.
type Reference struct {
	Target Target
	Origin ir.Origin
}

// Combine says what happens when several attachments meet in one slot.
type Combine int

// The ways to combine.
const (
	// First: the best ranked takes the slot, the others are shadowed.
	First Combine = iota
	// All: every one runs, best ranked first.
	All
)

// Attachment is a policy resource bound to a target.
//
// Different slots, and so different dialects, never override one another: all
// must pass. In one slot the narrowest target wins, unless it lies below a
// Delegator, then the smallest Rank, then age, then namespace and name.
type Attachment struct {
	Target  Target
	Slot    string // dialect and field: "gloo/jwt.afterExtAuth"
	Rank    []int
	Combine Combine
	Owner   resource.Key
	Age     time.Time
	// Steps are put on the routes; none: the slot is taken by nothing, which
	// is how a policy is switched off.
	Steps []ir.Step
	// Listener, if set, is put on the listeners that stand for Target, and on
	// no route: its fields that are not zero replace theirs, and its steps run
	// before a route is chosen.
	Listener *ir.HTTPSettings
	// ListenerTLS goes with Listener: its fields that are not zero replace
	// those of TLS listeners. One that asks for client certificates closes
	// listeners without TLS.
	ListenerTLS *ir.ServerTLS
	// Implied says that the attachment only keeps its slot empty, as a policy
	// does that replaces others as a whole: nobody is told what becomes of it.
	Implied bool
	// Closed is set where the policy could not be built. The attachment keeps
	// its slot, and the routes where it wins are closed.
	Closed *ir.Closed
	Origin ir.Origin
}
