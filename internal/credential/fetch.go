package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// maxSkew is how far a server's clock may be off before it is reckoned with.
const maxSkew = 2 * time.Second

// reply is an answer that was read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
	// began is when the request was sent, by the gateway's clock.
	began time.Time
}

// ask sends r and reads the answer. Errors name the server, without query and
// credentials, and quote nothing of the answer.
func (d *Deps) ask(r *http.Request) (*reply, error) { return d.askBy(d.Client, r) }

// askMachine is ask for a metadata server of the machine itself.
func (d *Deps) askMachine(r *http.Request) (*reply, error) { return d.askBy(d.Machine, r) }

func (d *Deps) askBy(c *http.Client, r *http.Request) (*reply, error) {
	began := d.Clock()
	resp, err := c.Do(r)
	if err != nil {
		var ue *url.Error // repeats the whole URL, query and all
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("%s: %w", label(r.URL), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%s: read the answer: %w", label(r.URL), err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("%s: the answer is longer than %d bytes", label(r.URL), maxAnswer)
	}
	return &reply{status: resp.StatusCode, header: resp.Header, body: body, began: began}, nil
}

// getJSON fetches a JSON object.
func (d *Deps) getJSON(ctx context.Context, u string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return errors.New("not a URL that can be fetched")
	}
	r.Header.Set("Accept", "application/json")
	a, err := d.ask(r)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("%s answered %d", label(r.URL), a.status)
	}
	if err := a.decode(into); err != nil {
		return fmt.Errorf("%s: %w", label(r.URL), err)
	}
	return nil
}

// decode reads the answer as one JSON object.
func (a *reply) decode(into any) error {
	if t, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err == nil && t == "text/html" {
		return errors.New("the answer is a page for people")
	}
	if !utf8.Valid(a.body) || json.Unmarshal(a.body, into) != nil {
		return errors.New("the answer is not the JSON that it should be")
	}
	return nil
}

// end turns a time by the server's clock into one by ours. Where the clocks
// agree it is the same; else what the answer's Date leaves of the life counts
// from when the request was sent.
func (a *reply) end(t time.Time) time.Time { return localEnd(t, a.serverTime(), a.began) }

// serverTime is the answer's Date, or zero.
func (a *reply) serverTime() time.Time {
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date
}

// localEnd returns when something ends by our clock, that ends at t by a
// server's, which showed date (a whole second) after our clock showed began.
func localEnd(t, date, began time.Time) time.Time {
	if date.IsZero() || date.Sub(began).Abs() <= maxSkew {
		return t
	}
	return began.Add(t.Sub(date) - time.Second)
}

// label returns a URL for people: without credentials, query and fragment.
func label(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// checkURL refuses what is no absolute http or https URL.
func checkURL(what, raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%s: not an http or https URL", what)
	}
	return nil
}

// word returns an error code that a server sent, if it is one of a standard's:
// nothing else that a server says is repeated.
func word(s string) string {
	if s == "" || len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return ""
	}
	return s
}
