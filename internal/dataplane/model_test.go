package dataplane

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// posted is an exchange with a JSON body that is yet to be read.
func posted(body string, budget *Budget) *Exchange {
	e := &Exchange{Header: http.Header{headerModel: {"forged"}}, Length: int64(len(body)), budget: budget}
	e.Body = &boundedBody{ReadCloser: io.NopCloser(strings.NewReader(body)), left: 1 << 20, count: &e.Record.BytesIn, e: e}
	return e
}

func TestReadModel(t *testing.T) {
	e := posted(`{"model":"a","stream":true}`, NewBudget(1<<20))
	if model, named, a := e.ReadModel(); a != nil || !named || model != "a" || e.Model != "a" || !e.WantsStream() || e.Header.Get(headerModel) != "a" || e.Record.Model != "a" {
		t.Fatalf("%q %v %v", model, named, a)
	}
	if r := e.MatchRequest(); r.Model != "a" || !r.HasModel || e.Object() == nil {
		t.Errorf("matched with %q", r.Model)
	}
	for _, tc := range []struct {
		name   string
		change func(*Exchange)
		known  bool
		want   string // afterwards
	}{
		{"an edit of something else", func(e *Exchange) { e.EditBody([]byte(`{"model":"a","x":1}`)) }, true, "a"},
		{"another body", func(e *Exchange) { e.SetBody([]byte(`{"model":"b"}`)) }, false, "b"},
		{"an attempt's body", func(e *Exchange) {
			out := e.WithBody([]byte(`{"model":"c"}`), func() {
				if e.Model != "" || e.modelKnown() {
					t.Error("the request's model is taken for the attempt's")
				}
				e.SetBody([]byte(`{"model":"d"}`))
			})
			if string(out) != `{"model":"d"}` {
				t.Errorf("the attempt sends %s", out)
			}
		}, true, "a"},
		{"the request's own body in an attempt", func(e *Exchange) {
			data, _ := e.Collected()
			e.WithBody(data, func() {
				if e.Object() == nil {
					t.Error("what is known of the body is forgotten")
				}
			})
		}, true, "a"},
	} {
		e := posted(`{"model":"a"}`, NewBudget(1<<20))
		_, _, _ = e.ReadModel()
		tc.change(e)
		if e.modelKnown() != tc.known {
			t.Errorf("%s: known: %v", tc.name, e.modelKnown())
		}
		if model, named, a := e.ReadModel(); model != tc.want || !named || a != nil {
			t.Errorf("%s: %q %v %v", tc.name, model, named, a)
		}
	}
}

// TestCollectTakesWhatItHolds: the budget has what the buffer can hold, and
// gets it back.
func TestCollectTakesWhatItHolds(t *testing.T) {
	for _, n := range []int{1, 1000, 64 << 10, 100 << 10, 1 << 20} {
		for _, known := range []bool{true, false} {
			b := NewBudget(4 << 20)
			e := posted(strings.Repeat("x", n), b)
			if !known {
				e.Length = -1
			}
			data, a := e.Collect()
			if a != nil || len(data) != n || b.Used() < int64(n) || b.Used() > int64(max(2*n, firstBuffer)+1) || known && n > firstBuffer && b.Used() != int64(n)+1 {
				t.Errorf("%d bytes, length known %v: %d collected, %d held: %v", n, known, len(data), b.Used(), a)
			}
			mark := e.Held()
			if e.Hold(1000) != nil || e.Held() != mark+1000 {
				t.Error("nothing more is held")
			}
			e.FreeTo(mark)
			e.release()
			if b.Used() != 0 {
				t.Errorf("%d bytes are left over", b.Used())
			}
		}
	}
	b := NewBudget(100 << 10)
	if _, a := posted(strings.Repeat("x", 200<<10), b).Collect(); a == nil || a.Status != http.StatusServiceUnavailable {
		t.Errorf("beyond the budget: %v", a)
	}
}
