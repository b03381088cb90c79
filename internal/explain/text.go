package explain

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// Text writes an explanation for people: the decision first, then what led to
// it.
func (x *Explanation) Text(w io.Writer) error {
	p := &printer{}
	p.head(x)
	p.places(x)
	p.steps(x.Steps)
	p.upstream(x)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// printer lays lines out: a margin of titles, and what they are about.
type printer struct{ b strings.Builder }

const margin = 10

// line writes a title, which may be empty, and text beside it.
func (p *printer) line(title, format string, args ...any) {
	fmt.Fprintf(&p.b, "%-*s%s\n", margin, title, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// under writes text below what a line said.
func (p *printer) under(format string, args ...any) { p.line("", "    "+format, args...) }

func (p *printer) gap() { p.b.WriteByte('\n') }

func (p *printer) head(x *Explanation) {
	fmt.Fprintf(&p.b, "%s\n\n", x.Request)
	p.line("decision", "%s", x.summary())
	if d := x.Decided; d != nil {
		by := d.Slot
		if !strings.HasSuffix(by, d.Policy) {
			by = strings.TrimSpace(by + " " + d.Policy)
		}
		if d.Rule != "" {
			by += ", rule " + d.Rule
		}
		p.line("by", "%s", by)
		p.where(d.Origin)
	}
	if x.Reason != "" {
		p.line("because", "%s", x.Reason)
	}
	for _, u := range x.Unasked {
		p.line("not asked", "%s", u)
	}
}

// summary is the decision with what a caller would get.
func (x *Explanation) summary() string {
	s := string(x.Decision)
	switch {
	case x.Decision == Unknown:
		return s + ": it hangs on a server that is not asked here"
	case x.Upstream != nil:
		return s + ", sent on to " + x.Upstream.Endpoint
	case x.Location != "":
		return fmt.Sprintf("%s, redirected with %d to %s", s, x.Status, x.Location)
	case x.Decision == Allow:
		return fmt.Sprintf("%s, answered with %d by the route itself", s, x.Status)
	case x.Status == 0:
		return s + ": the connection is closed unanswered"
	case x.Verdict == "closed":
		return fmt.Sprintf("%s with %d: closed, because its configuration is broken", s, x.Status)
	case x.Verdict == "no-route":
		return fmt.Sprintf("%s with %d: nothing takes it", s, x.Status)
	}
	return fmt.Sprintf("%s with %d", s, x.Status)
}

func (p *printer) where(o ir.Origin) {
	if pos := o.Position(); pos != "" {
		p.line("", "%s", pos)
	}
}

func (p *printer) places(x *Explanation) {
	p.gap()
	if l := x.Listener; l != nil {
		p.line("listener", "%s, port %d  %s", l.Name, l.Port, l.Origin.Position())
	}
	if r := x.Route; r != nil {
		p.line("route", "%s, %s  %s", r.Name, r.Match, r.Origin.Position())
	}
	for i, c := range x.PassedOver {
		title := ""
		if i == 0 {
			title = "not taken"
		}
		p.line(title, "%s, %s: %s", c.Route, c.Match, c.Why)
	}
	for i, id := range x.Identities {
		title := ""
		if i == 0 {
			title = "caller"
		}
		p.line(title, "%s", id.text())
	}
	if x.Model != "" {
		p.line("model", "%s", x.Model)
	}
}

func (id *Identity) text() string {
	name := id.Subject
	if name == "" {
		name = "somebody"
	}
	if id.Namespace != "" {
		name = id.Namespace + "/" + name
	}
	if id.Issuer != "" {
		name += " of " + id.Issuer
	}
	by := id.Method
	if id.Provider != "" && id.Provider != by {
		by += " " + id.Provider
	}
	return name + ", by " + by
}

func (p *printer) steps(list []Step) {
	if len(list) == 0 {
		return
	}
	p.gap()
	for i := range list {
		s := &list[i]
		title := ""
		if i == 0 {
			title = "steps"
		}
		p.line(title, "%d. %s  %s", i+1, strings.TrimSpace(s.Kind+"  "+s.Slot), place(s.Origin))
		for j := range s.Proved {
			p.under("proves %s", s.Proved[j].text())
		}
		for _, r := range s.Rules {
			p.under("%s", r.text())
		}
		for _, n := range s.Notes {
			p.under("%s", n)
		}
		for _, c := range s.Changes {
			p.under("%s", c.text())
		}
		if s.Refused != 0 {
			p.under("refuses with %d", s.Refused)
		}
	}
}

// place is an object and where it is written.
func place(o ir.Origin) string { return strings.TrimSpace(o.Object() + "  " + o.Position()) }

func (r *Rule) text() string {
	s := "rule " + r.Rule
	if r.Policy != "" {
		s = "policy " + r.Policy + " " + s
	}
	if r.Matched {
		s += " matches"
	} else {
		s += " does not match"
	}
	if r.Why != "" {
		s += ": " + r.Why
	}
	return s
}

func (c *Change) text() string {
	if c.Value == "" {
		return "removes " + c.What
	}
	return "sets " + c.What + " to " + c.Value
}

func (p *printer) upstream(x *Explanation) {
	if u := x.Upstream; u != nil {
		p.gap()
		name := u.Name
		if u.Chosen != "" {
			name += ", " + u.Chosen
		}
		p.line("upstream", "%s", name)
		if u.Method == "" {
			p.line("", "TLS for %s, passed through unread", u.Host)
			return
		}
		p.line("", "%s %s", u.Method, u.URL)
		p.under("Host: %s", u.Host)
		for _, name := range slices.Sorted(maps.Keys(u.Headers)) {
			p.under("%s: %s", name, strings.Join(u.Headers[name], ", "))
		}
		for _, name := range slices.Sorted(maps.Keys(u.Credentials)) {
			p.under("%s: [%s]", name, u.Credentials[name])
		}
		if u.BodyBytes > 0 {
			p.under("and a body of %d bytes", u.BodyBytes)
		}
	}
	for _, c := range x.Copies {
		p.line("copy to", "%s", c)
	}
}
