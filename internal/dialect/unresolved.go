package dialect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// tellRoute reports the references and backends of a route that lead nowhere.
func (l *look) tellRoute(rt *Route, missing []lost) {
	for _, ref := range missing {
		l.o.told.Add(status.Errorf(ref.Origin, "no %s %q in %s; the route is closed", ref.Target.Kind, ref.Target.Name, ref.Target.Namespace).
			Fix("%s", orCreate(Suggest(ref.Target.Name, l.r.referableNames(ref.Target)))))
		unresolved(&l.o.told, ref.owner, ref.parent, fmt.Sprintf("%v does not exist", ref.Target))
	}
	if rt.Action.Forward == nil {
		return
	}
	for _, b := range rt.Action.Forward.Backends {
		if b.Closed != nil || l.hasUpstream(b.Upstream) {
			continue
		}
		l.r.tellBackend(&l.o.told, b)
		unresolved(&l.o.told, rt.Owner, rt.Parent, "backend "+b.Upstream+" does not exist")
	}
}

// tellBackend reports a backend that leads nowhere.
func (m *Merger) tellBackend(report *status.Report, b ir.Backend) {
	what := fmt.Sprintf("backend %s does not exist", b.Upstream)
	prefix, want := "", b.Upstream
	// What dialects refer to among one another is named group/kind/namespace/name.
	if part := strings.Split(b.Upstream, "/"); len(part) == 4 {
		what, want = fmt.Sprintf("no %s %q in %s", part[1], part[3], part[2]), part[3]
		prefix = strings.TrimSuffix(b.Upstream, part[3])
	}
	var names []string
	for n := range m.upstreams {
		if name, ok := strings.CutPrefix(n, prefix); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	report.Add(status.Errorf(b.Origin, "%s; requests for it get 500", what).Fix("%s", orCreate(Suggest(want, names))))
}

func orCreate(suggestion string) string {
	return cmp.Or(suggestion, "create it, or correct the name")
}

func unresolved(report *status.Report, owner resource.Key, about, msg string) {
	report.Outcome(status.Outcome{
		Object: owner.Status(), About: about,
		Condition: "ResolvedRefs", Reason: "BackendNotFound", Message: msg,
	})
}

func (m *Merger) referableNames(t Target) []string {
	names := map[string]bool{}
	for other, s := range m.spots {
		if s.referable > 0 && other.GroupKind == t.GroupKind && other.Namespace == t.Namespace {
			names[other.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
