package resource

import (
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// document takes one YAML document or JSON value.
func (p *pass) document(n *node) {
	switch n.kind {
	case nullNode:
	case mapNode:
		p.object(n, "", "")
	case listNode:
		p.res.Passed++
	case badNode:
		p.broken(n.line, n.text, n.remedy)
	default:
		p.broken(n.line, "the document is "+n.what()+", not an object", "write apiVersion, kind and metadata, or remove it")
	}
}

// object takes one mapping; apiVersion and kind stand in for missing ones, as
// in the items of a typed list.
func (p *pass) object(n *node, apiVersion, kind string) {
	av, okAV := p.identity(n, "apiVersion", apiVersion)
	k, okKind := p.identity(n, "kind", kind)
	switch {
	case !okAV || !okKind:
		return
	case av == "" && k == "":
		p.res.Passed++
		return
	case av == "":
		p.broken(n.line, "an object has a kind and no apiVersion", "write its apiVersion")
		return
	case k == "":
		p.broken(n.line, "an object has an apiVersion and no kind", "write its kind")
		return
	}
	if items := n.get("items"); strings.HasSuffix(k, "List") && items != nil && items.kind != mapNode {
		p.list(items, av, k)
		return
	}
	group, version, ok := strings.Cut(av, "/")
	if !ok {
		group, version = "", av
	}
	gk := GroupKind{Group: group, Kind: k}
	desc := p.d.kinds[gk]
	if desc == nil || !slices.Contains(desc.Versions, version) {
		p.unread(n, gk, version, desc)
		return
	}
	p.decode(n, desc, version)
}

// identity returns the text of apiVersion or kind.
func (p *pass) identity(n *node, name, instead string) (string, bool) {
	v := n.get(name)
	if v == nil || v.kind == nullNode {
		return instead, true
	}
	if v.kind != stringNode || len(v.text) > 253 {
		p.broken(v.line, name+" is not a name", "write it as text")
		return "", false
	}
	return v.text, true
}

// list takes the items of a List, or of a typed list such as HTTPRouteList.
func (p *pass) list(items *node, av, kind string) {
	item := strings.TrimSuffix(kind, "List")
	if item == "" {
		av = ""
	}
	for _, it := range items.items {
		switch {
		case it.kind == mapNode && item != "":
			p.object(it, av, item)
		case it.kind == mapNode:
			p.object(it, "", "")
		case it.kind != nullNode:
			p.broken(it.line, "an item of the list is not an object", "write apiVersion, kind and metadata")
		}
	}
	if items.kind != listNode && items.kind != nullNode {
		p.broken(items.line, "items is not a list", "write each item after a dash")
	}
}

// unread says that an object is not read, unless it is plainly none of a
// gateway's.
func (p *pass) unread(n *node, gk GroupKind, version string, desc *Kind) {
	o := ir.Origin{Kind: name(gk.Kind), File: p.file, Line: p.line(n.line)}
	if m := n.get("metadata"); m != nil {
		o.Name, o.Namespace = textOf(m.get("name")), textOf(m.get("namespace"))
	}
	known := p.d.groups[gk.Group]
	switch {
	case desc != nil:
		p.report(status.Errorf(o, "version %s of %s is not read, so the object has no effect", name(version), gk).Fix("write %s", strings.Join(desc.Versions, " or ")))
	case passedOver(gk, known):
		p.res.Passed++
	case len(known) > 0:
		pr := status.Warningf(o, "kind %s of group %s is not read, so the object has no effect", name(gk.Kind), groupName(gk.Group)).
			Fix("remove it if it is for another program")
		if near := Nearest(gk.Kind, known); near != "" { // it may have been a protection
			pr = pr.Fix("did you mean %s?", near)
			pr.Severity = status.Error
		}
		p.report(pr)
	default:
		p.unknownGroup(o, gk)
	}
}

func (p *pass) unknownGroup(o ir.Origin, gk GroupKind) {
	groups := make([]string, 0, len(p.d.groups))
	for g, kinds := range p.d.groups {
		if slices.Contains(kinds, gk.Kind) {
			groups = append(groups, g)
		}
	}
	slices.Sort(groups)
	pr := status.Warningf(o, "group %s is not read, so the object has no effect", groupName(gk.Group)).
		Fix("remove it if it is for another program")
	if near := Nearest(gk.Group, groups); near != "" {
		pr = pr.Fix("did you mean group %s?", groupName(near))
		pr.Severity = status.Error
	}
	p.report(pr)
}

func groupName(g string) string {
	if g == "" {
		return `""`
	}
	return name(g)
}

func textOf(n *node) string {
	if n == nil || n.kind != stringNode {
		return ""
	}
	return name(n.text)
}

// decode makes an Object of a kind that is read.
func (p *pass) decode(n *node, desc *Kind, version string) {
	o := &Object{Key: Key{GroupKind: desc.GroupKind}, Version: version, File: p.file, Lines: Lines{root: &lineNode{line: int32(p.line(n.line))}}}
	w := &walker{p: p, kind: desc, obj: o}
	if !w.metadata(n) {
		return
	}
	if first := p.keys[o.Key]; first != nil {
		p.report(Doubled(o, first))
		return
	}
	p.keys[o.Key] = o
	if desc.GroupKind == SecretKind {
		w.secretObject(n)
	} else {
		w.spec(n)
		w.takeLater()
	}
	if p.file != "" {
		o.Lines = linesOf(n)
	}
	p.res.Broken = p.res.Broken || slices.ContainsFunc(o.Faults, desc.isVital)
	p.res.Objects = append(p.res.Objects, o)
}

// Doubled returns the problem that o is the same object as first, which is
// kept.
func Doubled(o, first *Object) status.Problem {
	return status.Errorf(o.Origin(""), "this object is also at %s, which is the one that is used", first.Origin("").Position()).
		Fix("remove one of the two, or rename it")
}
