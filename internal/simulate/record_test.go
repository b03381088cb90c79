package simulate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestRecord(t *testing.T) {
	s, client := start(t, Config{})
	url := "https://api-inference.huggingface.co/models/a%2Db/c/..%2Fz?q=1"
	do(t, client, newRequest(t, "POST", url, `{"inputs":"x"}`, "Authorization: Bearer "+huggingFaceKey,
		"Content-Type: application/json", "X-Two: 1", "X-Two: 2", "Cookie: session=1", "User-Agent: test"))
	got := s.Requests()[0]
	want := Record{
		Number: 1, Provider: "huggingface", Method: "POST",
		Path: "/models/a%2Db/c/..%2Fz", Target: "/models/a%2Db/c/..%2Fz?q=1",
		Host: "api-inference.huggingface.co",
		Headers: http.Header{
			"Authorization": {"Bearer " + Fingerprint(huggingFaceKey)}, "Cookie": {Fingerprint("session=1")},
			"Content-Type": {"application/json"}, "Content-Length": {"14"}, "X-Two": {"1", "2"},
			"User-Agent": {"test"}, "Accept-Encoding": {"gzip"},
		},
		Authorizations: 1, BodyLength: 14, BodyComplete: true,
		BodySHA256: "61cc482010d0850e4f5a625d889d136d8fbee83ad0983776ffbf0a79f3173c6b",
		TLS:        true, SNI: "api-inference.huggingface.co", Protocol: "HTTP/2.0",
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Record{})); diff != "" {
		t.Error(diff)
	}
	for name, ok := range map[string]bool{
		"exact value":         got.HeaderIs("authorization", "Bearer "+huggingFaceKey),
		"fingerprint":         !got.HeaderIs("Authorization", "Bearer "+Fingerprint(huggingFaceKey)),
		"one of two values":   !got.HeaderIs("X-Two", "1"),
		"has":                 got.HasHeader("cookie") && !got.HasHeader("X-Api-Key"),
		"count":               got.HeaderCount("x-two") == 2,
		"body":                got.BodyIs([]byte(`{"inputs":"x"}`)) && !got.BodyIs([]byte(`{"inputs":"y"}`)),
		"body's bytes":        string(got.Body()) == `{"inputs":"x"}`,
		"zero record is bare": !Record{}.HasHeader("x") && !Record{}.HeaderIs("x", "") && Record{}.Body() == nil,
	} {
		if !ok {
			t.Error(name)
		}
	}
}

func TestRecordOverHTTP(t *testing.T) {
	s, client := start(t, Config{Keep: 3})
	url := "http://" + s.HTTPAddr()
	for i := range 5 {
		do(t, client, newRequest(t, "GET", fmt.Sprintf("%s/%d", url, i), "", "Host: nobody.example"))
	}
	var list []Record
	if err := json.Unmarshal(do(t, client, newRequest(t, "GET", url+"/_simulate/requests", "")).body, &list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.Requests(), list, cmpopts.IgnoreUnexported(Record{})); diff != "" {
		t.Error(diff)
	}
	if len(list) != 3 || list[0].Number != 3 || list[2].Path != "/4" || list[0].TLS {
		t.Errorf("records %+v", list)
	}
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"POST", "/_simulate/requests", 405}, {"GET", "/_simulate/other", 404}, {"DELETE", "/_simulate/requests", 204},
	} {
		if got := do(t, client, newRequest(t, tt.method, url+tt.path, "")); got.StatusCode != tt.want {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.path, got.StatusCode, tt.want)
		}
	}
	if n := len(s.Requests()); n != 0 {
		t.Errorf("%d records after DELETE", n)
	}
	s.Clear()
}

// No key may be found in the record, wherever the request carried it.
func TestRecordShowsNoKey(t *testing.T) {
	s, client := start(t, Config{Credentials: []string{"x-own-token"}})
	const caller = "caller-MARKER-9876543210"
	requests := []*http.Request{
		chat(t, chatBody),
		chat(t, chatBody, "X-Copy: "+openAIKey, "User-Agent: a "+huggingFaceKey+" b"),
		chat(t, `{"key":"`+openAIKey+`"`),
		newRequest(t, "GET", "https://api.openai.com/"+openAIKey+"?x="+huggingFaceKey, ""),
		newRequest(t, "GET", "https://api.openai.com/?key="+caller+"&a%70i_key=x%2DMARKER&q="+caller, "", "X-Copy: "+caller),
		newRequest(t, openAIKey, "https://api.openai.com/", ""),
		newRequest(t, "GET", "https://api.openai.com/", "", "Host: "+caller, "X-Own-Token: "+caller),
		newRequest(t, "GET", "https://"+strings.ToLower(caller)+".api.openai.com/", "", "Host: api.openai.com"),
	}
	for _, name := range append(credentialHeaders(), "X-Own-Token") {
		for _, value := range []string{caller, "Bearer " + caller, "Basic " + caller, caller + " second", "Bearer  " + caller, "MARKER", "Bearer MARKER"} {
			requests = append(requests, newRequest(t, "POST", openAIURL, "", name+": "+value, name+": MARKER2"))
		}
	}
	for _, r := range requests {
		resp, err := client.Do(r)
		if err != nil {
			continue // a name that is not in the certificate
		}
		resp.Body.Close()
	}
	got := do(t, client, newRequest(t, "GET", "https://api.openai.com/_simulate/requests", ""))
	if n := strings.Count(string(got.body), `"number"`); n < len(requests)-1 {
		t.Fatalf("%d records of %d requests", n, len(requests))
	}
	dump := fmt.Sprintf("%+v %#v %+v", s.Requests(), s.Requests(), both())
	for _, output := range []string{string(got.body), dump} {
		if i := strings.Index(output, "MARKER"); i >= 0 {
			t.Errorf("a key is shown: %s", output[max(0, i-200):i+50])
		}
	}
	if !strings.Contains(string(got.body), `"Bearer `+Fingerprint(caller)+`"`) {
		t.Error("no fingerprint of the caller's key")
	}
}

func TestRecordOfACutBody(t *testing.T) {
	s, client := start(t, Config{MaxBody: 10})
	if got := do(t, client, chat(t, chatBody)); got.StatusCode != 413 {
		t.Errorf("status %d", got.StatusCode)
	}
	got := s.Requests()[0]
	if got.BodyComplete || got.BodyLength != 10 || got.BodyIs([]byte(chatBody[:10])) {
		t.Errorf("complete %v, length %d", got.BodyComplete, got.BodyLength)
	}
}
