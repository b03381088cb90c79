package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// How Events are written.
const (
	// lookEvery is how often the alerts are looked at.
	lookEvery = 5 * time.Second
	// tellAgain is how long an alert that goes on is not told again; the API
	// server forgets Events after an hour.
	tellAgain = 30 * time.Minute
	// eventRate bounds the Events of a second, after a burst of eventBurst.
	eventRate, eventBurst = 5, 25
	// mostAlerts bounds what is told of at once.
	mostAlerts = 500
	// longestNote is what an Event can hold, in bytes.
	longestNote = 1024
	// longestName is how much of an object's name its Events' names begin with.
	longestName = 200
)

// events is where Events are in the API.
var events = schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}

// Events tells people of what they must act on, by Events on the objects
// concerned (https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/).
// What goes on is told again now and then, as a series.
type Events struct {
	cfg    Config
	client dynamic.Interface
	look   func() (*resource.Set, []status.Problem)
	every  time.Duration
	host   string

	told  map[alert]telling
	muted string // why none can be written; told once
	over  bool   // there are more than are told of
}

// telling is when an alert was told last, and how often.
type telling struct {
	at    time.Time
	count int64
}

// alert is one thing that is told of one object.
type alert struct {
	resource.Key
	uid, reason string
}

// NewEvents returns Events of what look finds: the problems that have an Alert,
// and the Set that their objects are in, which may be nil at first. instance is
// our own name in them.
func NewEvents(cfg Config, instance string, look func() (*resource.Set, []status.Problem)) (*Events, error) {
	c := rest.CopyConfig(cfg.Client)
	c.UserAgent = userAgent
	c.QPS, c.Burst = eventRate, eventBurst
	c.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("api server: %w", err)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Events{cfg: cfg, client: client, look: look, every: lookEvery, host: instance}, nil
}

// Run tells of alerts until ctx ends. It may be called again, and never twice
// at once.
func (e *Events) Run(ctx context.Context) {
	e.told = map[alert]telling{}
	for {
		if set, problems := e.look(); set != nil {
			e.tell(ctx, set, problems)
		}
		if !pause(ctx, e.every) {
			return
		}
	}
}

// tell writes an Event for each alert that is new, or was told long ago.
func (e *Events) tell(ctx context.Context, set *resource.Set, problems []status.Problem) {
	notes := e.alerts(set, problems)
	now := e.cfg.Clock()
	for _, a := range slices.SortedFunc(maps.Keys(notes), alert.compare) {
		last, ok := e.told[a]
		if ok && now.Sub(last.at) < tellAgain {
			continue
		}
		if err := e.write(ctx, set.Get(a.Key), a, notes[a]); err != nil {
			e.failed(ctx, err)
			break
		}
		e.told[a], e.muted = telling{now, last.count + 1}, ""
	}
	maps.DeleteFunc(e.told, func(a alert, last telling) bool {
		_, goes := notes[a]
		return !goes && now.Sub(last.at) >= tellAgain
	})
}

func (a alert) compare(b alert) int {
	if c := a.Key.Compare(b.Key); c != 0 {
		return c
	}
	return strings.Compare(a.uid+a.reason, b.uid+b.reason)
}

// alerts gathers the problems that a person must act on, by object and reason.
func (e *Events) alerts(set *resource.Set, problems []status.Problem) map[alert]string {
	out, more := map[alert]string{}, map[alert]int{}
	for _, p := range problems {
		if p.Alert == "" {
			continue
		}
		o := e.concerned(set, p)
		if o == nil {
			continue
		}
		a := alert{Key: o.Key, uid: o.UID, reason: p.Alert}
		switch _, there := out[a]; {
		case there:
			more[a]++
		case len(out) >= mostAlerts:
			if !e.over {
				e.over = true
				e.cfg.Log.Warn("there is more to act on than Events are written of; see the report", "written", mostAlerts)
			}
		default:
			out[a] = p.Told()
		}
	}
	for a, n := range more {
		out[a] += fmt.Sprintf(" (and %d more)", n)
	}
	return out
}

// concerned returns the object that a problem is of.
func (e *Events) concerned(set *resource.Set, p status.Problem) *resource.Object {
	for _, d := range e.cfg.Dialects {
		for _, k := range d.Kinds {
			if k.Kind != p.Origin.Kind {
				continue
			}
			if o := set.Get(resource.Key{GroupKind: k.GroupKind, Namespace: p.Origin.Namespace, Name: p.Origin.Name}); o != nil {
				return o
			}
		}
	}
	return nil
}

// write creates an Event, or counts it once more where it is there.
func (e *Events) write(ctx context.Context, o *resource.Object, a alert, note string) error {
	if len(note) > longestNote {
		note = strings.ToValidUTF8(note[:longestNote-4], "") + " ..."
	}
	now := e.cfg.Clock().UTC().Format(microTime)
	namespace := o.Namespace
	if namespace == "" {
		namespace = "default"
	}
	apiVersion := strings.TrimPrefix(o.Group+"/"+o.Version, "/")
	name := o.Name[:min(len(o.Name), longestName)] + "." + digest(o.UID, a.reason, note)
	api := e.client.Resource(events).Namespace(namespace)
	_, err := api.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "events.k8s.io/v1", "kind": "Event",
		"metadata":  map[string]any{"namespace": namespace, "name": name},
		"eventTime": now, "reportingController": reportingController, "reportingInstance": e.host,
		"action": "Translate", "reason": a.reason, "type": "Warning", "note": note,
		"regarding": map[string]any{"apiVersion": apiVersion, "kind": o.Kind, "namespace": o.Namespace, "name": o.Name, "uid": o.UID},
	}}, metav1.CreateOptions{FieldManager: userAgent})
	if apierrors.IsAlreadyExists(err) {
		return e.repeat(ctx, api, name, now, max(e.told[a].count, 1)+1)
	}
	return err
}

// repeat says how often something was told by now. Another replica may have
// begun to count; what it counted is forgotten.
func (e *Events) repeat(ctx context.Context, api dynamic.ResourceInterface, name, now string, count int64) error {
	patch, err := json.Marshal(map[string]any{"series": map[string]any{"count": count, "lastObservedTime": now}})
	if err != nil {
		return err
	}
	_, err = api.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: userAgent})
	if apierrors.IsNotFound(err) { // it ended just now
		return nil
	}
	return err
}

// failed tells once why no Event can be written.
func (e *Events) failed(ctx context.Context, err error) {
	why := "the API server does not take it"
	if apierrors.IsForbidden(err) {
		why = "it is not allowed: grant create and patch of events.k8s.io"
	}
	if ctx.Err() == nil && why != e.muted {
		e.muted = why
		e.cfg.Log.Warn("no Events are written", "because", why, "error", err)
	}
}

// reportingController is who we are in Events.
const reportingController = "postern.dev/gateway-controller"

// microTime is the form of times in Events and Leases.
const microTime = "2006-01-02T15:04:05.000000Z"

// digest returns a short name for texts.
func digest(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
