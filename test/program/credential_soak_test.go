package program

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/simulate"
)

// tally counts answers by status.
type tally struct {
	mu    sync.Mutex
	codes map[int]int
	text  map[int]string
}

func (c *tally) add(status int, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.codes == nil {
		c.codes, c.text = map[int]int{}, map[int]string{}
	}
	c.codes[status]++
	c.text[status] = text
}

// take returns the counts so far, and begins anew.
func (c *tally) take() (map[int]int, map[int]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	codes, text := c.codes, c.text
	c.codes, c.text = nil, nil
	return codes, text
}

// TestSoakCredentials sends 500 requests each second for two minutes, with
// keys that live for ten seconds, to a provider that knows when each ends.
// None is late, also where the token service is down for longer than keys
// live: then there is no credential, and never an expired one.
func TestSoakCredentials(t *testing.T) {
	soaking(t)
	c := newCloud(t, simulate.CloudConfig{Life: 10 * time.Second})
	p := run(t, bedrockFiles(t, "today-aws-oidc"), c.settings())
	if got := converse(t, p, nil); got.status != 200 {
		t.Fatal(got)
	}
	var counts tally
	stop := pace(t, p, &counts, 500)
	defer stop()
	phase := func(name string, length time.Duration, b simulate.Behavior) (map[int]int, map[int]string) {
		if err := c.identity.SetBehavior(b); err != nil {
			t.Fatal(err)
		}
		time.Sleep(length) // this test is about real time
		codes, text := counts.take()
		t.Logf("%s, %v: %v", name, length, codes)
		return codes, text
	}
	good := func(name string, length time.Duration, b simulate.Behavior) {
		codes, text := phase(name, length, b)
		for status, n := range codes {
			if status != 200 {
				t.Errorf("%s: %d answers %d: %s", name, n, status, text[status])
			}
		}
		if codes[200] < int(length.Seconds()*200) { // a busy machine sends fewer, and still enough
			t.Errorf("%s: %d requests in %v, want 500 each second", name, codes[200], length)
		}
	}
	good("all is well", 50*time.Second, simulate.Behavior{})
	good("the token service is slow", 20*time.Second, simulate.Behavior{Delay: 300 * time.Millisecond})
	codes, text := phase("the token service is down", 20*time.Second, simulate.Behavior{Status: 503})
	if codes[403] > 0 || codes[503] == 0 || codes[200] == 0 {
		t.Errorf("while the token service is down: %v %v", codes, text)
	}
	codes, text = phase("it is back", 5*time.Second, simulate.Behavior{})
	if codes[403] > 0 {
		t.Errorf("when it is back: %v %v", codes, text)
	}
	good("all is well again", 25*time.Second, simulate.Behavior{})
	s := p.statusOf().Credentials
	if len(s) != 1 || !s[0].Valid || s[0].Refreshes < 12 || s[0].Refreshes > 40 {
		t.Errorf("%+v", s)
	}
	t.Logf("%+v", s)
}

// pace sends rate requests each second until the returned function is called.
func pace(t *testing.T, p *program, counts *tally, rate int) (stop func()) {
	const workers = 20
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	url := "http://" + p.addr("8080") + conversePath
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range workers {
		wg.Go(func() {
			tick := time.NewTicker(time.Second * workers / time.Duration(rate))
			defer tick.Stop()
			for {
				select {
				case <-done:
					return
				case <-tick.C:
				}
				r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(converseText))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("x-ai-eg-model", bedrockModel)
				resp, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				text, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil {
					t.Error(err)
					return
				}
				counts.add(resp.StatusCode, resp.Header.Get("X-Amzn-Errortype")+string(text))
			}
		})
	}
	return sync.OnceFunc(func() {
		close(done)
		wg.Wait()
		client.CloseIdleConnections()
	})
}
