package infrastructure

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/api/validate/content"

	own "github.com/postern-gateway/postern/internal/resource"
)

// ProxyKind is the kind of the parameters.
var ProxyKind = own.GroupKind{Group: "postern.dev", Kind: "PosternProxy"}

// Kind describes PosternProxy to a decoder.
func Kind() own.Kind {
	return own.Kind{GroupKind: ProxyKind, Versions: []string{"v1alpha1"}, Plural: "posternproxies", New: func() any { return new(PosternProxy) }}
}

// PosternProxy holds parameters of the pods that serve a Gateway. Whoever may
// write one may not choose what runs: the pods hold credentials, so that their
// image and arguments are the controller's to say.
type PosternProxy struct {
	Spec ProxySpec `json:"spec"`
}

// ProxySpec is the spec of a PosternProxy. What it leaves out is taken from
// the parameters of the class, or is the controller's choice.
type ProxySpec struct {
	// Replicas is a fixed number of pods; nil: as Autoscaling says.
	Replicas *int32 `json:"replicas"`
	// Autoscaling says between how many pods load decides.
	Autoscaling *Autoscaling `json:"autoscaling"`
	// Resources of each pod's container.
	Resources *Resources `json:"resources"`
	// Service is how the pods are reached.
	Service *Service `json:"service"`
	// Drain is how long requests may go on when a pod ends, such as "5m".
	Drain string `json:"drain"`
	// NodeSelector holds the labels of the nodes that the pods may be on.
	NodeSelector map[string]string `json:"nodeSelector"`
	// NetworkPolicy says whether one guards the pods; nil: as the controller has
	// it.
	NetworkPolicy *bool `json:"networkPolicy"`
}

// Autoscaling is a range of replicas.
type Autoscaling struct {
	MinReplicas int32 `json:"minReplicas"` // 0: 2, or MaxReplicas if that is less
	MaxReplicas int32 `json:"maxReplicas"`
	// CPU is the share of the requested CPU time, in percent, that the pods are
	// to use on average; 0: 80.
	CPU int32 `json:"cpu"`
}

// Resources are quantities by their names: cpu, memory.
type Resources struct {
	Requests map[string]own.IntOrString `json:"requests"`
	Limits   map[string]own.IntOrString `json:"limits"`
}

// Service is how the pods are reached.
type Service struct {
	// Type is ClusterIP, NodePort or LoadBalancer: the default.
	Type string `json:"type"`
	// Annotations for the Service alone, as cloud providers read them.
	Annotations map[string]string `json:"annotations"`
	// LoadBalancerClass chooses among several providers of load balancers.
	LoadBalancerClass string `json:"loadBalancerClass"`
	// ExternalTrafficPolicy is Cluster, the default, or Local, which keeps the
	// callers' addresses.
	ExternalTrafficPolicy string `json:"externalTrafficPolicy"`
}

// The types of Services.
const (
	ClusterIP    = "ClusterIP"
	NodePort     = "NodePort"
	LoadBalancer = "LoadBalancer"
)

// Bounds of what a PosternProxy may ask for.
const (
	mostReplicas = 1000
	mostDrain    = time.Hour
)

// Check returns what is wrong with a spec. An API server with the kind's
// definition says the same of most of it.
func (s *ProxySpec) Check() error {
	if s.Replicas != nil && s.Autoscaling != nil {
		return errors.New("spec: replicas and autoscaling: choose one of the two")
	}
	if n := s.Replicas; n != nil && (*n < 1 || *n > mostReplicas) {
		return fmt.Errorf("spec.replicas: want 1 to %d", mostReplicas)
	}
	if a := s.Autoscaling; a != nil {
		if err := a.check(); err != nil {
			return err
		}
	}
	if r := s.Resources; r != nil {
		if err := errors.Join(quantities("spec.resources.requests", r.Requests), quantities("spec.resources.limits", r.Limits)); err != nil {
			return err
		}
	}
	if s.Service != nil {
		if err := s.Service.check(); err != nil {
			return err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(s.NodeSelector)) {
		if len(content.IsLabelKey(k)) > 0 || len(content.IsLabelValue(s.NodeSelector[k])) > 0 {
			return fmt.Errorf("spec.nodeSelector: %q is no label", k)
		}
	}
	_, err := s.DrainTime(0)
	return err
}

func (a *Autoscaling) check() error {
	switch {
	case a.MaxReplicas < 1 || a.MaxReplicas > mostReplicas:
		return fmt.Errorf("spec.autoscaling.maxReplicas: want 1 to %d", mostReplicas)
	case a.MinReplicas < 0 || a.MinReplicas > a.MaxReplicas:
		return errors.New("spec.autoscaling.minReplicas: want 1 to maxReplicas")
	case a.CPU < 0 || a.CPU > 100:
		return errors.New("spec.autoscaling.cpu: want 1 to 100")
	}
	return nil
}

func quantities(field string, m map[string]own.IntOrString) error {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if len(content.IsLabelKey(name)) > 0 {
			return fmt.Errorf("%s: %q is no resource", field, name)
		}
		if q, err := resource.ParseQuantity(Quantity(m[name])); err != nil || q.Sign() < 0 {
			return fmt.Errorf("%s.%s: want a quantity such as 500m or 1Gi", field, name)
		}
	}
	return nil
}

// Quantity returns a quantity as text: cpu: 1 is a number in YAML.
func Quantity(v own.IntOrString) string {
	return cmp.Or(v.String, strconv.Itoa(v.Int))
}

func (s *Service) check() error {
	if !slices.Contains([]string{"", ClusterIP, NodePort, LoadBalancer}, s.Type) {
		return errors.New("spec.service.type: want ClusterIP, NodePort or LoadBalancer")
	}
	if !slices.Contains([]string{"", "Cluster", "Local"}, s.ExternalTrafficPolicy) {
		return errors.New("spec.service.externalTrafficPolicy: want Cluster or Local")
	}
	if s.Type == ClusterIP && s.ExternalTrafficPolicy != "" {
		return errors.New("spec.service.externalTrafficPolicy: a Service of type ClusterIP has none")
	}
	if s.LoadBalancerClass != "" && cmp.Or(s.Type, LoadBalancer) != LoadBalancer {
		return errors.New("spec.service.loadBalancerClass: only a Service of type LoadBalancer has one")
	}
	for _, k := range slices.Sorted(maps.Keys(s.Annotations)) {
		if len(content.IsLabelKey(k)) > 0 {
			return fmt.Errorf("spec.service.annotations: %q cannot be the key of an annotation", k)
		}
	}
	return nil
}

// DrainTime returns Drain, or otherwise if there is none.
func (s *ProxySpec) DrainTime(otherwise time.Duration) (time.Duration, error) {
	if s.Drain == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(s.Drain)
	if err != nil || d < 0 || d > mostDrain {
		return 0, errors.New(`spec.drain: want a time such as 30s or 5m, of at most 1h`)
	}
	return d, nil
}

// under returns s where p says nothing, and p elsewhere.
func (s ProxySpec) under(p ProxySpec) ProxySpec {
	if p.Replicas != nil || p.Autoscaling != nil {
		s.Replicas, s.Autoscaling = p.Replicas, p.Autoscaling
	}
	if p.Resources != nil {
		s.Resources = p.Resources
	}
	if p.Service != nil {
		s.Service = p.Service
	}
	if p.NodeSelector != nil {
		s.NodeSelector = p.NodeSelector
	}
	if p.NetworkPolicy != nil {
		s.NetworkPolicy = p.NetworkPolicy
	}
	s.Drain = cmp.Or(p.Drain, s.Drain)
	return s
}
