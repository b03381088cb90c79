package dialect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// addListeners puts the listeners into the configuration, the older object
// first. The same hostname twice on one socket, and TLS beside plain text on
// one, refuse the later.
func (r *merge) addListeners(all []*Listener) {
	slices.SortStableFunc(all, func(a, b *Listener) int {
		return cmp.Or(a.Age.Compare(b.Age), a.Owner.Compare(b.Owner))
	})
	type socket struct {
		address string
		port    int
	}
	for _, l := range all {
		r.offered[l.Name] = l
	}
	taken := map[socket][]*Listener{}
	for _, l := range r.place(all) {
		var rival *Listener
		var why string
		addresses := l.Addresses
		if len(addresses) == 0 {
			addresses = []string{""}
		}
		for _, a := range addresses {
			for _, other := range taken[socket{a, l.Port}] {
				if w := conflict(l, other); w != "" {
					rival, why = other, w
				}
			}
		}
		if rival != nil {
			r.refuseListener(l, rival, why)
			continue
		}
		for _, a := range addresses {
			taken[socket{a, l.Port}] = append(taken[socket{a, l.Port}], l)
		}
		n := l.Listener
		n.HTTP, n.TLS = r.settings(l)
		if h := l.Otherwise; h != nil {
			n.Otherwise = r.route(h.Routes[0], h, l)
		}
		r.listeners[l.Name] = l
		r.config.Listeners = append(r.config.Listeners, &n)
	}
}

// conflict says why a cannot share a socket with b, or "".
func conflict(a, b *Listener) string {
	if a.Secure() != b.Secure() {
		return "ProtocolConflict"
	}
	if a.Hostname == b.Hostname {
		return "HostnameConflict"
	}
	return ""
}

func (r *merge) refuseListener(l, rival *Listener, why string) {
	hostname, remedy := "for every hostname", "give one of them another port or hostname"
	if l.Hostname != "" {
		hostname = fmt.Sprintf("for hostname %q", l.Hostname)
	}
	msg := fmt.Sprintf("port %d %s is taken by %v; this listener is not served", l.Port, hostname, rival.Owner)
	if why == "ProtocolConflict" {
		msg = fmt.Sprintf("port %d is taken by %v, and of the two one is TLS and one is not; this listener is not served", l.Port, rival.Owner)
		remedy = "give one of them another port"
	}
	r.report.Add(status.Errorf(l.Origin, "%s", msg).Fix("%s", remedy))
	r.refuse(l, Refusal{Condition: "Conflicted", Reason: why, Message: msg})
}

type hostKey struct{ listener, hostname string }

// hostClaim is one owner's offer for one hostname of one listener.
type hostClaim struct {
	host     *VirtualHost
	listener *Listener
}

// addHosts gives every listener its virtual hosts with merged routes.
func (r *merge) addHosts(all []*VirtualHost) {
	slices.SortStableFunc(all, func(a, b *VirtualHost) int {
		return cmp.Or(a.Age.Compare(b.Age), a.Owner.Compare(b.Owner))
	})
	r.separateFamilies(all)
	claims := map[hostKey][]hostClaim{}
	var order []hostKey // of claims: what overrides an attachment is told in that of the routes
	exclusive := map[hostKey]*VirtualHost{}
	for _, h := range all {
		for _, name := range h.Listeners {
			if r.refused[placed{h.Owner, name}] {
				continue
			}
			r.attach(name, h)
			l := r.listeners[name]
			if l == nil { // refused
				continue
			}
			for _, hostname := range h.Hostnames {
				k := hostKey{name, hostname}
				if rival := exclusiveRival(claims[k], exclusive[k], h); rival != nil {
					r.refuseHost(h, rival, hostname)
					continue
				}
				if h.Exclusive {
					exclusive[k] = h
				}
				if claims[k] == nil {
					order = append(order, k)
				}
				claims[k] = append(claims[k], hostClaim{h, l})
			}
		}
	}
	byListener := map[string][]*ir.VirtualHost{}
	for _, k := range order {
		list := claims[k]
		vh := &ir.VirtualHost{Hostname: k.hostname, Origin: list[0].host.Origin}
		for _, c := range list {
			for _, rt := range c.host.Routes {
				vh.Routes = append(vh.Routes, r.route(rt, c.host, c.listener))
			}
		}
		byListener[k.listener] = append(byListener[k.listener], vh)
	}
	for _, l := range r.config.Listeners {
		l.Hosts = byListener[l.Name]
		slices.SortFunc(l.Hosts, func(a, b *ir.VirtualHost) int { return cmp.Compare(a.Hostname, b.Hostname) })
	}
}

// attach counts the owner of h, once, among the routes of a listener, also of
// one that is not served: whose fault that is, its routes are attached.
func (r *merge) attach(listener string, h *VirtualHost) {
	if r.owners[listener] == nil {
		r.owners[listener] = map[resource.Key]bool{}
	}
	if r.owners[listener][h.Owner] {
		return
	}
	r.owners[listener][h.Owner] = true
	if r.report.Attached == nil {
		r.report.Attached = map[string]int{}
	}
	r.report.Attached[listener]++
}

