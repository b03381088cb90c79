package admin

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// policy lets a browser load nothing but the page's own style sheet, which is
// named by its hash.
func policy() string {
	return "default-src 'none'; style-src 'sha256-" + hashOf(pageStyle) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// view is what the page shows.
type view struct {
	Style            template.CSS
	Version          string
	NotReady         string
	Errors, Warnings int
	Problems         []status.Problem
	Listeners        []listenerView
	More             int
}

type listenerView struct {
	Name, Address, Closed string
	Routes                []routeView
}

type routeView struct {
	Host, Match, Name, Origin string
	// Asks is empty for a route that asks nobody; Exposed if it carries a
	// credential nonetheless.
	Asks, Carries, To string
	Exposed           bool
	Closed            string
}

// mostRoutes bounds the page; /config has them all.
const mostRoutes = 2000

func page(d Deps) http.Handler {
	t := template.Must(template.New("page").Parse(pageText))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		v := newView(d)
		var out bytes.Buffer
		if err := t.Execute(&out, v); err != nil {
			http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(out.Bytes())
	})
}

func newView(d Deps) *view {
	report, config := d.Report(), d.Config()
	v := &view{Style: template.CSS(pageStyle), Version: d.Version, Problems: report.Problems, Errors: report.Errors()}
	v.Warnings = report.Warnings()
	if err := d.Ready(); err != nil {
		v.NotReady = err.Error()
	}
	left := mostRoutes
	for _, l := range config.Listeners {
		lv := listenerView{Name: l.Name, Address: address(l), Closed: closedText(l.Closed)}
		for _, h := range l.Hosts {
			for _, r := range h.Routes {
				if left--; left < 0 {
					v.More++
					continue
				}
				lv.Routes = append(lv.Routes, newRouteView(config, h, r))
			}
		}
		v.Listeners = append(v.Listeners, lv)
	}
	return v
}

func newRouteView(c *ir.Config, h *ir.VirtualHost, r *ir.Route) routeView {
	asks, carries := r.Asks(), c.Carries(r)
	return routeView{
		Host: h.Hostname, Match: matches(r.Matches), Name: r.Name, Origin: cmp.Or(r.Origin.Position(), r.Origin.Object()),
		Asks: strings.Join(asks, " and "), Carries: strings.Join(carries, ", "),
		Exposed: len(asks) == 0 && len(carries) > 0,
		To:      target(&r.Action), Closed: closedText(closedBy(r)),
	}
}
