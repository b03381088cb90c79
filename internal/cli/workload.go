package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/internal/builtin"
)

// workloadOptions are the flags that say which workload the gateway is.
type workloadOptions struct {
	name, labels string
}

func (o *workloadOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.name, "workload", "", "`NAMESPACE/NAME` of the workload that this gateway is, for what selects workloads (default one for each Istio Gateway and VirtualGateway: its namespace, and the labels that its selector names)")
	f.StringVar(&o.labels, "workload-labels", "", "`LABELS` of the workload, as key=value,...")
}

// workload returns the workload that the flags name, or nil.
func (o *workloadOptions) workload() (*builtin.Workload, error) {
	if o.name == "" {
		if o.labels != "" {
			return nil, usageError{errors.New("--workload-labels needs --workload")}
		}
		return nil, nil
	}
	namespace, name, ok := strings.Cut(o.name, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return nil, usageError{fmt.Errorf("--workload %q: want NAMESPACE/NAME", o.name)}
	}
	w := &builtin.Workload{Namespace: namespace, Name: name, Labels: map[string]string{}}
	for pair := range strings.SplitSeq(o.labels, ",") {
		if o.labels == "" {
			break
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, usageError{fmt.Errorf("--workload-labels %q: want key=value and more after commas", o.labels)}
		}
		if _, doubled := w.Labels[key]; doubled {
			return nil, usageError{fmt.Errorf("--workload-labels %q: label %s is written twice", o.labels, key)}
		}
		w.Labels[key] = value
	}
	return w, nil
}
