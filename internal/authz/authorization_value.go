package authz

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// valueSet is a list of values to compare with, of which one suffices. The
// zero valueSet is empty.
type valueSet struct {
	texts    []textValue
	exact    map[string]struct{} // the exact ones, where there are many
	networks []netip.Prefix
	ports    []uint16
	cfg      []ir.AccessValue
}

// manyExact is how many exact values are found by hashing.
const manyExact = 8

// textValue is an ir.AccessValue for texts made ready.
type textValue struct {
	kind     ir.AccessKind
	value    string
	template *template
	in       *textValue
}

func newValueSet(a ir.AccessAttribute, cfg []ir.AccessValue) (valueSet, error) {
	s := valueSet{cfg: cfg}
	for i := range cfg {
		if err := s.add(a, &cfg[i]); err != nil {
			return valueSet{}, err
		}
	}
	if len(s.texts) > manyExact && pair(a) == nil {
		s.hash()
	}
	return s, nil
}

// pair says what the values of an attribute stand in, or nil if in nothing.
func pair(a ir.AccessAttribute) error {
	switch a {
	case ir.TokenPrincipal:
		return errors.New("wants an issuer")
	case ir.PeerServiceAccount:
		return errors.New("wants a namespace")
	}
	return nil
}

func (s *valueSet) add(a ir.AccessAttribute, cfg *ir.AccessValue) error {
	switch a {
	case ir.PeerAddress, ir.ClientAddress, ir.LocalAddress:
		n, err := parseNetwork(cfg)
		s.networks = append(s.networks, n)
		return err
	case ir.LocalPort:
		n, err := strconv.ParseUint(cfg.Value, 10, 16)
		if err != nil || n == 0 || cfg.Kind != ir.AccessExact || cfg.In != nil {
			return fmt.Errorf("%q is no port", cfg.Value)
		}
		s.ports = append(s.ports, uint16(n))
		return nil
	}
	if need := pair(a); need != nil && cfg.In == nil {
		return need
	} else if need == nil && cfg.In != nil {
		return fmt.Errorf("%q stands in nothing here", cfg.Value)
	}
	v, err := newTextValue(a, cfg)
	if err != nil {
		return err
	}
	s.texts = append(s.texts, *v)
	return nil
}

func parseNetwork(cfg *ir.AccessValue) (netip.Prefix, error) {
	if cfg.Kind != ir.AccessNetwork || cfg.In != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no network", cfg.Value)
	}
	if !strings.Contains(cfg.Value, "/") {
		addr, err := netip.ParseAddr(cfg.Value)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is no address", cfg.Value)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	n, err := netip.ParsePrefix(cfg.Value)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no CIDR", cfg.Value)
	}
	if n.Addr().Is4In6() {
		if n.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%q is wider than all IPv4 addresses", cfg.Value)
		}
		n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
	}
	return n.Masked(), nil
}

func newTextValue(a ir.AccessAttribute, cfg *ir.AccessValue) (*textValue, error) {
	v := &textValue{kind: cfg.Kind, value: cfg.Value}
	if a == ir.RequestHost {
		v.value = strings.ToLower(v.value)
	}
	switch cfg.Kind {
	case ir.AccessExact, ir.AccessPrefix, ir.AccessSuffix:
		if v.value == "" {
			return nil, errors.New("a value is empty")
		}
	case ir.AccessPresent, ir.AccessGlob:
	case ir.AccessTemplate:
		var err error
		if v.template, err = parseTemplate(v.value); err != nil {
			return nil, err
		}
		if a != ir.RequestPath {
			return nil, errors.New("templates are for paths")
		}
	default:
		return nil, fmt.Errorf("kind %q does not fit", cfg.Kind)
	}
	if cfg.In != nil {
		var err error
		if v.in, err = newTextValue("", cfg.In); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// hash moves the exact values into a map.
func (s *valueSet) hash() {
	s.exact = map[string]struct{}{}
	s.texts = slices.DeleteFunc(s.texts, func(v textValue) bool {
		if v.kind == ir.AccessExact {
			s.exact[v.value] = struct{}{}
		}
		return v.kind == ir.AccessExact
	})
}

func (s *valueSet) empty() bool { return len(s.cfg) == 0 }

// String lists the values, as far as a log line has room for them.
func (s *valueSet) String() string {
	var b strings.Builder
	for i, v := range s.cfg {
		if i == mostReasons {
			fmt.Fprintf(&b, " or %d more", len(s.cfg)-i)
			break
		}
		if i > 0 {
			b.WriteString(" or ")
		}
		fmt.Fprintf(&b, "%q", v.String())
	}
	return b.String()
}

// has reports whether a value matches text; none does if it is empty.
func (s *valueSet) has(text string) bool {
	if text == "" {
		return false
	}
	if s.exact != nil {
		if _, ok := s.exact[text]; ok {
			return true
		}
	}
	for i := range s.texts {
		if s.texts[i].matches(text) {
			return true
		}
	}
	return false
}

// hasPair is has for values that stand in another.
func (s *valueSet) hasPair(in, text string) bool {
	for i := range s.texts {
		if v := &s.texts[i]; v.matches(text) && v.in.matches(in) {
			return true
		}
	}
	return false
}

// hasClaim is has for a claim: a text, or any text of a list. Nothing else
// matches.
func (s *valueSet) hasClaim(v any) bool {
	switch v := v.(type) {
	case string:
		return s.has(v)
	case []any:
		for _, e := range v {
			if text, ok := e.(string); ok && s.has(text) {
				return true
			}
		}
	}
	return false
}

func (s *valueSet) contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, n := range s.networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func (s *valueSet) hasPort(p uint16) bool { return slices.Contains(s.ports, p) }

// matches compares with a text that is not empty.
func (v *textValue) matches(text string) bool {
	switch v.kind {
	case ir.AccessExact:
		return text == v.value
	case ir.AccessPrefix:
		return strings.HasPrefix(text, v.value)
	case ir.AccessSuffix:
		return strings.HasSuffix(text, v.value)
	case ir.AccessPresent:
		return text != ""
	case ir.AccessGlob:
		return globs(v.value, text)
	case ir.AccessTemplate:
		return v.template.matches(text)
	}
	return false
}

// globs reports whether pattern, in which "*" is any text, matches all of
// text. It takes time for their product at most.
func globs(pattern, text string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(text) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && pattern[i] == text[j]:
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == '*' {
		i++
	}
	return i == len(pattern)
}
