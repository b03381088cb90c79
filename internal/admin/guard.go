package admin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// readOnly refuses every method that could be meant to change something.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writeText(w, http.StatusMethodNotAllowed, "this can be looked at, and not changed")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// local refuses what a web page of somebody else's can make a browser send. A
// name that the page's owner has bound to our address (DNS rebinding) is never
// an IP address, nor localhost; and a browser tells from where a request
// comes.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !isLocalHost(r.Host):
			writeText(w, http.StatusForbidden, "the host must be an IP address or localhost")
		case !isOwnSite(r):
			writeText(w, http.StatusForbidden, "requests of other sites are not served")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isLocalHost reports whether an authority is localhost or an IP address.
func isLocalHost(authority string) bool {
	host := authority
	if h, _, err := net.SplitHostPort(authority); err == nil {
		host = h
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == ""
}

// isOwnSite reports whether a browser, if it is one, says that the request
// comes from our own page or from the address bar (Fetch Metadata, RFC 6454).
func isOwnSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		return false
	}
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	return len(origins) == 1 && err == nil && u.Host == r.Host
}

// hardened tells browsers to believe nothing that we did not say, and to keep
// and share nothing.
func hardened(next http.Handler) http.Handler {
	policy := policy()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
