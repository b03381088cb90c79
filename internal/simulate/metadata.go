package simulate

import (
	"net/http"
	"strconv"
	"time"
)

const (
	metadataRole    = "simulated-machine"
	metadataSession = "simulated-metadata-session"
	// PodToken is what a container shows to the credentials server.
	PodToken = "simulated-container-token"
)

// Metadata simulates the servers that tell a machine or container of its
// identity. Those of AWS: instance metadata, by sessions only (IMDSv2), and the
// credentials server of ECS and EKS Pod Identity. See
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html.
// And those of Azure, one of which has the same address.
type Metadata struct {
	*Cloud
	hosts []string
}

// NewMetadata makes a Metadata of cfg.Cloud.
func NewMetadata(cfg ProviderConfig) *Metadata {
	return &Metadata{Cloud: cfg.cloud(), hosts: cfg.Hosts}
}

// Name is "aws-metadata".
func (m *Metadata) Name() string { return "aws-metadata" }

// Hosts are the configured host names.
func (m *Metadata) Hosts() []string { return m.hosts }

// Answer replies as the server of the path would.
func (m *Metadata) Answer(r *Request) Answer { return m.dated(m.answer(r)) }

func (m *Metadata) answer(r *Request) Answer {
	const list = "/latest/meta-data/iam/security-credentials/"
	switch path := r.URL.Path; path {
	case azureMachinePath, azureAppPath: // one address is that of several vendors' machines
		return m.azure(r)
	case "/latest/api/token":
		ttl, err := strconv.Atoi(r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
		if r.Method != http.MethodPut || err != nil || ttl < 1 || ttl > 21600 || r.Header.Get("X-Forwarded-For") != "" {
			return plainText(http.StatusBadRequest, "Bad Request")
		}
		return plainText(http.StatusOK, metadataSession)
	case list, list + metadataRole:
		switch {
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != metadataSession:
			return plainText(http.StatusUnauthorized, "Unauthorized")
		case path == list:
			return plainText(http.StatusOK, metadataRole)
		}
		return m.keysAnswer(true)
	case "/v1/credentials", "/v2/credentials/simulated":
		if r.Header.Get("Authorization") != PodToken {
			return plainText(http.StatusUnauthorized, "Unauthorized")
		}
		return m.keysAnswer(false)
	}
	return plainText(http.StatusNotFound, "Not Found")
}

func (m *Metadata) keysAnswer(machine bool) Answer {
	keys := m.Issue(Session{Role: "arn:aws:iam::123456789012:role/" + metadataRole, Name: "i-simulated", Expires: m.now().Add(m.lifetime(0))})
	doc := struct {
		Code       string `json:"Code,omitempty"`
		Type       string `json:"Type,omitempty"`
		ID         string `json:"AccessKeyId"`
		Key        string `json:"SecretAccessKey"`
		Token      string `json:"Token"`
		Expiration string `json:"Expiration"`
	}{ID: keys.AccessKeyID, Key: keys.SecretAccessKey, Token: keys.SessionToken, Expiration: keys.Expires.Format(time.RFC3339)}
	if machine {
		doc.Code, doc.Type = "Success", "AWS-HMAC"
	}
	return jsonAnswer(http.StatusOK, doc)
}

func plainText(status int, text string) Answer {
	return Answer{Status: status, Header: http.Header{"Content-Type": {"text/plain"}}, Body: []byte(text)}
}

// Failure is a metadata server's error of that status.
func (m *Metadata) Failure(status int) Answer { return plainText(status, http.StatusText(status)) }
