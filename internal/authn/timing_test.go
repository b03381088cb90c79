package authn_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// The time that a refusal takes must not tell how near a credential came.
// Classes of bad credentials are measured in turn, many times, and their
// medians compared: noise hits all alike, a byte-by-byte comparison or a
// skipped hash does not.
func TestSecurityRow17APIKeyTiming(t *testing.T) {
	const key = "MARKER-0123456789abcdef0123456789abcdef0123456789"
	store, entries := keysOf("alice/api-key="+key, "bob/api-key=another")
	a := newAPIKey(t, store, ir.APIKey{Entries: entries})
	near, far := []byte(key), []byte(key)
	near[len(near)-1] ^= 1
	far[0] ^= 1
	even(t, a, 0.15, map[string]*authn.Request{
		"missing":        {},
		"empty":          withKey(""),
		"unknown":        withKey("0123456789012345678901234567890123456789012345678"),
		"all but a byte": withKey(string(near)),
		"not even one":   withKey(string(far)),
	})
}

// even fails if the median times of refusing the requests differ by more than
// a share. A busy machine gets a second and a third try; only the soak runs,
// on a quiet one, hold it to the share.
func even(t *testing.T, a authn.Authenticator, share float64, requests map[string]*authn.Request) {
	t.Helper()
	if os.Getenv("POSTERN_SOAK") == "" {
		share = 0.75
	} else if raceEnabled { // it makes copying a key cost what hashing it does
		share = 0.4
	}
	var fastest, slowest time.Duration
	for range 3 {
		medians := measure(t, a, requests)
		fastest, slowest = 0, 0
		for _, m := range medians {
			if fastest == 0 || m < fastest {
				fastest = m
			}
			slowest = max(slowest, m)
		}
		if float64(slowest-fastest) <= share*float64(slowest) {
			return
		}
		t.Log(medians)
	}
	t.Errorf("refusals take between %v and %v", fastest, slowest)
}

func measure(t *testing.T, a authn.Authenticator, requests map[string]*authn.Request) map[string]time.Duration {
	t.Helper()
	const rounds = 200
	batch := 64
	began := time.Now()
	for _, r := range requests {
		_, _ = a.Authenticate(t.Context(), r)
	}
	if each := time.Since(began) / time.Duration(len(requests)); each > 20*time.Microsecond {
		batch = 2
	}
	taken := map[string][]time.Duration{}
	for range rounds {
		for name, r := range requests {
			began := time.Now()
			for range batch {
				if _, err := a.Authenticate(t.Context(), r); err == nil {
					t.Fatalf("%s passes", name)
				}
			}
			taken[name] = append(taken[name], time.Since(began))
		}
	}
	medians := map[string]time.Duration{}
	for name, list := range taken {
		slices.Sort(list)
		medians[name] = list[len(list)/2] / time.Duration(batch)
	}
	return medians
}
