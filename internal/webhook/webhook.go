// Package webhook answers an API server that asks whether an object may be
// admitted: the validating half of admission webhooks.
//
//	API server ──AdmissionReview──► Handler ──object──► Judge
//	           ◄─allowed, warnings──        ◄─problems──
//
// It decides nothing itself and knows no Kubernetes client. What is wrong with
// an object is in the words of check, which quote no secret. An object that is
// let in although it is broken is closed when it is served: the webhook spares
// people the way there, and guards nothing.
//
// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/status"
)

// Path is where reviews are sent to.
const Path = "/validate"

// Bounds of a review and of what is said about it. An API server takes objects
// of 1.5 MiB, and sends the old one along.
const (
	maxBody     = 8 << 20
	maxErrors   = 10
	maxWarnings = 5
	maxText     = 500
	// judgeTime is how long a verdict may take; an API server waits for 10 s
	// unless its configuration says otherwise.
	judgeTime = 4 * time.Second
	// maxAtOnce bounds the reviews that are held in memory; the others wait,
	// within judgeTime, and are not read before.
	maxAtOnce = 32
)

// bounded lets h answer so many requests at once as there is room in turns.
func bounded(h http.Handler, turns chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), judgeTime)
		defer cancel()
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
			h.ServeHTTP(w, r.WithContext(ctx))
		case <-ctx.Done():
			http.Error(w, "too many reviews at once", http.StatusServiceUnavailable)
		}
	})
}

// Judge returns the errors and warnings that an object would bring about in
// place of old, which may be nothing; both are JSON. The error says why nobody
// can tell.
type Judge func(ctx context.Context, old, object []byte) (errs, warnings []status.Problem, err error)

// Handler answers reviews.
type Handler struct {
	Judge Judge
	Log   *slog.Logger
}

// review is an admission.k8s.io/v1 AdmissionReview, as far as it is read.
type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID         string          `json:"uid"`
	Operation   string          `json:"operation"`
	SubResource string          `json:"subResource"`
	Name        string          `json:"name"`
	Namespace   string          `json:"namespace"`
	Object      json.RawMessage `json:"object"`
	OldObject   json.RawMessage `json:"oldObject"`
}

type response struct {
	UID      string   `json:"uid"`
	Allowed  bool     `json:"allowed"`
	Status   *outcome `json:"status,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

type outcome struct {
	Message string `json:"message"`
	Reason  string `json:"reason"`
	Code    int    `json:"code"`
}

// admission is the one version that is spoken.
const admission = "admission.k8s.io/v1"

// ServeHTTP answers one review. One that nobody can judge is an error of the
// server, and the API server's failurePolicy decides.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != Path {
		http.NotFound(w, r)
		return
	}
	in, code, err := read(w, r)
	if err != nil {
		http.Error(w, err.Error(), code)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), judgeTime)
	defer cancel()
	out, err := h.answer(ctx, in)
	if err != nil {
		h.Log.Warn("an object cannot be judged", "namespace", in.Namespace, "name", in.Name, "error", err)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review{APIVersion: admission, Kind: "AdmissionReview", Response: out})
}

// read returns the request of a review, or what is wrong with it.
func read(w http.ResponseWriter, r *http.Request) (*request, int, error) {
	if r.Method != http.MethodPost {
		return nil, http.StatusMethodNotAllowed, errors.New("want POST")
	}
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "application/json" {
		return nil, http.StatusUnsupportedMediaType, errors.New("want application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("more than %d bytes", maxBody)
	case err != nil:
		return nil, http.StatusBadRequest, errors.New("the body ends early")
	}
	var in review
	if json.Unmarshal(body, &in) != nil || in.APIVersion != admission || in.Request == nil || in.Request.UID == "" {
		return nil, http.StatusBadRequest, errors.New("want an AdmissionReview of " + admission)
	}
	return in.Request, 0, nil
}

func (h *Handler) answer(ctx context.Context, in *request) (*response, error) {
	out := &response{UID: in.UID, Allowed: true}
	if in.Operation != "CREATE" && in.Operation != "UPDATE" || in.SubResource != "" || absent(in.Object) {
		return out, nil
	}
	if absent(in.OldObject) {
		in.OldObject = nil
	}
	errs, warnings, err := h.Judge(ctx, in.OldObject, in.Object)
	if err != nil {
		return nil, err
	}
	for _, p := range warnings[:min(len(warnings), maxWarnings)] {
		out.Warnings = append(out.Warnings, text(p))
	}
	if more := len(warnings) - maxWarnings; more > 0 {
		out.Warnings = append(out.Warnings, fmt.Sprintf("%d more warnings", more))
	}
	if len(errs) > 0 {
		out.Allowed = false
		out.Status = &outcome{Message: message(errs), Reason: "Invalid", Code: http.StatusUnprocessableEntity}
	}
	return out, nil
}

// absent reports whether an object is not there.
func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// message says what an object is refused for.
func message(errs []status.Problem) string {
	var lines []string
	for _, p := range errs[:min(len(errs), maxErrors)] {
		lines = append(lines, text(p))
	}
	if more := len(errs) - maxErrors; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more errors", more))
	}
	return strings.Join(lines, "\n")
}

// text returns a problem in one bounded line.
func text(p status.Problem) string {
	s := strings.Join(strings.Fields(p.String()), " ")
	if r := []rune(s); len(r) > maxText {
		s = string(r[:maxText]) + " ..."
	}
	return s
}