// exclusiveRival returns who keeps h from a hostname, if anyone. An exclusive
// claim that is there already shares the hostname with its own owner's alone,
// so that the many claims of others need not be looked at.
func exclusiveRival(there []hostClaim, exclusive, h *VirtualHost) *VirtualHost {
	if exclusive != nil && exclusive.Owner != h.Owner {
		return exclusive
	}
	if !h.Exclusive {
		return nil
	}
	for _, c := range there {
		if c.host.Owner != h.Owner {
			return c.host
		}
	}
	return nil
}

func (r *merge) refuseHost(h, rival *VirtualHost, hostname string) {
	msg := fmt.Sprintf("host %q is taken by %v", hostname, rival.Owner)
	r.report.Add(status.Errorf(h.Origin, "%s", msg).Fix("a host belongs to one %s on a listener; give it another host, or join the two", h.Owner.Kind))
	r.report.Outcome(status.Outcome{
		Object: h.Owner.Status(), About: hostname,
		Condition: "Accepted", Reason: "Conflicted", Message: msg,
	})
}

// tellRoute reports the references and backends of a route that lead nowhere.
func (r *merge) tellRoute(rt *Route, missing []lost) {
	for _, ref := range missing {
		r.report.Add(status.Errorf(ref.Origin, "no %s %q in %s; the route is closed", ref.Target.Kind, ref.Target.Name, ref.Target.Namespace).
			Fix("%s", orCreate(Suggest(ref.Target.Name, r.referableNames(ref.Target)))))
		r.unresolved(ref.owner, ref.parent, fmt.Sprintf("%v does not exist", ref.Target))
	}
	if rt.Action.Forward == nil {
		return
	}
	for _, b := range rt.Action.Forward.Backends {
		if b.Closed != nil || r.config.Upstreams[b.Upstream] != nil {
			continue
		}
		r.tellBackend(b)
		r.unresolved(rt.Owner, rt.Parent, "backend "+b.Upstream+" does not exist")
	}
}

// tellBackend reports a backend that leads nowhere.
func (r *merge) tellBackend(b ir.Backend) {
	what := fmt.Sprintf("backend %s does not exist", b.Upstream)
	names, want := r.upstreamNames(), b.Upstream
	// What dialects refer to among one another is named group/kind/namespace/name.
	if part := strings.Split(b.Upstream, "/"); len(part) == 4 {
		what, want = fmt.Sprintf("no %s %q in %s", part[1], part[3], part[2]), part[3]
		prefix := strings.TrimSuffix(b.Upstream, part[3])
		names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, prefix) })
		for i, n := range names {
			names[i] = strings.TrimPrefix(n, prefix)
		}
	}
	r.report.Add(status.Errorf(b.Origin, "%s; requests for it get 500", what).Fix("%s", orCreate(Suggest(want, names))))
}

func orCreate(suggestion string) string {
	return cmp.Or(suggestion, "create it, or correct the name")
}

func (r *merge) unresolved(owner resource.Key, about, msg string) {
	r.report.Outcome(status.Outcome{
		Object: owner.Status(), About: about,
		Condition: "ResolvedRefs", Reason: "BackendNotFound", Message: msg,
	})
}

func (r *merge) referableNames(t Target) []string {
	var out []string
	for other := range r.referable {
		if other.GroupKind == t.GroupKind && other.Namespace == t.Namespace {
			out = append(out, other.Name)
		}
	}
	slices.Sort(out)
	return out
}

// keysText returns what a message calls several objects.
func keysText(keys []resource.Key) string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.String()
	}
	return strings.Join(names, ", ")
}

func (r *merge) upstreamNames() []string {
	out := make([]string, 0, len(r.config.Upstreams))
	for n := range r.config.Upstreams {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// tally is what became of one attachment over all routes.
type tally struct {
	won     int
	shadows []resource.Key
}

func (t *tally) shadowedBy(a *Attachment) {
	if !slices.Contains(t.shadows, a.Owner) {
		t.shadows = append(t.shadows, a.Owner)
	}
}

func (r *merge) count(a *Attachment) *tally {
	t := r.tally[a]
	if t == nil {
		t = &tally{}
		r.tally[a] = t
	}
	return t
}

// bearers names what an attachment is put on.
func (a *Attachment) bearers() string {
	if a.Listener != nil {
		return "listeners"
	}
	return "routes"
}

// NoRouteYet is the message of an Attached outcome where nothing is served that
// the attachment could hold for.
const NoRouteYet = "no route there yet"

// tellAttachments reports for each attachment where it won and who shadowed
// it; one that never won is a warning.
func (r *merge) tellAttachments(fragments []*Fragment) {
	for _, f := range fragments {
		for _, a := range f.Attachments {
			if a.Implied {
				continue
			}
			t := r.tally[a]
			o := status.Outcome{Object: a.Owner.Status(), About: a.Slot + " on " + a.Target.String(), Condition: "Attached", OK: true, Reason: "Attached"}
			switch {
			case t == nil:
				o.Message = NoRouteYet
			case t.won == 0:
				o.OK, o.Reason, o.Message = false, "Overridden", "overridden by "+keysText(t.shadows)
				r.report.Add(status.Warningf(a.Origin, "it has no effect: the same field of %s comes first", keysText(t.shadows)).
					Fix("remove one of the two"))
			default:
				o.Message = fmt.Sprintf("in force on %d %s", t.won, a.bearers())
			}
			r.report.Outcome(o)
		}
	}
}
