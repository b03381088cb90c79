package explain

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Past is a decision as the access log has it; telemetry.AccessLog says what
// the members mean.
type Past struct {
	Time           string   `json:"time"`
	Decision       string   `json:"decision"`
	RequestID      string   `json:"request_id,omitempty"`
	Client         string   `json:"client,omitempty"`
	Method         string   `json:"method,omitempty"`
	Scheme         string   `json:"scheme,omitempty"`
	Authority      string   `json:"authority,omitempty"`
	Path           string   `json:"path,omitempty"`
	Listener       string   `json:"listener,omitempty"`
	Route          string   `json:"route,omitempty"`
	RouteOrigin    string   `json:"route_origin,omitempty"`
	Verdict        string   `json:"verdict"`
	Policy         string   `json:"policy,omitempty"`
	PolicyOrigin   string   `json:"policy_origin,omitempty"`
	Cause          string   `json:"cause,omitempty"`
	Passed         []string `json:"passed,omitempty"`
	Subject        string   `json:"subject,omitempty"`
	Issuer         string   `json:"issuer,omitempty"`
	Authenticator  string   `json:"authenticator,omitempty"`
	Upstream       string   `json:"upstream,omitempty"`
	Endpoint       string   `json:"endpoint,omitempty"`
	Attempts       int      `json:"attempts,omitempty"`
	UpstreamStatus int      `json:"upstream_status,omitempty"`
	Model          string   `json:"model,omitempty"`
	Status         int      `json:"status"`
	BytesIn        int64    `json:"bytes_in,omitempty"`
	BytesOut       int64    `json:"bytes_out,omitempty"`
	DurationMS     float64  `json:"duration_ms"`
	FirstByteMS    float64  `json:"first_byte_ms,omitempty"`
	Cut            string   `json:"cut,omitempty"`
}

// longestLine bounds a line of an access log; what is longer is none of ours.
const longestLine = 1 << 20

// Find looks a decision up in an access log, by its id or the request's id. Of
// several, the last counts. Lines that are no JSON objects are passed over.
func Find(log io.Reader, id string) (*Past, error) {
	in := bufio.NewScanner(log)
	in.Buffer(make([]byte, 64<<10), longestLine)
	var found *Past
	lines, readable := 0, 0
	for in.Scan() {
		lines++
		if !bytes.Contains(in.Bytes(), []byte(id)) {
			readable += min(1, bytes.Count(in.Bytes(), []byte(`"decision"`)))
			continue
		}
		var p Past
		if json.Unmarshal(in.Bytes(), &p) != nil {
			continue
		}
		readable++
		if p.Decision == id || p.RequestID == id {
			found = &p
		}
	}
	switch err := in.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d is longer than any of an access log: is this the right file?", lines+1)
	case err != nil:
		return nil, err
	case found != nil:
		return found, nil
	case readable == 0:
		return nil, fmt.Errorf("none of its %d lines is an access log's: name the file that run's --access-log writes", lines)
	}
	return nil, fmt.Errorf("no decision %q among %d: is it in an older file?", id, readable)
}

// Text tells of the decision in words.
func (d *Past) Text(w io.Writer) error {
	p := &printer{}
	fmt.Fprintf(&p.b, "%s %s://%s%s\n\n", d.Method, d.Scheme, d.Authority, d.Path)
	p.line("decision", "%s", d.summary())
	p.some("by", d.Policy)
	p.some("", d.PolicyOrigin)
	p.some("because", d.Cause)
	p.gap()
	p.some("when", d.Time)
	p.some("from", d.Client)
	p.some("caller", d.caller())
	p.some("listener", d.Listener)
	p.some("route", d.Route)
	p.some("", d.RouteOrigin)
	for i, passed := range d.Passed {
		p.line([]string{"passed", ""}[min(i, 1)], "%s", passed)
	}
	p.some("model", d.Model)
	p.some("upstream", d.sent())
	p.some("ids", strings.TrimSpace(d.Decision+" "+d.RequestID))
	_, err := io.WriteString(w, p.b.String())
	return err
}

// some writes a line if there is something to say.
func (p *printer) some(title, text string) {
	if text != "" {
		p.line(title, "%s", text)
	}
}

func (d *Past) summary() string {
	status := strconv.Itoa(d.Status)
	words := map[string]string{
		"allow": "allowed; the client got " + status, "deny": "denied with " + status,
		"invalid":  "refused with " + status + ", since the request was malformed or ambiguous",
		"no-route": "answered with " + status + ", since nothing takes it",
		"closed":   "answered with " + status + ", since it met configuration that is closed because it is broken",
		"failed":   "let through, and answered with " + status + ", since the upstream did not answer as it should",
	}
	text := words[d.Verdict]
	if text == "" {
		text = d.Verdict + ", with " + status
	}
	if d.Cut != "" {
		text += "; broken off by the " + d.Cut
	}
	return text + fmt.Sprintf(", after %.0f ms", d.DurationMS)
}

func (d *Past) caller() string {
	if d.Authenticator == "" {
		return "nobody who had proven anything"
	}
	id := Identity{Provider: d.Authenticator, Subject: d.Subject, Issuer: d.Issuer}
	return strings.Replace(id.text(), "by  ", "by ", 1)
}

func (d *Past) sent() string {
	if d.Upstream == "" {
		return ""
	}
	text := d.Upstream + ", " + d.Endpoint
	if d.UpstreamStatus != 0 {
		text += fmt.Sprintf(", which answered %d", d.UpstreamStatus)
	}
	if d.Attempts > 1 {
		text += fmt.Sprintf(", at attempt %d", d.Attempts)
	}
	return text
}
