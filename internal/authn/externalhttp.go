package authn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// externalHTTP asks over HTTP: a 2xx lets pass, a 5xx is no answer, as with
// Envoy, and anything else is the client's answer.
type externalHTTP struct {
	cfg      ir.ExternalHTTP
	patterns externalPatterns
	url      *url.URL
	add      http.Header
	sanitize []string
	client   *http.Client // nil: nobody is asked
	idle     *http.Transport
}

func newExternalHTTP(cfg *ir.ExternalAuth, dial Dial) (*externalHTTP, error) {
	h := &externalHTTP{cfg: *cfg.HTTP, add: http.Header{}}
	u, err := url.Parse(h.cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, errors.New("not an http or https URL")
	}
	plain := *u
	plain.Scheme = "http" // dial speaks TLS itself
	h.url = &plain
	for name, value := range h.cfg.AddHeaders {
		if !validHeaderName(name) || !validHeaderValue(value) {
			return nil, fmt.Errorf("header %q to add is malformed", name)
		}
		h.add.Set(name, value)
	}
	for _, list := range [][]string{h.cfg.RequestHeaders, h.cfg.UpstreamHeaders, h.cfg.UpstreamAppend, h.cfg.ClientHeaders, h.cfg.SuccessHeaders} {
		for _, name := range list {
			if !validHeaderName(name) {
				return nil, fmt.Errorf("%q is no header name", name)
			}
		}
	}
	h.patterns = externalPatterns{
		request: patternsIn(&h.cfg.RequestHeaders), upstream: patternsIn(&h.cfg.UpstreamHeaders),
		client: patternsIn(&h.cfg.ClientHeaders), success: patternsIn(&h.cfg.SuccessHeaders),
	}
	h.cfg.RequestHeaders, h.cfg.ClientHeaders = canonical(h.cfg.RequestHeaders), canonical(h.cfg.ClientHeaders)
	h.sanitize = unique(canonical(h.cfg.UpstreamHeaders))
	if dial != nil {
		h.idle = &http.Transport{
			DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, "http/1.1") },
			DisableCompression: true, MaxIdleConnsPerHost: 64, MaxConnsPerHost: 256, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
		}
		h.client = unled(&http.Client{Transport: h.idle})
	}
	return h, nil
}

func (h *externalHTTP) close() {
	if h.idle != nil {
		h.idle.CloseIdleConnections()
	}
}

func (h *externalHTTP) ask(ctx context.Context, q *query) (*decision, error) {
	if h.client == nil {
		return nil, errors.New("nobody is asked here")
	}
	req, err := h.request(ctx, q)
	if err != nil {
		return nil, err
	}
	resp, err := h.client.Do(req)
	if err != nil {
		var ue *url.Error // repeats the URL, with the request's path
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, errors.New("its answer broke off")
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("%w: it has more than %d bytes", errAnswer, maxAnswer)
	case resp.StatusCode >= 500:
		return nil, fmt.Errorf("it answered %d", resp.StatusCode)
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return h.consent(q.r.Header, resp.Header), nil
	}
	return &decision{status: resp.StatusCode, header: h.refusal(resp.Header), text: string(text)}, nil
}

func (h *externalHTTP) request(ctx context.Context, q *query) (*http.Request, error) {
	call, method, u := q.r.Call, h.cfg.Method, *h.url
	if method == "" {
		method = call.Method
	}
	if h.cfg.AppendPath {
		path := strings.TrimSuffix(u.EscapedPath(), "/") + call.Path
		plain, err := url.PathUnescape(path)
		if err != nil {
			return nil, errors.New("the request's path cannot be sent on")
		}
		u.Path, u.RawPath, u.RawQuery = plain, path, call.RawQuery
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, errors.New("the question cannot be made of the request")
	}
	if h.cfg.AppendPath {
		req.Host = call.Host
	}
	req.Header.Set("User-Agent", "") // none of ours
	for _, name := range h.cfg.RequestHeaders {
		if v := q.r.Header[name]; len(v) > 0 && !hopHeader(name) {
			req.Header[name] = v
		}
	}
	for _, name := range h.patterns.request.of(q.r.Header) {
		req.Header[name] = q.r.Header[name]
	}
	for name, v := range h.add {
		req.Header[name] = v
	}
	return req, nil
}

// hopHeader reports whether a header frames one message or concerns one
// connection (RFC 9110 section 7.6.1), so that it means nothing to another.
func hopHeader(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Host", "Expect":
		return true
	}
	return false
}

// consent reads what a 2xx says of the request and of the answer to it.
func (h *externalHTTP) consent(request, answer http.Header) *decision {
	d := &decision{pass: true, remove: h.patterns.upstream.of(request)}
	for _, name := range h.patterns.upstream.of(answer) {
		d.set = append(d.set, headerSets(answer, name, false)...)
	}
	for _, name := range h.patterns.success.of(answer) {
		d.reply = append(d.reply, headerSets(answer, name, false)...)
	}
	for _, name := range h.cfg.UpstreamHeaders {
		d.set = append(d.set, headerSets(answer, name, false)...)
	}
	for _, name := range h.cfg.UpstreamAppend {
		d.set = append(d.set, headerSets(answer, name, true)...)
	}
	for _, name := range h.cfg.SuccessHeaders {
		d.reply = append(d.reply, headerSets(answer, name, false)...)
	}
	return d
}

// headerSets are the values of one header; all but the first are added.
func headerSets(from http.Header, name string, add bool) []HeaderSet {
	name = http.CanonicalHeaderKey(name)
	var out []HeaderSet
	for _, v := range from[name] {
		out = append(out, HeaderSet{Name: name, Value: v, Append: add})
		add = true
	}
	return out
}

// refusal is what the client gets of a refusal's headers.
func (h *externalHTTP) refusal(answer http.Header) http.Header {
	out := http.Header{}
	for name, v := range answer {
		always := name == "Location" || name == "Www-Authenticate"
		listed := len(h.cfg.ClientHeaders)+len(h.patterns.client) > 0
		if hopHeader(name) || !always && listed && !slices.Contains(h.cfg.ClientHeaders, name) && !h.patterns.client.take(name) {
			continue
		}
		out[name] = v
	}
	return out
}
