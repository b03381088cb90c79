package compile

import (
	"cmp"
	"crypto/tls"
	"reflect"
	"slices"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/filter"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// listenerKey finds a listener. Names are used once; a configuration that uses
// one twice is told so.
type listenerKey struct {
	name string
	n    int
}

// builtListener is a compiled listener, brought up to date in part. What
// snapshots hold of it (out and what that leads to) is never changed.
type builtListener struct {
	ir        *ir.Listener
	open      bool // it asks nobody for a certificate
	out       *dataplane.Listener
	base      *dataplane.Listener // out without its routes
	handshake handshake           // nil: no TLS
	pairs     []*secret.Derived[tls.Certificate]
	carried   *built // what a passthrough listener holds; nil: it is none

	otherwise *built
	hosts     []*builtHost // as ir.Hosts
	byName    map[string]*builtHost
	index     *match.Hosts[*dataplane.VirtualHost]
	indexed   int // hosts for which index was made, before it was changed
	faulty    bool
}

// compileListeners compiles the listeners, or finds them compiled.
func (r *run) compileListeners() []*builtListener {
	var out []*builtListener
	next := make(map[listenerKey]*builtListener, len(r.config.Listeners))
	var told status.Report
	for _, l := range r.config.Listeners {
		key := listenerKey{name: l.Name}
		for next[key] != nil {
			key.n++
		}
		if key.n > 0 {
			told.Add(status.Errorf(ir.Origin{Kind: "gateway", Name: "model"}, "listener %q: name is used twice", l.Name))
		}
		bl := r.listeners[key]
		if bl == nil {
			bl = &builtListener{}
		}
		next[key] = bl
		if bl.ir != l || r.doors[bl] || r.moved && l.Passthrough != nil {
			r.listener(bl, l)
		}
		out = append(out, bl)
	}
	for key, bl := range r.listeners {
		if next[key] == nil {
			r.endListener(bl)
		}
	}
	r.Ledger.Put(status.PassCompile, &r.listeners, told)
	r.Compiler.listeners = next
	return out
}

// listener brings one listener up to date with its virtual hosts.
func (r *run) listener(bl *builtListener, l *ir.Listener) {
	if open := !l.TLS.AsksClients(); bl.ir == nil || open != bl.open {
		r.endHosts(bl)
		bl.open = open
	}
	if bl.ir == nil || !sameBase(bl.ir, l) || r.moved && l.Passthrough != nil {
		r.base(bl, l)
	}
	was := bl.otherwise
	bl.otherwise = nil
	if l.Otherwise != nil {
		bl.otherwise = r.route(l.Otherwise, bl.open)
		bl.otherwise.door = bl
	}
	if was != nil && was != bl.otherwise {
		was.door = nil
		r.drop(was)
	}
	var told status.Report
	r.told = &told
	err := r.compileHosts(bl, l)
	bl.ir = l
	out := *bl.base
	out.Hosts = bl.index
	if bl.otherwise != nil {
		out.Otherwise = bl.otherwise.route
	}
	if err != nil {
		told.Add(status.Errorf(l.Origin, "%v; the listener is closed", err).Fix("correct the hostname"))
		out.Closed = &ir.Closed{Reason: err.Error(), Origin: l.Origin}
	}
	r.Ledger.Put(status.PassCompile, &bl.index, told)
	bl.out = &out
}

// sameBase reports whether two listeners differ in nothing but their routes.
func sameBase(a, b *ir.Listener) bool {
	x, y := *a, *b
	x.Hosts, x.Otherwise, y.Hosts, y.Otherwise = nil, nil, nil, nil
	return reflect.DeepEqual(&x, &y)
}

// base compiles a listener without its routes.
func (r *run) base(bl *builtListener, l *ir.Listener) {
	told := modelFaults(ir.ValidateListener(r.config, l))
	var asked []check
	r.told, r.asked = &told, &asked
	out := &dataplane.Listener{
		Name: l.Name, Gateway: l.Gateway, Port: l.Port, Origin: l.Origin,
		Limits: limits(l.HTTP), Paths: l.HTTP.PathNormalization,
		TrustedHops: l.HTTP.TrustedHops, Via: l.HTTP.Via,
		ServerName:    cmp.Or(l.HTTP.ServerName, "envoy"),
		ForwardedPort: l.HTTP.AppendForwardedPort,
		KeepRequestID: l.HTTP.KeepRequestID,
		Closed:        l.Closed,
	}
	carried := bl.carried
	bl.carried, bl.handshake, bl.pairs = nil, nil, nil
	if l.Passthrough != nil {
		r.passthrough(bl, l, out)
	}
	if carried != nil {
		r.gone = append(r.gone, carried)
	}
	if l.Redirect != nil {
		out.Stages = append(out.Stages, r.redirectAll(l))
	}
	for i, s := range l.HTTP.Steps {
		stage, err := r.stage(s, nil)
		if err != nil {
			stage = r.closedFor(s.Origin, err)
		}
		out.Stages = append(out.Stages, r.traced(stage, &l.HTTP.Steps[i]))
	}
	if l.TLS != nil {
		r.secure(bl, l, out)
	}
	bl.base = out
	r.Compiler.checks.put(bl, asked)
	r.Ledger.Put(status.PassCompile, bl, told)
}

// secure makes a listener answer handshakes.
func (r *run) secure(bl *builtListener, l *ir.Listener, out *dataplane.Listener) {
	var err error
	if bl.handshake, err = r.listenerTLS(bl, l, out); err == nil {
		return
	}
	if l.Closed == nil { // else it is known already
		r.problem(l.TLS.Origin, "correct it", "%v; its handshakes are refused", err)
	}
	bl.handshake = func([]string) (*tls.Config, error) { return nil, err }
}

// redirectAll answers every request of a listener with a redirect.
func (r *run) redirectAll(l *ir.Listener) dataplane.Stage {
	stage, err := filter.NewRedirect(l.Redirect)
	if err != nil {
		return r.closedFor(cmp.Or(l.Redirect.Origin, l.Origin), err)
	}
	return stage
}

// compileHosts brings the hosts of a listener up to date: those that are other
// pointers than before, or have routes whose upstreams are.
func (r *run) compileHosts(bl *builtListener, l *ir.Listener) error {
	var old []*ir.VirtualHost
	if bl.ir != nil {
		old = bl.ir.Hosts
	}
	next := make([]*builtHost, len(l.Hosts))
	taken := map[*builtHost]bool{}
	var entries []match.HostEntry[*dataplane.VirtualHost]
	kept, doubled, at := 0, false, 0 // at: where in old the same host is expected
	for i, h := range l.Hosts {
		if at < len(old) && old[at] == h && !r.hosts[bl.hosts[at]] {
			next[i] = bl.hosts[at]
			at, kept = at+1, kept+1
			continue
		}
		bh := bl.byName[h.Hostname]
		switch {
		case bh == nil:
			bh = &builtHost{listener: bl, at: -1}
			bl.byName[h.Hostname] = bh
		case taken[bh]:
			bh, doubled = &builtHost{listener: bl, at: -1}, true
		case bh.at >= 0:
			at, kept = bh.at+1, kept+1
		}
		taken[bh], next[i] = true, bh
		if r.host(bh, h) {
			entries = append(entries, match.HostEntry[*dataplane.VirtualHost]{Pattern: h.Hostname, Value: bh.host})
		}
	}
	gone := r.leave(bl, next, kept)
	if len(entries)+len(gone) == 0 && bl.index != nil {
		return nil
	}
	return bl.reindex(entries, gone, doubled)
}

// leave makes next the listener's hosts; kept of those before are among them.
// It returns the names of the others.
func (r *run) leave(bl *builtListener, next []*builtHost, kept int) (gone []string) {
	before := bl.hosts
	if bl.hosts = next; slices.Equal(before, next) {
		return nil
	}
	for i, bh := range next {
		bh.at = i
	}
	if kept == len(before) {
		return nil
	}
	for _, bh := range before {
		if bh.at < len(next) && next[bh.at] == bh {
			continue
		}
		r.endHost(bh)
		if bl.byName[bh.ir.Hostname] == bh {
			gone = append(gone, bh.ir.Hostname)
			delete(bl.byName, bh.ir.Hostname)
		}
	}
	return gone
}

// reindex makes the hosts found by their names.
func (bl *builtListener) reindex(entries []match.HostEntry[*dataplane.VirtualHost], gone []string, doubled bool) error {
	var err error
	few := 8*(len(entries)+len(gone)) < len(bl.hosts) && len(bl.hosts) <= 2*bl.indexed
	if few && bl.index != nil && !bl.faulty && !doubled {
		var index *match.Hosts[*dataplane.VirtualHost]
		if index, err = bl.index.With(entries, gone); err == nil {
			bl.index = index
			return nil
		}
	}
	all := make([]match.HostEntry[*dataplane.VirtualHost], len(bl.hosts))
	for i, bh := range bl.hosts {
		all[i] = match.HostEntry[*dataplane.VirtualHost]{Pattern: bh.ir.Hostname, Value: bh.host}
	}
	bl.index, err = match.NewHosts(all)
	bl.indexed, bl.faulty = len(all), err != nil
	return err
}

// endListener lets go of a listener that is not there any more.
func (r *run) endListener(bl *builtListener) {
	r.endHosts(bl)
	if bl.otherwise != nil {
		bl.otherwise.door = nil
		r.drop(bl.otherwise)
	}
	if bl.carried != nil {
		r.gone = append(r.gone, bl.carried)
	}
	r.Compiler.checks.put(bl, nil)
	r.Ledger.Put(status.PassCompile, bl, status.Report{})
	r.Ledger.Put(status.PassCompile, &bl.index, status.Report{})
}

// endHosts lets go of all hosts of a listener.
func (r *run) endHosts(bl *builtListener) {
	for _, bh := range bl.hosts {
		r.endHost(bh)
	}
	bl.hosts, bl.byName, bl.index = nil, map[string]*builtHost{}, nil
	if bl.ir != nil {
		l := *bl.ir
		l.Hosts = nil
		bl.ir = &l
	}
}

func (r *run) endHost(bh *builtHost) {
	r.hold(bh, nil)
	r.Ledger.Put(status.PassCompile, bh, status.Report{})
}
