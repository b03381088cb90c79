// Package kube owns what is written to a Kubernetes API: the statuses of the
// objects that were translated, by an elected leader.
//
//	Ledger + Set ─Offer─► Statuses ─► what differs ─► queue ─► patch /status
//	                         ▲                          ▲
//	Lease ─► Leader ─────────┘     list, page by page ──┘ at the start, and now and then
//
// It knows no dialect: each renders the statuses of its own kinds, out of the
// live one, so that what other programs wrote stays. Reading is the source's.
package kube

import (
	"log/slog"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// userAgent is how the API server's logs call us.
const userAgent = "postern"

// Config is what Statuses are written with.
type Config struct {
	// Client leads to the API server.
	Client *rest.Config
	// Dialects whose statuses are written.
	Dialects []dialect.Dialect
	// Namespaces that are watched; none, or "*", means every one.
	Namespaces []string
	// Reporter is the namespace that we run in: our name where a status has
	// one entry for each program.
	Reporter string
	// Rate bounds the requests in a second, after a burst of as many; 0: 400.
	Rate int
	// Resync is how often all statuses are compared; 0: every ten minutes.
	Resync time.Duration
	Clock  func() time.Time
	Log    *slog.Logger
}

// Defaults of a Config.
const (
	defaultRate   = 400
	defaultResync = 10 * time.Minute
)

// client returns the client for objects of any kind.
func (c *Config) client() (dynamic.Interface, error) {
	cfg := rest.CopyConfig(c.Client)
	cfg.UserAgent = userAgent
	cfg.QPS, cfg.Burst = float32(c.Rate), c.Rate
	cfg.WarningHandler = rest.NoWarnings{}
	return dynamic.NewForConfig(cfg)
}

// kind is a kind whose statuses are written.
type kind struct {
	resource.Kind
	status dialect.StatusFunc
}

// kindsOf returns the kinds of dialects that render statuses. A kind that two
// of them read is the first one's.
func kindsOf(dialects []dialect.Dialect) map[resource.GroupKind]*kind {
	out := map[resource.GroupKind]*kind{}
	for _, d := range dialects {
		if d.Status == nil {
			continue
		}
		for _, k := range d.Kinds {
			if out[k.GroupKind] == nil {
				out[k.GroupKind] = &kind{Kind: k, status: d.Status}
			}
		}
	}
	return out
}

// state is what became of the objects of a Set.
type state struct {
	set    *resource.Set
	ledger *status.Ledger
	// attached and addresses are those of the ledger.
	attached  map[string]int
	addresses map[string][]status.Address
}
