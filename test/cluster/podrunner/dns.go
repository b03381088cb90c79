package main

import (
	"log"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// zone is the domain of the cluster.
const zone = "cluster.local."

// names answers for the names of Services: NAME.NAMESPACE.svc.cluster.local,
// HOST.NAME.NAMESPACE.svc.cluster.local for endpoints that have a host name. It
// asks nobody else, so that no other name exists.
type names struct {
	services *services
	servers  []*dns.Server
}

func newNames(s *services, at netip.Addr) (*names, error) {
	n := &names{services: s}
	addr := netip.AddrPortFrom(at, 53).String()
	packets, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	conns, err := net.Listen("tcp", addr)
	if err != nil {
		discard(packets)
		return nil, err
	}
	n.servers = []*dns.Server{{PacketConn: packets, Handler: n}, {Listener: conns, Handler: n}}
	for _, srv := range n.servers {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go func() {
			if err := srv.ActivateAndServe(); err != nil {
				log.Print(err)
			}
		}()
		<-started
	}
	return n, nil
}

func (n *names) close() {
	for _, s := range n.servers {
		_ = s.Shutdown()
	}
}

// ServeDNS answers one question.
func (n *names) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	if len(q.Question) == 1 {
		n.answer(m, q.Question[0].Name, q.Question[0].Qtype)
	}
	_ = w.WriteMsg(m)
}

// answer adds what a name stands for, and what the name stands for that it is
// an alias of: whoever asks does not ask again.
func (n *names) answer(m *dns.Msg, name string, kind uint16) {
	for range 8 {
		addrs, alias, known := n.find(strings.ToLower(name))
		head := dns.RR_Header{Name: name, Class: dns.ClassINET, Ttl: 5}
		if !known {
			if len(m.Answer) == 0 {
				m.Rcode = dns.RcodeNameError
			}
			return
		}
		if alias == "" {
			head.Rrtype = dns.TypeA
			for _, a := range addrs {
				if kind == dns.TypeA {
					m.Answer = append(m.Answer, &dns.A{Hdr: head, A: net.ParseIP(a)})
				}
			}
			return
		}
		head.Rrtype, name = dns.TypeCNAME, dns.Fqdn(alias)
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: head, Target: name})
	}
}

// find returns what a name stands for.
func (n *names) find(name string) (addrs []string, alias string, known bool) {
	rest, ok := strings.CutSuffix(name, ".svc."+zone)
	if !ok {
		return nil, "", false
	}
	part := strings.Split(rest, ".")
	host := ""
	if len(part) == 3 {
		host, part = part[0], part[1:]
	}
	if len(part) != 2 {
		return nil, "", false
	}
	s, err := n.services.list.Services(part[1]).Get(part[0])
	if err != nil {
		return nil, "", false
	}
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return nil, s.Spec.ExternalName, host == ""
	case s.Spec.ClusterIP != corev1.ClusterIPNone && host == "":
		return s.Spec.ClusterIPs, "", true
	}
	addrs = n.headless(s, host)
	return addrs, "", len(addrs) > 0
}

// headless returns the endpoints of a Service, or the one of a host name.
func (n *names) headless(s *corev1.Service, host string) []string {
	list, err := n.services.slices.EndpointSlices(s.Namespace).List(labels.SelectorFromSet(labels.Set{"kubernetes.io/service-name": s.Name}))
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range list {
		for _, ep := range e.Endpoints {
			ready := ep.Conditions.Ready == nil || *ep.Conditions.Ready || s.Spec.PublishNotReadyAddresses
			if ready && (host == "" || ep.Hostname != nil && *ep.Hostname == host) {
				out = append(out, ep.Addresses...)
			}
		}
	}
	return out
}
