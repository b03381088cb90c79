package simulate

import (
	"net/http"
	"strings"
	"time"
)

const gcpMachinePath = "/computeMetadata/v1/instance/service-accounts/default/"

// GCPMachine simulates the metadata server of a machine at Google, which is the
// service account. See
// https://cloud.google.com/compute/docs/access/authenticate-workloads.
type GCPMachine struct {
	*Cloud
	hosts []string
}

// NewGCPMachine makes a GCPMachine of cfg.Cloud.
func NewGCPMachine(cfg ProviderConfig) *GCPMachine {
	return &GCPMachine{Cloud: cfg.cloud(), hosts: cfg.Hosts}
}

// Name is "gcp-metadata".
func (m *GCPMachine) Name() string { return "gcp-metadata" }

// Hosts are the configured host names.
func (m *GCPMachine) Hosts() []string { return m.hosts }

// Answer replies as the metadata server would, by whose header it is known.
func (m *GCPMachine) Answer(r *Request) Answer {
	a := m.dated(m.answer(r))
	a.Header.Set("Metadata-Flavor", "Google")
	return a
}

func (m *GCPMachine) answer(r *Request) Answer {
	if r.Header.Get("Metadata-Flavor") != "Google" || r.Header.Get("X-Forwarded-For") != "" || r.Method != http.MethodGet {
		return plainText(http.StatusForbidden, "Forbidden")
	}
	switch r.URL.Path {
	case gcpMachinePath + "email":
		return plainText(http.StatusOK, m.cfg.ServiceAccount)
	case gcpMachinePath + "token":
	default:
		return plainText(http.StatusNotFound, "Not Found")
	}
	scope := strings.ReplaceAll(r.URL.Query().Get("scopes"), ",", " ")
	if scope == "" {
		scope = gcpScope
	}
	life := m.lifetime(0)
	return jsonAnswer(http.StatusOK, struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
		Type    string `json:"token_type"`
	}{m.GoogleToken(GoogleAccess{Account: m.cfg.ServiceAccount, Scope: scope, Expires: m.now().Add(life)}), int(life / time.Second), "Bearer"})
}

// Failure is a metadata server's error of that status.
func (m *GCPMachine) Failure(status int) Answer {
	a := plainText(status, http.StatusText(status))
	a.Header.Set("Metadata-Flavor", "Google")
	return a
}
