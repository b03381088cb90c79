package envoyai

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

var duration = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)

// headerName checks the name of a header that is to be changed.
func (p *place) headerName(field, n string) bool {
	switch {
	case len(n) > 256 || !reading.IsToken(n):
		p.Fail(field, "correct it", "%q is no header name", n)
	case reading.IsFraming(n):
		p.Fail(field, "remove it", "header %s cannot be changed", n)
	default:
		return true
	}
	return false
}

// headerText checks the value of a header that is to be written.
func (p *place) headerText(field, v string) bool {
	switch {
	case v == "" || len(v) > 4096:
		p.Fail(field, "write 1 to 4096 bytes", "the value is empty or too long")
	case strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
		p.Fail(field, "write it on one line", "the value holds a line break, NUL or another control character")
	default:
		return true
	}
	return false
}

// duration reads a duration of the Gateway API; nil and "0s" are none.
func (p *place) duration(field string, s *string) time.Duration {
	if s == nil || *s == "" {
		return 0
	}
	d, err := time.ParseDuration(*s)
	if err != nil || !duration.MatchString(*s) {
		p.Fail(field, "write one such as 10s or 1h30m", "%q is no duration", *s)
		return 0
	}
	return d
}

// checkDuration reads both timeouts, and reports an attempt that may take
// longer than its request.
func (p *place) checkDuration(field string, t *requestTimeouts) (request, attempt time.Duration) {
	if t == nil {
		return 0, 0
	}
	request, attempt = p.duration(field+".request", t.Request), p.duration(field+".backendRequest", t.BackendRequest)
	if request > 0 && attempt > request {
		p.Fail(field+".backendRequest", "shorten it", "backendRequest timeout cannot be longer than request timeout")
	}
	return request, attempt
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// quoteJSON returns s as a JSON string.
func quoteJSON(s string) string {
	b, _ := json.Marshal(s) // a string: cannot fail
	return string(b)
}

// target returns the target that an object is.
func target(k resource.Key) dialect.Target { return dialect.TargetOf(k) }
