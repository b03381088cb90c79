package cli

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSimulate holds that the simulated providers serve alone, and that a
// gateway can be led to them.
func TestSimulate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	s := start(t, "root certificate in ", "", "simulate", "--addr", "127.0.0.1:0", "--tls-addr", "127.0.0.1:0", "--ca-dir", dir, "--key", "wanted", "--default-provider", "openai")
	m := regexp.MustCompile(`on http://(\S+) and https://(\S+)\n`).FindStringSubmatch(s.err.String())
	ca := regexp.MustCompile(`root certificate in (\S+)\n`).FindStringSubmatch(s.err.String())
	if m == nil || ca == nil {
		t.Fatalf("says\n%s", &s.err)
	}
	if got := get(t, "http://"+m[1]+"/_simulate/requests"); got != 200 {
		t.Errorf("the journal: %d", got)
	}
	if got := get(t, "http://"+m[1]+"/v1/models", "Authorization", "Bearer other"); got != 401 {
		t.Errorf("a wrong key: %d", got)
	}
	upstream := strings.ReplaceAll(secretive, marker, "wanted")
	r := serve(t, "", "-f", folder(t, map[string]string{"a.yaml": upstream}), "--connect-to", "api.openai.com:443="+m[2], "--upstream-ca", ca[1])
	q, err := http.NewRequest(http.MethodPost, "http://"+r.at("8080")+"/a", strings.NewReader(`{"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "hello"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("through a gateway: %d\n%s", resp.StatusCode, &r.out)
	}
	r.stop(0)
	s.stop(0)
	if again := command(t, "", "simulate", "--addr", taken(t), "--tls-addr", "127.0.0.1:0"); again.code != 1 || !strings.Contains(again.err, "address already in use") {
		t.Errorf("a port in use: %+v", again)
	}
}

// tryLine is one thing to try as the demo prints it.
var tryLine = regexp.MustCompile(`(?m)^   # (.*: (\d{3})(?:, (.*))?)\n   (curl .*)$`)

// TestDemo runs what the demo tells people to run, with the curl that they
// have, and holds it to what it says of it.
func TestDemo(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl here")
	}
	t.Setenv("TMPDIR", t.TempDir())
	d := start(t, "postern: ready\n", "", "demo")
	tries := tryLine.FindAllStringSubmatch(d.err.String(), -1)
	if want := len(walkthroughs()[0].tries) + len(walkthroughs()[1].tries); len(tries) < want {
		t.Fatalf("%d things to try, want %d:\n%s", len(tries), want, &d.err)
	}
	for _, m := range tries {
		shows, status, body, line := m[1], m[2], m[3], m[4]
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		out, err := exec.CommandContext(ctx, "sh", "-c", line+" --silent --noproxy '*'").CombinedOutput()
		cancel()
		head, rest, _ := strings.Cut(string(out), "\r\n\r\n")
		if err != nil || !strings.HasPrefix(head, "HTTP/1.1 "+status+" ") || !strings.Contains(rest, body) {
			t.Errorf("%s\n%s\n%v: %s", shows, line, err, out)
		}
	}
	journal := regexp.MustCompile(`curl (http://\S+/_simulate/requests)`).FindStringSubmatch(d.err.String())
	if journal == nil || get(t, journal[1]) != 200 {
		t.Errorf("what the providers were sent cannot be seen:\n%s", &d.err)
	}
	d.stop(0)
	if n := strings.Count(d.out.String(), "\n"); n != len(tries) {
		t.Errorf("%d lines on standard output, want one for each request:\n%s", n, &d.out)
	}
	for _, key := range []string{demoOpenAIKey, demoHuggingFaceKey} {
		if strings.Contains(d.out.String(), key) || strings.Contains(d.err.String(), key) {
			t.Errorf("security row 8: the demo shows %s", key)
		}
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("the demo leaves %v, %v", left, err)
	}
}
