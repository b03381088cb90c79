package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// probe asks the program how it is, until it ends.
func (c *container) probe(living context.Context) {
	if p := c.spec.StartupProbe; p != nil {
		if !c.untilGood(living, p) {
			return
		}
		c.set(func() { c.started, c.ready = true, c.spec.ReadinessProbe == nil })
	}
	var all sync.WaitGroup
	if p := c.spec.ReadinessProbe; p != nil {
		all.Go(func() {
			c.repeat(living, p, func(good bool) bool {
				c.set(func() { c.ready = good && c.pid != 0 })
				return true
			})
		})
	}
	if p := c.spec.LivenessProbe; p != nil {
		all.Go(func() {
			c.repeat(living, p, func(good bool) bool {
				if !good {
					c.killUnhealthy(living, "liveness", p)
				}
				return good
			})
		})
	}
	all.Wait()
}

// untilGood repeats a startup probe, and reports whether it succeeded.
func (c *container) untilGood(living context.Context, p *corev1.Probe) bool {
	started := false
	c.repeat(living, p, func(good bool) bool {
		if !good {
			c.killUnhealthy(living, "startup", p)
		}
		started = good
		return false
	})
	return started
}

// killUnhealthy ends a program, to be started anew.
func (c *container) killUnhealthy(living context.Context, what string, p *corev1.Probe) {
	log.Printf("pod %s: container %s: %s probe failed, it is killed", c.pod, c.spec.Name, what)
	grace := 30 * time.Second
	if s := c.pod.object.Spec.TerminationGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	if s := p.TerminationGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	late, cancel := context.WithTimeout(c.pod.dead, grace)
	defer cancel()
	c.mu.Lock()
	pid := c.pid
	c.mu.Unlock()
	if pid != 0 {
		c.terminate(living, pid, late)
	}
}

// repeat probes at the probe's times, and tells each time that a threshold is
// crossed, until ctx ends or tell returns false.
func (c *container) repeat(ctx context.Context, p *corev1.Probe, tell func(good bool) bool) {
	if !pauseFor(ctx, time.Duration(p.InitialDelaySeconds)*time.Second) {
		return
	}
	good, bad := int32(0), int32(0)
	for {
		err := c.ask(ctx, p)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			good, bad = good+1, 0
		} else {
			good, bad = 0, bad+1
		}
		if good == max(1, p.SuccessThreshold) || bad == max(1, p.FailureThreshold) {
			if bad > 0 {
				log.Printf("pod %s: container %s: probe: %v", c.pod, c.spec.Name, err)
			}
			if !tell(good > 0) {
				return
			}
		}
		if !pauseFor(ctx, time.Duration(max(1, p.PeriodSeconds))*time.Second) {
			return
		}
	}
}

// ask does one probe.
func (c *container) ask(ctx context.Context, p *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(1, p.TimeoutSeconds))*time.Second)
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		return c.httpGet(ctx, p.HTTPGet)
	case p.TCPSocket != nil:
		port, err := c.port(&p.TCPSocket.Port)
		if err != nil {
			return err
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(c.host(p.TCPSocket.Host), strconv.Itoa(port)))
		if err == nil {
			discard(conn)
		}
		return err
	case p.Exec != nil:
		return c.runInside(ctx, p.Exec.Command)
	}
	return errors.New("its kind is not known here")
}

func (c *container) host(h string) string {
	if h == "" {
		return c.pod.box.ip.String()
	}
	return h
}

// httpGet asks a program over HTTP; 200 to 399 is a good answer.
func (c *container) httpGet(ctx context.Context, a *corev1.HTTPGetAction) error {
	port, err := c.port(&a.Port)
	if err != nil {
		return err
	}
	scheme := "http"
	if a.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	u, err := url.Parse(a.Path)
	if err != nil {
		return err
	}
	u.Scheme, u.Host = scheme, net.JoinHostPort(c.host(a.Host), strconv.Itoa(port))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "kube-probe/1.36")
	for _, h := range a.HTTPHeaders {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			req.Host = h.Value
		}
		req.Header.Add(h.Name, h.Value)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	discard(resp.Body)
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("GET %s answers %d", u, resp.StatusCode)
	}
	return nil
}
