package gateway

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/simulate"
	"github.com/postern-gateway/postern/internal/status"
)

// outcomesOf returns what is told of the test's one root: "condition=status
// reason".
func outcomesOf(r status.Report) []string {
	var out []string
	for _, o := range r.Outcomes {
		out = append(out, fmt.Sprintf("%s=%v %s", o.Condition, o.OK, o.Reason))
	}
	return out
}

// TestPortThatCannotBeBound is told of the listener and, where it was the last
// one, of its Gateway; it is taken back when the port is bound.
func TestPortThatCannotBeBound(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	taken := ln.Addr().(*net.TCPAddr).Port
	n := newNode(t, forwarding(nil, echo(t)))
	if got := n.Report(); len(got.Outcomes)+len(got.Problems) > 0 || len(got.Addresses["t/gw"]) != 1 || got.Addresses["t/gw"][0].Value != "127.0.0.1" {
		t.Fatalf("%+v", got)
	}
	bad := forwarding(nil, echo(t))
	bad.Listeners[0].Port = taken
	n.up.next <- bad
	// Listener and Gateway are one object here.
	refused := []string{"Accepted=false PortUnavailable", "Programmed=false Invalid"}
	await(t, "report of the port", func() bool { return slices.Equal(outcomesOf(n.Report()), refused) })
	if got := n.Report(); len(got.Problems) != 1 || len(got.Addresses) > 0 {
		t.Errorf("%+v", got)
	}
	both := forwarding(nil, echo(t))
	second := *both.Listeners[0]
	second.Name, second.Port = "t/gw/m", taken
	both.Listeners = append(both.Listeners, &second)
	n.up.next <- both
	await(t, "report of one of two ports", func() bool {
		return slices.Equal(outcomesOf(n.Report()), refused) && len(n.Report().Addresses["t/gw"]) == 1
	})
	n.up.next <- forwarding(nil, echo(t))
	await(t, "report without a fault", func() bool { return len(n.Report().Outcomes) == 0 })
}

// TestPortIsTriedAgain until it is bound, after times that double up to a
// limit; an update begins anew.
func TestPortIsTriedAgain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	taken := ln.Addr().(*net.TCPAddr).Port
	n := newNode(t, forwarding(nil, echo(t)))
	first, other := forwarding(nil, echo(t)), forwarding(nil, echo(t))
	first.Listeners[0].Port, other.Listeners[0].Port = taken, taken
	wait := func(want time.Duration) *waiting {
		t.Helper()
		select {
		case w := <-n.waits:
			if w.Duration != want {
				t.Fatalf("waits for %v, want %v", w.Duration, want)
			}
			return w
		case <-time.After(patience):
			t.Fatalf("does not wait for %v", want)
			return nil
		}
	}
	n.up.next <- first
	for _, seconds := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		wait(seconds * time.Second).over <- time.Time{}
	}
	wait(30 * time.Second)
	n.up.next <- other
	wait(time.Second).over <- time.Time{}
	last := wait(2 * time.Second)
	if got := outcomesOf(n.Report()); len(got) == 0 {
		t.Fatal("a port that cannot be bound is not reported")
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	last.over <- time.Time{}
	await(t, "report without a fault", func() bool {
		r := n.Report()
		return len(r.Outcomes)+len(r.Problems) == 0 && len(r.Addresses["t/gw"]) == 1
	})
	if code, text := get(client(t, nil), fmt.Sprintf("http://127.0.0.1:%d/", taken)); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	if got := strings.Count(n.log.String(), "bound at last"); got != 1 {
		t.Errorf("%d lines of the port in the log:\n%s", got, n.log)
	}
	if len(n.waits) > 0 {
		t.Error("waits though every port is bound")
	}
}

// TestCertificateThatCannotBeUsed follows the bytes of a listener's
// certificate through its report.
func TestCertificateThatCannotBeUsed(t *testing.T) {
	cert := secret.Ref{Kind: "Secret", Namespace: "t", Name: "c", Key: "tls.crt"}
	key := secret.Ref{Kind: "Secret", Namespace: "t", Name: "c", Key: "tls.key"}
	n := newNode(t, forwarding(&ir.ServerTLS{Certificates: []ir.KeyPair{{Certificate: cert, Key: key}}}, echo(t)))
	pair := issue(t, newCA(t), simulate.Workload{DNSNames: []string{"a.example"}})
	chain, private, err := simulate.EncodePair(*pair)
	if err != nil {
		t.Fatal(err)
	}
	refused := []string{"Accepted=false ListenersNotValid", "Programmed=false Invalid", "ResolvedRefs=false InvalidCertificateRef"}
	for _, step := range []struct {
		name       string
		chain, key []byte
		want       []string
	}{
		{"text", []byte("Hello world"), []byte("Hello world"), refused},
		{"a certificate", chain, private, nil},
		{"another's key", chain, []byte("Hello world"), refused},
	} {
		n.store.Put(map[secret.Ref]secret.Value{cert: secret.NewValue(step.chain), key: secret.NewValue(step.key)})
		n.Refresh()
		if got := outcomesOf(n.Report()); !slices.Equal(got, step.want) {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
	}
}

// TestClientCertificateThatCannotBeUsed is told of the Gateway that shows it,
// whether or not there is a backend to show it to, and closes no listener.
func TestClientCertificateThatCannotBeUsed(t *testing.T) {
	pair := &ir.KeyPair{
		Certificate: secret.Ref{Kind: "Secret", Namespace: "t", Name: "c", Key: "tls.crt"}, Key: secret.Ref{Kind: "Secret", Namespace: "t", Name: "c", Key: "tls.key"},
		Origin: ir.Origin{Kind: "Secret", Namespace: "t", Name: "c"},
	}
	n := newNode(t, forwarding(nil, echo(t)))
	n.up.shown = &dialect.ClientCertificate{Name: "t/gw", Pair: pair}
	n.up.next <- forwarding(nil, echo(t))
	refused := []string{"ResolvedRefs=false InvalidClientCertificateRef"}
	told := func(want []string) {
		t.Helper()
		await(t, "report of the certificate", func() bool { return slices.Equal(outcomesOf(n.Report()), want) })
		if r := n.Report(); len(r.Problems) != len(want) {
			t.Errorf("%v", r.Problems)
		}
	}
	told(refused)
	good := issue(t, newCA(t), simulate.Workload{DNSNames: []string{"gw.example"}})
	chain, private, err := simulate.EncodePair(*good)
	if err != nil {
		t.Fatal(err)
	}
	put := func(chain, key []byte) {
		n.store.Put(map[secret.Ref]secret.Value{pair.Certificate: secret.NewValue(chain), pair.Key: secret.NewValue(key)})
		n.Refresh()
	}
	put([]byte("Hello world"), private)
	told(refused)
	put(chain, private)
	told(nil)
	put(chain, []byte("Hello world"))
	told(refused)
	if code, _ := get(client(t, nil), "http://"+n.addr()+"/"); code != 200 {
		t.Errorf("the listener answers %d", code)
	}
}
