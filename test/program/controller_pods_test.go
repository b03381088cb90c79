package program

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/postern-gateway/postern/test/cluster"
	"github.com/postern-gateway/postern/test/static"
)

// beats is how many events a stream of talker has, and beat how far apart
// they are.
const (
	beats = 30
	beat  = 100 * time.Millisecond
)

// talker is an upstream on an address that pods reach: it says fine, or tells
// beats one by one.
func talker(t *testing.T, addr string) (port int) {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/fine", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "fine")
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for n := range beats {
			fmt.Fprintf(w, "data: %d\n\n", n)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	return ln.Addr().(*net.TCPAddr).Port
}

// talking is a Gateway whose routes lead to an upstream outside of the cluster.
func talking(addr string, port int) string {
	return proxy("{autoscaling: {minReplicas: 2, maxReplicas: 2}, drain: 30s, resources: {requests: {cpu: 1m}}}") + fmt.Sprintf(`---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: apps}
spec:
  gatewayClassName: postern
  infrastructure: {parametersRef: {group: postern.dev, kind: PosternProxy, name: own}}
  listeners:
  - {name: http, port: 80, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: all, namespace: apps}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: talker, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: talker, namespace: apps}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: talker, namespace: apps, labels: {kubernetes.io/service-name: talker}}
addressType: IPv4
endpoints: [{addresses: [%q]}]
ports: [{name: http, port: %d}]
`, addr, port)
}

// visitors ask at a base URL until ctx ends, some again and again and
// some for streams, each by its own connections. They count what was answered
// in full, and gather what was not.
type visitors struct {
	fine, streams atomic.Int64
	mu            sync.Mutex
	lost          []error
	work          sync.WaitGroup
}

func (l *visitors) lose(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = append(l.lost, fmt.Errorf("%s: %w", time.Now().Format("05.000"), err))
}

func (l *visitors) start(ctx context.Context, base string) {
	for range 4 {
		l.work.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				// A POST is not repeated by the client on its own.
				resp, err := client.Post(base+"/fine", "text/plain", strings.NewReader("x"))
				if err == nil {
					var text []byte
					text, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if err == nil && (resp.StatusCode != http.StatusOK || string(text) != "fine") {
						err = fmt.Errorf("%s: %s", resp.Status, text)
					}
				}
				if err != nil {
					l.lose(err)
				} else {
					l.fine.Add(1)
				}
				wait(ctx, 10*time.Millisecond)
			}
		})
		l.work.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				if err := readStream(client, base+"/stream"); err != nil {
					l.lose(err)
				} else {
					l.streams.Add(1)
				}
			}
		})
	}
}

// readStream reads a stream to its end, and returns what is missing.
func readStream(client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	n := 0
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") {
			n++
		}
	}
	if n != beats || lines.Err() != nil {
		return fmt.Errorf("a stream ended after %d of %d events: %w", n, beats, errors.Join(lines.Err()))
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// TestControllerPods has the pods that a Gateway is given really run: it gets
// an address and answers there, and a rolling update under load loses neither
// a request nor a stream.
func TestControllerPods(t *testing.T) {
	if err := cluster.CanRunPods(); err != nil {
		t.Skip(err)
	}
	m := manageWith(t, cluster.Options{Pods: true, Images: []cluster.Image{{Name: "postern", Program: static.Postern(t), User: 65532}}})
	kubectl := m.cluster.Kubectl(t)
	m.control("--secret-namespaces", "apps", "--data-plane-arg", "--access-log=")
	m.Put(talking(m.cluster.Node, talker(t, m.cluster.Node)))
	t.Cleanup(func() {
		if t.Failed() {
			for _, pod := range strings.Fields(kubectl.Run("get", "pods", "-n", "apps", "-o", "jsonpath={.items[*].metadata.name}")) {
				t.Logf("%s:\n%s", pod, m.cluster.PodLog("apps", pod, "postern"))
			}
			t.Log(kubectl.Run("get", "pods", "-n", "apps", "-o", "wide"))
		}
	})
	began := time.Now()
	gateway := m.awaitCondition("edge", "Programmed", "True Programmed")
	t.Logf("programmed %v after it was asked for", time.Since(began))
	_, ip, _ := strings.Cut(addresses(gateway), " ")
	base := "http://" + ip
	client := &http.Client{Timeout: 5 * time.Second}
	m.await("an answer at "+base, func() string {
		resp, err := client.Get(base + "/fine")
		if err != nil {
			return err.Error()
		}
		_ = resp.Body.Close()
		return strings.TrimPrefix(resp.Status, "200 OK")
	})

	m.awaitObject("Deployment", "apps", "edge-postern", "has two ready pods", rolled(2))
	before := kubectl.Run("get", "pods", "-n", "apps", "-o", "jsonpath={.items[*].metadata.uid}")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var l visitors
	l.start(ctx, base)
	m.await("streams under way", func() string {
		if l.streams.Load() < 4 {
			return "too few"
		}
		return ""
	})
	m.Put(proxy("{autoscaling: {minReplicas: 2, maxReplicas: 2}, drain: 30s, resources: {requests: {cpu: 2m}}}"))
	m.await("every pod is another", func() string {
		now := kubectl.Run("get", "pods", "-n", "apps", "-o", "jsonpath={.items[*].metadata.uid}")
		for uid := range strings.FieldsSeq(before) {
			if strings.Contains(now, uid) {
				return now
			}
		}
		return ""
	})
	m.awaitObject("Deployment", "apps", "edge-postern", "has two new pods", rolled(2))
	wait(ctx, beats*beat) // the streams that began last
	stop()
	l.work.Wait()
	t.Logf("%d requests and %d streams answered", l.fine.Load(), l.streams.Load())
	if len(l.lost) > 0 {
		t.Errorf("%d were lost: %v", len(l.lost), errors.Join(l.lost[:min(10, len(l.lost))]...))
	}
	if l.fine.Load() < 100 || l.streams.Load() < 8 {
		t.Error("that is no load")
	}
}

// rolled returns the test that a Deployment has so many pods, all of its
// newest kind and ready.
func rolled(want int64) func(*unstructured.Unstructured) bool {
	return func(o *unstructured.Unstructured) bool {
		of := func(field string) int64 {
			n, _, _ := unstructured.NestedInt64(o.Object, "status", field)
			return n
		}
		return of("observedGeneration") == o.GetGeneration() && of("replicas") == want && of("updatedReplicas") == want && of("readyReplicas") == want
	}
}
