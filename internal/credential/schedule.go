package credential

import (
	"math/rand/v2"
	"time"
)

const (
	// leadTime is how long before its end a credential is renewed, or a tenth
	// of its life if that is longer; of a short-lived one, half of its life.
	leadTime = 5 * time.Minute
	// minPause is between a fetch that succeeded and the next.
	minPause = 250 * time.Millisecond
	// minLife is what a credential must have left when it comes.
	minLife = time.Second

	firstBackoff = time.Second
	maxBackoff   = time.Minute

	maxFetchTime = 10 * time.Second
	minFetchTime = time.Second
)

// lead returns how long before its end a credential of that lifetime is
// renewed.
func lead(life time.Duration) time.Duration {
	return min(max(leadTime, life/10), life/2)
}

// due returns when a credential is to be renewed: lead before its end, and by
// up to a tenth of that earlier, so that many gateways do not ask at once.
func due(from, to time.Time) time.Time {
	l := lead(to.Sub(from))
	return to.Add(-l - rand.N(l/10+1))
}

// travel returns how long before its end a credential is used for the last
// time: the request has to arrive, and issuers cut seconds off.
func travel(life time.Duration) time.Duration {
	return min(life/20, 2*time.Second)
}

// fetchTime bounds one fetch, so that of a short-lived credential's lead some
// is left for another.
func fetchTime(life time.Duration) time.Duration {
	if life <= 0 {
		return maxFetchTime
	}
	return min(max(lead(life)/3, minFetchTime), maxFetchTime)
}

// backoff doubles from 1 s to 1 min, and to a quarter of a short-lived
// credential's lead at most; it takes up to half of it off.
func backoff(failures int, life time.Duration) time.Duration {
	most := maxBackoff
	if life > 0 {
		most = min(most, max(lead(life)/4, firstBackoff))
	}
	d := min(firstBackoff<<min(failures-1, 10), most)
	return d - rand.N(d/2)
}
