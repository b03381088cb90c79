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

// Addressing is what a Gateway asks for where it is to be reached, besides the
// addresses that its listeners name. The zero Addressing asks for nothing.
type Addressing struct {
	// Any asks for an address of the gateway's choice too.
	Any bool
	// Before are addresses at which the Gateway was reached before; it gets one
	// of them again if that can be.
	Before []string
	// Of is the object that asks, where it is not the listener's owner, and
	// Origin is where it does.
	Of     resource.Key
	Origin ir.Origin
}

// Addresser gives each Gateway addresses of its own.
type Addresser interface {
	// Assign returns what the Gateways get, by their names. Whoever comes first
	// among those that are new is served first; what a Gateway has already it
	// keeps. Addresses of Gateways that are not wanted any more are free again.
	Assign(wanted []AddressWish) map[string]AddressGrant
}

// AddressWish is what one Gateway wants.
type AddressWish struct {
	Gateway string // "namespace/name"
	// Named are the addresses that it names, and Any asks for one of our choice.
	Named []string
	Any   bool
	// Before as in Addressing.
	Before []string
}

// AddressGrant is what one Gateway gets.
type AddressGrant struct {
	// Chosen is the address of our choice; empty if none was asked for, or none
	// is free.
	Chosen string
	// Refused tells of each named address that the Gateway does not get why.
	Refused map[string]string
}

// place returns the listeners at the addresses that their Gateways get, and
// reports the Gateways that do not get all that they ask for. A listener that
// is left without an address is refused.
func (r *ruling) place(all []*Listener, by Addresser) []*Listener {
	if by == nil {
		return all
	}
	wishes := wishesOf(all)
	grants := by.Assign(wishes)
	for _, w := range wishes {
		r.tellGrant(all, w, grants[w.Gateway])
	}
	var out []*Listener
	for _, l := range all {
		placed := *l
		grant := grants[l.Gateway]
		placed.Addresses = slices.DeleteFunc(slices.Clone(l.Addresses), func(a string) bool { return grant.Refused[a] != "" })
		if (l.Addressing.Any || len(l.Addresses) == 0) && grant.Chosen != "" && !slices.Contains(placed.Addresses, grant.Chosen) {
			placed.Addresses = append(placed.Addresses, grant.Chosen)
		}
		if len(placed.Addresses) == 0 {
			r.refuse(l, Refusal{Condition: "Programmed", Reason: "Pending", Message: "the Gateway has no address"})
			continue
		}
		out = append(out, &placed)
	}
	return out
}

// wishesOf gathers what each Gateway wants, in the order of their listeners.
func wishesOf(all []*Listener) []AddressWish {
	var out []AddressWish
	index := map[string]int{}
	for _, l := range all {
		i, ok := index[l.Gateway]
		if !ok {
			i = len(out)
			index[l.Gateway] = i
			out = append(out, AddressWish{Gateway: l.Gateway, Before: l.Addressing.Before})
		}
		w := &out[i]
		w.Any = w.Any || l.Addressing.Any || len(l.Addresses) == 0
		for _, a := range l.Addresses {
			if !slices.Contains(w.Named, a) {
				w.Named = append(w.Named, a)
			}
		}
	}
	return out
}

// tellGrant reports what a Gateway does not get.
func (r *ruling) tellGrant(all []*Listener, w AddressWish, g AddressGrant) {
	i := slices.IndexFunc(all, func(l *Listener) bool { return l.Gateway == w.Gateway && strings.HasPrefix(l.Name, w.Gateway+"/") })
	if i < 0 { // all that is left of it was added by others
		i = slices.IndexFunc(all, func(l *Listener) bool { return l.Gateway == w.Gateway })
	}
	l := all[i]
	origin, owner := cmp.Or(l.Addressing.Origin, l.Origin), l.gateway()
	tell := func(reason, remedy, message string) {
		r.report.Add(status.Errorf(origin, "%s", message).Fix("%s", remedy))
		r.report.Outcome(status.Outcome{Object: owner.Status(), Condition: "Programmed", Reason: reason, Message: message})
	}
	if len(g.Refused) > 0 {
		var why []string
		for _, a := range w.Named {
			if text := g.Refused[a]; text != "" {
				why = append(why, fmt.Sprintf("address %s %s", a, text))
			}
		}
		tell("AddressNotUsable", "ask for another, or leave the choice to the gateway", strings.Join(why, "; "))
	}
	if w.Any && g.Chosen == "" {
		tell("AddressNotAssigned", "remove a Gateway, or give --gateway-addresses a wider range", "every address of the range is taken")
	}
}
