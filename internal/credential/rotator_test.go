package credential_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/secret"
)

// issued is what the issuer of these tests gives out.
type issued struct {
	number int
	ends   time.Time
}

// issuer gives out credentials of one lifetime, and can be made to fail.
type issuer struct {
	life    time.Duration
	mu      sync.Mutex
	fetches int
	// before runs in each fetch and may fail it.
	before   func(ctx context.Context, fetch int) error
	underWay atomic.Int32
	overlap  atomic.Bool
}

func (i *issuer) fetch(ctx context.Context) (issued, time.Time, error) {
	if i.underWay.Add(1) > 1 {
		i.overlap.Store(true)
	}
	defer i.underWay.Add(-1)
	i.mu.Lock()
	i.fetches++
	n := i.fetches
	i.mu.Unlock()
	if i.before != nil {
		if err := i.before(ctx, n); err != nil {
			return issued{}, time.Time{}, err
		}
	}
	ends := time.Now().Add(i.life)
	return issued{n, ends}, ends, nil
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func (i *issuer) rotator(t *testing.T) *credential.Rotator[issued] {
	t.Helper()
	r := credential.NewRotator(credential.Renewable[issued]{Name: "test", Fetch: i.fetch},
		credential.Deps{Store: secret.NewStore(), Client: http.DefaultClient})
	t.Cleanup(r.Close)
	return r
}

// take gets the credential, and fails the test if it has expired.
func take(t *testing.T, r *credential.Rotator[issued]) issued {
	t.Helper()
	got, err := r.Get(context.Background())
	if err != nil {
		t.Fatalf("after %v: %v", r.Status(), err)
	}
	if !time.Now().Before(got.ends) {
		t.Fatalf("got a credential that ended %v ago", time.Since(got.ends))
	}
	return got
}

func TestRotatorOverAnHour(t *testing.T) {
	for _, life := range []time.Duration{2 * time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour} {
		t.Run(life.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{life: life, before: func(context.Context, int) error { time.Sleep(100 * time.Millisecond); return nil }}
				r := i.rotator(t)
				first := take(t, r)
				began := time.Now()
				for time.Since(began) < time.Hour {
					time.Sleep(life / 100)
					before := time.Now()
					take(t, r)
					if time.Since(before) > 0 {
						t.Fatalf("a request waited %v though there was a credential", time.Since(before))
					}
				}
				if i.overlap.Load() {
					t.Error("two fetches at once")
				}
				most := int(time.Hour/(life*2/5)) + 2
				if n := i.count(); n > most || n < int(time.Hour/life) {
					t.Errorf("%d fetches in an hour, want at most %d", n, most)
				}
				if first.number != 1 {
					t.Errorf("the first is number %d", first.number)
				}
				if s := r.Status(); !s.Valid || s.Failures != 0 || uint64(i.count())-s.Refreshes > 1 {
					t.Errorf("status %+v", s)
				}
			})
		})
	}
}

func TestRotatorRenewsInTime(t *testing.T) {
	for _, tt := range []struct{ life, lead time.Duration }{
		{10 * time.Second, 5 * time.Second},
		{8 * time.Minute, 4 * time.Minute},
		{time.Hour, 6 * time.Minute},
		{10 * time.Hour, time.Hour},
	} {
		t.Run(tt.life.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{life: tt.life}
				r := i.rotator(t)
				first := take(t, r)
				left := first.ends.Sub(r.Status().Next)
				if left < tt.lead || left > tt.lead+tt.lead/10+1 {
					t.Errorf("renews %v before the end, want %v and up to a tenth of it", left, tt.lead)
				}
				time.Sleep(time.Until(r.Status().Next) + time.Millisecond)
				synctest.Wait()
				if second := take(t, r); second.number != 2 {
					t.Errorf("still has credential %d", second.number)
				}
			})
		})
	}
}

func TestRotatorServesToTheEndAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("the issuer is down")
		var up atomic.Bool
		up.Store(true)
		i := &issuer{life: time.Minute, before: func(context.Context, int) error {
			if !up.Load() {
				return down
			}
			return nil
		}}
		r := i.rotator(t)
		first := take(t, r)
		up.Store(false)
		for time.Until(first.ends) > 3*time.Second {
			if got := take(t, r); got.number != 1 {
				t.Fatalf("credential %d", got.number)
			}
			time.Sleep(time.Second)
		}
		if s := r.Status(); !s.Valid || s.Failures == 0 || s.Error != down.Error() {
			t.Errorf("status while renewing fails: %+v", s)
		}
		time.Sleep(time.Until(first.ends))
		for range 100 {
			before, asked := time.Now(), i.count()
			if _, err := r.Get(context.Background()); !errors.Is(err, credential.ErrUnavailable) || !errors.Is(err, down) {
				t.Fatalf("after the end: %v", err)
			}
			if time.Since(before) > 0 || i.count() != asked {
				t.Fatal("a request waits for, or speeds up, what is failing")
			}
		}
		if s := r.Status(); s.Valid {
			t.Errorf("status after the end: %+v", s)
		}
		up.Store(true)
		if wait := time.Until(r.Status().Next); wait > 7500*time.Millisecond {
			t.Errorf("tries again in %v", wait)
		}
		time.Sleep(time.Until(r.Status().Next) + time.Millisecond)
		synctest.Wait()
		take(t, r)
	})
}

func TestRotatorHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: 10 * time.Second, before: func(ctx context.Context, n int) error {
			if n%2 == 0 { // each other fetch hangs until it is given up
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		r := i.rotator(t)
		for range 600 {
			take(t, r)
			time.Sleep(100 * time.Millisecond)
		}
	})
}

func TestRotatorBoundsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Minute, before: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
		r := i.rotator(t)
		began := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := r.Get(context.Background()); !errors.Is(err, credential.ErrUnavailable) {
					t.Error(err)
				}
			})
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := r.Get(ctx); err == nil || time.Since(began) != time.Second {
			t.Errorf("waits %v beyond its own context: %v", time.Since(began), err)
		}
		wg.Wait()
		if time.Since(began) != 5*time.Second || i.count() != 1 {
			t.Errorf("waited %v, %d fetches", time.Since(began), i.count())
		}
	})
}

func TestRotatorBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{before: func(context.Context, int) error { return errors.New("no") }}
		r := i.rotator(t)
		time.Sleep(time.Hour)
		if n := i.count(); n < 60 || n > 130 {
			t.Errorf("%d tries in an hour", n)
		}
		if next := time.Until(r.Status().Next); next > time.Minute {
			t.Errorf("next try in %v", next)
		}
	})
}

func TestRotatorRefusesWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: -time.Hour}
		r := i.rotator(t)
		if _, err := r.Get(context.Background()); !errors.Is(err, credential.ErrUnavailable) || !strings.Contains(err.Error(), "expired before it came") {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if n := i.count(); n > 12 {
			t.Errorf("%d fetches in a minute", n)
		}
	})
}

func TestRotatorFetchesAtOnceWhenBytesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ref := secret.Ref{Kind: "Secret", Namespace: "a", Name: "b", Key: "c"}
		store := secret.NewStore()
		store.Put(map[secret.Ref]secret.Value{ref: secret.NewValue([]byte("one"))})
		i := &issuer{life: time.Hour}
		bytes := secret.Derive(store, []secret.Ref{ref}, func(v []secret.Value) (int, error) {
			if len(v[0].Reveal()) == 0 {
				return 0, fmt.Errorf("%v: value is empty", ref)
			}
			return 0, nil
		})
		r := credential.NewRotator(credential.Renewable[issued]{
			Name: "test", Refs: []secret.Ref{ref}, Fetch: i.fetch, Check: func() error { _, err := bytes.Get(); return err },
		}, credential.Deps{Store: store, Client: http.DefaultClient})
		defer r.Close()
		if got := take(t, r); got.number != 1 {
			t.Fatal(got)
		}
		store.Put(map[secret.Ref]secret.Value{ref: secret.NewValue([]byte("two"))})
		synctest.Wait()
		if got := take(t, r); got.number != 2 {
			t.Errorf("credential %d after a change", got.number)
		}
		store.Put(map[secret.Ref]secret.Value{{Name: "other"}: secret.NewValue([]byte("x"))})
		synctest.Wait()
		if got := take(t, r); got.number != 2 {
			t.Errorf("credential %d after a change of something else", got.number)
		}
		store.Drop([]secret.Ref{ref})
		if _, err := r.Get(context.Background()); !errors.Is(err, secret.ErrMissing) || errors.Is(err, credential.ErrUnavailable) {
			t.Errorf("without its secret: %v", err)
		}
	})
}

func TestRotatorEndsWhenClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		r := i.rotator(t)
		take(t, r)
		r.Close()
		r.Close()
		n := i.count()
		take(t, r) // serves to its end
		time.Sleep(2 * time.Hour)
		if _, err := r.Get(context.Background()); !errors.Is(err, credential.ErrUnavailable) {
			t.Error(err)
		}
		if i.count() != n {
			t.Error("fetches after Close")
		}
	})
}

func TestRotatorWithoutANetwork(t *testing.T) {
	i := &issuer{life: time.Hour}
	r := credential.NewRotator(credential.Renewable[issued]{Name: "test", Fetch: i.fetch}, credential.Deps{Store: secret.NewStore()})
	if _, err := r.Get(context.Background()); !errors.Is(err, credential.ErrUnavailable) || i.count() != 0 {
		t.Errorf("%v, %d fetches", err, i.count())
	}
	r.Close()
}

func TestRotatorsAreIsolated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &issuer{before: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
		stuck.rotator(t)
		good := &issuer{life: 10 * time.Second}
		r := good.rotator(t)
		take(t, r)
		for range 1000 {
			before := time.Now()
			take(t, r)
			if time.Since(before) > 0 {
				t.Fatal("waits for another")
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
}

func BenchmarkRotator(b *testing.B) {
	i := &issuer{life: time.Hour}
	r := credential.NewRotator(credential.Renewable[issued]{Name: "test", Fetch: i.fetch}, credential.Deps{Store: secret.NewStore(), Client: http.DefaultClient})
	defer r.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Get(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
