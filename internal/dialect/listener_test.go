package dialect

import (
	"reflect"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// TestListenerAttachments joins settings by the rules of routes: one slot has
// one winner, the narrowest; the listener's own settings fill what is left.
func TestListenerAttachments(t *testing.T) {
	gk := resource.GroupKind{Kind: "Gateway"}
	whole := Target{GroupKind: gk, Namespace: "ns", Name: "gw"}
	section := whole
	section.Section = "http"
	step := ir.Step{Phase: ir.PhasePre, Headers: &ir.HeaderEdit{}}
	attachment := func(name string, to Target, slot string, s ir.HTTPSettings) *Attachment {
		return &Attachment{Target: to, Slot: slot, Owner: resource.Key{Name: name}, Listener: &s}
	}
	narrow := attachment("narrow", section, "x/head", ir.HTTPSettings{MaxHeaderBytes: 1})
	wide := attachment("wide", whole, "x/head", ir.HTTPSettings{MaxHeaderBytes: 2})
	idle := attachment("idle", whole, "x/idle", ir.HTTPSettings{IdleTimeout: time.Second, Steps: []ir.Step{step}})
	f := &Fragment{
		Listeners: []*Listener{{
			Listener: ir.Listener{Name: "l", Port: 80, HTTP: ir.HTTPSettings{MaxHeaderBytes: 9, MaxStreams: 9}},
			Targets:  []Target{section, whole},
		}},
		Hosts: []*VirtualHost{{
			Listeners: []string{"l"}, Hostnames: []string{"*"},
			Routes: []*Route{{Route: ir.Route{Name: "r", Action: ir.Action{Direct: &ir.Direct{Status: 200}}}}},
		}},
		Attachments: []*Attachment{wide, narrow, idle},
	}
	config, report := new(Merger).Merge([]*Fragment{f})
	got := config.Listeners[0].HTTP
	want := ir.HTTPSettings{MaxHeaderBytes: 1, IdleTimeout: time.Second, MaxStreams: 9, Steps: []ir.Step{step}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("settings are %+v, want %+v", got, want)
	}
	if steps := config.Listeners[0].Hosts[0].Routes[0].Steps; len(steps) != 0 {
		t.Errorf("the listener's settings reached its route: %v", steps)
	}
	shadowed := 0
	for _, o := range report.Outcomes {
		if o.Reason == "Overridden" {
			shadowed++
		}
	}
	if shadowed != 1 {
		t.Errorf("%d attachments are overridden, want 1: %+v", shadowed, report.Outcomes)
	}
}

// TestListenerAttachmentClosed closes the routes of a listener whose setting
// could not be built.
func TestListenerAttachmentClosed(t *testing.T) {
	to := Target{Namespace: "ns", Name: "gw"}
	f := &Fragment{
		Listeners: []*Listener{{Listener: ir.Listener{Name: "l", Port: 80}, Targets: []Target{to}}},
		Hosts: []*VirtualHost{{
			Listeners: []string{"l"}, Hostnames: []string{"*"},
			Routes: []*Route{{Route: ir.Route{Name: "r", Action: ir.Action{Direct: &ir.Direct{Status: 200}}}}},
		}},
		Attachments: []*Attachment{{Target: to, Slot: "x/waf", Closed: &ir.Closed{Reason: "not built"}}},
	}
	config, _ := new(Merger).Merge([]*Fragment{f})
	if config.Listeners[0].Hosts[0].Routes[0].Action.Closed == nil {
		t.Error("the route is open")
	}
}
