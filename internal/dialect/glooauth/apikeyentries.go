package glooauth

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// entries returns the Secrets that a storage picks. What was made of a group
// of them before is used again.
func (r *reader) entries(at string, s *SecretStorage, wanted []ir.MetadataHeader) ir.APIKeyEntries {
	var out ir.APIKeyEntries
	picked, skipped, told := 0, 0, 0
	take := func(p *pick) {
		picked += p.seen
		skipped += p.skipped
		tell := p.problems[:min(len(p.problems), maxSkipped-told)]
		r.p.Report.Add(tell...)
		told += len(tell)
		if len(p.group.Entries()) > 0 {
			out = append(out, p.group)
		}
	}
	by := &picker{labels: s.LabelSelector, wanted: wanted, namespace: r.ownKeys()}
	key, elsewhere := by.key(), 0
	for _, g := range labelled(r.v, s.LabelSelector) {
		p := g.Derived(key, func(list []*resource.Object) any { return by.pick(list) }).(*pick)
		elsewhere += p.elsewhere
		take(p)
	}
	if elsewhere > 0 {
		r.p.Warn(at, "move them, name them in apiKeySecretRefs with a ReferenceGrant, or run with --cross-namespace-credentials",
			"%d of the Secrets with the labels are not in %s: whoever can make one would make keys, so they are refused", elsewhere, by.namespace)
	} else if len(s.LabelSelector) > 0 && picked == 0 {
		r.p.Warn(at, "label a Secret of type "+keySecretType, "no Secret has the labels; every caller is refused")
	}
	take((&picker{wanted: wanted}).pick(r.referred(at, s)))
	if skipped > maxSkipped {
		r.p.Warn(at, "see the first of them", "%d of the Secrets are skipped", skipped)
	}
	return out
}

// referred returns the Secrets that a storage names, but for those that it
// picks by label too.
func (r *reader) referred(at string, s *SecretStorage) []*resource.Object {
	var out []*resource.Object
	for i, ref := range s.APIKeySecretRefs {
		ns := cmp.Or(ref.Namespace, r.p.Object.Namespace)
		o, _, missing := secretref.Find(r.v, r.p.Object, ns, ref.Name)
		switch {
		case missing != nil:
			r.p.Fail(at, missing.Remedy, "apiKeySecretRefs[%d]: %s; its key is refused", i, missing.What)
		case len(s.LabelSelector) > 0 && has(o.Labels, s.LabelSelector), slices.Contains(out, o):
		default:
			out = append(out, o)
		}
	}
	return out
}

// labelled returns the Secrets of all namespaces that have the rarest of the
// labels; the others are compared later.
func labelled(v *resource.View, labels map[string]string) []*resource.Group {
	var least []*resource.Group
	for i, key := range slices.Sorted(maps.Keys(labels)) {
		if list := v.GroupsByLabel(resource.SecretKind, key, labels[key]); i == 0 || len(list) < len(least) {
			least = list
		}
	}
	return least
}

func has(labels, want map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// pick is what became of a run of Secrets.
type pick struct {
	group *ir.APIKeyGroup
	// elsewhere counts the Secrets that are of other namespaces than wanted.
	elsewhere int
	// seen counts the Secrets that were looked at, skipped those of them that
	// cannot be an entry, or one only in part; the first have problems.
	seen, skipped int
	problems      []status.Problem

	entries []ir.APIKeyEntry
}

// picker says which Secrets are picked: those with all labels, of a namespace
// or of every one.
type picker struct {
	labels    map[string]string
	wanted    []ir.MetadataHeader
	namespace string
}

// pickedBy tells apart what is made of one run of Secrets.
type pickedBy string

func (by *picker) key() pickedBy {
	return pickedBy(fmt.Sprintf("%q %#v %s", by.labels, by.wanted, by.namespace))
}

// ownKeys returns the one namespace whose Secrets are picked by their labels.
// Out of files that is every one, as the products have it. In a cluster others
// can make Secrets than who wrote the policy, and a label is no consent of his.
func (r *reader) ownKeys() string {
	if a := r.v.Access(); a == nil || a.Foreign {
		return ""
	}
	return r.p.Object.Namespace
}

// pick makes entries of the Secrets that are picked, and problems of those
// that cannot be one.
func (by *picker) pick(list []*resource.Object) *pick {
	p := &pick{}
	for _, o := range list {
		switch {
		case !has(o.Labels, by.labels):
		case by.namespace != "" && o.Namespace != by.namespace:
			p.elsewhere++
		default:
			p.seen++
			p.add(o, by.wanted)
		}
	}
	p.group, p.entries = ir.NewAPIKeyGroup(slices.Clip(p.entries)), nil
	return p
}

func (p *pick) add(o *resource.Object, wanted []ir.MetadataHeader) {
	s := o.Spec.(*resource.Secret)
	switch {
	case len(o.Faults) > 0:
		p.skip(o, "correct it", "the Secret could not be read in full and is skipped")
		return
	case s.Type != keySecretType:
		p.skip(o, "make its type "+keySecretType, "the Secret is picked for API keys but is of type %q, and skipped", s.Type)
		return
	case !s.HasKey(keyDataKey):
		p.skip(o, "put the key into its data", "the Secret has no %s and is skipped", keyDataKey)
		return
	}
	e := ir.APIKeyEntry{Namespace: o.Namespace, Name: o.Name, Key: secretref.Of(o.Key, keyDataKey), Created: o.Created, Origin: o.Origin("")}
	for i, w := range wanted {
		if e.Metadata == nil {
			e.Metadata = make([]secret.Ref, len(wanted))
		}
		if s.HasKey(w.Key) {
			e.Metadata[i] = secretref.Of(o.Key, w.Key)
		} else if w.Required {
			p.skip(o, "put it into its data", "the Secret has no %s, which %s requires: its key is refused", w.Key, w.Header)
		}
	}
	p.entries = append(p.entries, e)
}

func (p *pick) skip(o *resource.Object, remedy, format string, args ...any) {
	if p.skipped++; p.skipped <= maxSkipped {
		p.problems = append(p.problems, status.Warningf(o.Origin(""), format, args...).Fix("%s", remedy))
	}
}
