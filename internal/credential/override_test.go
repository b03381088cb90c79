package credential_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/credential/credentialtest"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

func TestOverrideByHeader(t *testing.T) {
	tests := []struct {
		name     string
		brought  []string
		required bool
		want     string
		status   int
	}{
		{"none", nil, false, "Bearer configured", 0},
		{"one", []string{"mine"}, false, "Bearer mine", 0},
		{"with its scheme", []string{"bearer mine\t"}, false, "Bearer mine", 0},
		{"none, required", nil, true, "", 401},
		{"one, required", []string{"mine"}, true, "Bearer mine", 0},
		{"two", []string{"a", "b"}, false, "", 400},
		{"two, required", []string{"a", "b"}, true, "", 400},
		{"empty", []string{""}, false, "", 400},
		{"line feed", []string{"a\nX: b"}, false, "", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := secret.NewStore()
			store.Put(map[secret.Ref]secret.Value{keyRef: secret.NewValue([]byte("configured"))})
			cfg := headerConfig("Authorization", "Bearer ")
			cfg.Override = &ir.CredentialOverride{Header: "x-own-key", Required: tt.required}
			in, err := credential.New(cfg, credential.Deps{Store: store})
			if err != nil {
				t.Fatal(err)
			}
			o := credentialtest.Outbound("Authorization")
			o.Header["X-Own-Key"] = tt.brought
			if tt.brought != nil {
				o.Override = http.Header{"X-Own-Key": tt.brought}
			}
			err = in.Inject(t.Context(), o)
			var caller *credential.CallerError
			if errors.As(err, &caller) != (tt.status != 0) || caller != nil && caller.Status != tt.status {
				t.Fatalf("error %v", err)
			}
			if _, ok := o.Header["X-Own-Key"]; ok {
				t.Error("the header travels on")
			}
			if got := o.Header.Get("Authorization"); tt.status == 0 && got != tt.want {
				t.Errorf("Authorization is %q", got)
			}
		})
	}
}

func TestOverrideOfAWSKeys(t *testing.T) {
	all := map[string]string{"X-Aws-Access-Key-Id": "AKIDCALLER", "X-Aws-Secret-Access-Key": "callers-secret", "X-Aws-Session-Token": "callers-token"}
	headers := func(names ...string) http.Header {
		h := http.Header{}
		for _, n := range names {
			h[n] = []string{all[n]}
		}
		return h
	}
	const id, key, session = "X-Aws-Access-Key-Id", "X-Aws-Secret-Access-Key", "X-Aws-Session-Token"
	tests := []struct {
		name    string
		brought http.Header
		id      string // that signs
		token   string
	}{
		{"none", nil, suiteID, ""},
		{"all", headers(id, key, session), "AKIDCALLER", "callers-token"},
		{"without a session", headers(id, key), "AKIDCALLER", ""},
		{"id alone", headers(id), "", ""},
		{"secret alone", headers(key), "", ""},
		{"session alone", headers(session), "", ""},
		{"no secret", headers(id, session), "", ""},
		{"no id", headers(key, session), "", ""},
		{"empty session", http.Header{id: {"AKID"}, key: {"s"}, session: {""}}, "", ""},
		{"empty secret", http.Header{id: {"AKID"}, key: {""}}, "", ""},
		{"doubled", http.Header{id: {"AKID", "AKID"}, key: {"s"}}, "", ""},
	}
	store := secret.NewStore()
	store.Put(map[secret.Ref]secret.Value{awsRef("id"): secret.NewValue([]byte(suiteID)), awsRef("key"): secret.NewValue([]byte(suiteKey))})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := awsConfig("bedrock", false)
			cfg.Override = &ir.CredentialOverride{Header: "x-aws-"}
			if diff := cmp.Diff([]string{id, key, session}, credential.OverrideHeaders(cfg)); diff != "" {
				t.Error(diff)
			}
			in, err := credential.New(cfg, credential.Deps{Store: store, Clock: suiteTime})
			if err != nil {
				t.Fatal(err)
			}
			o := credentialtest.Outbound("Authorization")
			o.Override = tt.brought
			err = in.Inject(t.Context(), o)
			if tt.id == "" {
				var caller *credential.CallerError
				if !errors.As(err, &caller) || caller.Status != 400 || strings.Contains(err.Error(), "callers") {
					t.Errorf("a part of a credential: %v", err)
				}
				return
			}
			if err != nil || !strings.Contains(o.Header.Get("Authorization"), "Credential="+tt.id+"/") || o.Header.Get("X-Amz-Security-Token") != tt.token {
				t.Errorf("error %v, %s", err, o.Header.Get("Authorization"))
			}
		})
	}
}

