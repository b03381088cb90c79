package simulate

import (
	"net/http"
	"strconv"
	"time"
)

const (
	azureMachinePath = "/metadata/identity/oauth2/token"
	// azureAppPath is where App Service would have its own server.
	azureAppPath = "/msi/token"
	// AppToken is what an application in App Service shows to that server.
	AppToken = "simulated-app-service-header"
)

// azure answers as Azure's instance metadata service, or as App Service's
// server of managed identities. See
// https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token.
func (m *Metadata) azure(r *Request) Answer {
	query := r.URL.Query()
	fail := func(status int, text string) Answer {
		return jsonAnswer(status, struct {
			Error string `json:"error"`
			Text  string `json:"error_description"`
		}{"invalid_request", text})
	}
	app := r.URL.Path == azureAppPath
	switch {
	case r.Method != http.MethodGet:
		return fail(http.StatusMethodNotAllowed, "Method not allowed")
	case !app && (r.Header.Get("Metadata") != "true" || r.Header.Get("X-Forwarded-For") != ""):
		return fail(http.StatusBadRequest, "Required metadata header not specified")
	case app && r.Header.Get("X-Identity-Header") != AppToken:
		return fail(http.StatusUnauthorized, "Wrong X-IDENTITY-HEADER")
	case query.Get("api-version") == "":
		return fail(http.StatusBadRequest, "Required query variable 'api-version' is missing")
	case query.Get("resource") == "":
		return fail(http.StatusBadRequest, "Required query variable 'resource' is missing")
	case query.Has("client_id") && query.Get("client_id") != m.cfg.AzureClientID:
		return fail(http.StatusBadRequest, "Identity not found")
	}
	life := m.lifetime(24 * time.Hour)
	jwt, err := m.EntraToken(query.Get("resource"), life)
	if err != nil {
		return fail(http.StatusInternalServerError, "unknown_error")
	}
	doc := struct {
		Token     string `json:"access_token"`
		Client    string `json:"client_id"`
		ExpiresIn string `json:"expires_in,omitempty"`
		ExpiresOn string `json:"expires_on"`
		Resource  string `json:"resource"`
		Type      string `json:"token_type"`
	}{jwt, m.cfg.AzureClientID, strconv.Itoa(int(life / time.Second)), strconv.FormatInt(m.now().Add(life).Unix(), 10), query.Get("resource"), "Bearer"}
	if app {
		doc.ExpiresIn = ""
	}
	return jsonAnswer(http.StatusOK, doc)
}