func TestOverrideByMetadata(t *testing.T) {
	type left struct {
		text   string
		isJSON bool
	}
	tests := []struct {
		name   string
		aws    bool
		left   *left
		want   string // in Authorization; empty: refused
		status int
	}{
		{"none", false, nil, "Bearer configured", 0},
		{"null", false, &left{"null", true}, "Bearer configured", 0},
		{"text", false, &left{"mine", false}, "Bearer mine", 0},
		{"JSON", false, &left{`"mine"`, true}, "Bearer mine", 0},
		{"an object", false, &left{`{"a":1}`, true}, "", 400},
		{"empty", false, &left{"", false}, "", 400},
		{"keys", true, &left{`{"accessKeyId":"AKIDCALLER","secretAccessKey":"s","sessionToken":"t"}`, true}, "Credential=AKIDCALLER/", 0},
		{"no keys", true, nil, "Credential=" + suiteID, 0},
		{"some keys", true, &left{`{"accessKeyId":"AKIDCALLER"}`, true}, "", 400},
		{"keys that are none", true, &left{`{"accessKeyId":1,"secretAccessKey":"s"}`, true}, "", 400},
		{"text for keys", true, &left{`AKID`, false}, "", 400},
		{"an empty object", true, &left{`{}`, true}, "", 400},
	}
	store := secret.NewStore()
	store.Put(map[secret.Ref]secret.Value{
		awsRef("id"): secret.NewValue([]byte(suiteID)), awsRef("key"): secret.NewValue([]byte(suiteKey)), keyRef: secret.NewValue([]byte("configured")),
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := headerConfig("Authorization", "Bearer ")
			if tt.aws {
				cfg = awsConfig("bedrock", false)
			}
			cfg.Override = &ir.CredentialOverride{Metadata: &ir.MetadataKey{Namespace: "n", Key: "k"}}
			in, err := credential.New(cfg, credential.Deps{Store: store, Clock: suiteTime})
			if err != nil {
				t.Fatal(err)
			}
			o := credentialtest.Outbound("Authorization")
			o.Metadata = func(namespace, key string) (string, bool, bool) {
				if namespace != "n" || key != "k" || tt.left == nil {
					return "", false, false
				}
				return tt.left.text, tt.left.isJSON, true
			}
			err = in.Inject(t.Context(), o)
			var caller *credential.CallerError
			if errors.As(err, &caller) != (tt.status != 0) || caller != nil && caller.Status != tt.status {
				t.Fatalf("error %v", err)
			}
			if tt.status == 0 && !strings.Contains(o.Header.Get("Authorization"), tt.want) {
				t.Errorf("Authorization is %q", o.Header.Get("Authorization"))
			}
		})
	}
}

// Where the caller has to bring the credential, the configured one is neither
// fetched nor missed.
func TestOverrideRequiredNeedsNothing(t *testing.T) {
	cfg := clientConfig(nil)
	cfg.Override = &ir.CredentialOverride{Header: "x-own", Required: true}
	fetched := false
	in, err := credential.New(cfg, credential.Deps{Store: secret.NewStore(), Client: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		fetched = true
		return nil, errBroken
	})}})
	if err != nil {
		t.Fatal(err)
	}
	o := credentialtest.Outbound("Authorization")
	o.Override = http.Header{"X-Own": {"mine"}}
	if err := in.Inject(t.Context(), o); err != nil || o.Header.Get("Authorization") != "Bearer mine" || fetched {
		t.Errorf("error %v, fetched %v", err, fetched)
	}
	if err := in.(credential.Checker).Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestOverrideRefusesAtLoad(t *testing.T) {
	for name, edit := range map[string]func(*ir.Credential){
		"neither": func(c *ir.Credential) { c.Override = &ir.CredentialOverride{} },
		"both":    func(c *ir.Credential) { c.Override = &ir.CredentialOverride{Header: "a", Metadata: &ir.MetadataKey{}} },
		"host":    func(c *ir.Credential) { c.Override = &ir.CredentialOverride{Header: "Host"} },
		"passthrough": func(c *ir.Credential) {
			c.Header, c.Passthrough = nil, &ir.PassthroughCredential{Name: "x"}
			c.Override = &ir.CredentialOverride{Header: "a"}
		},
	} {
		cfg := headerConfig("Authorization", "Bearer ")
		edit(cfg)
		if _, err := credential.New(cfg, credential.Deps{Store: secret.NewStore()}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
