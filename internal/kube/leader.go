package kube

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"time"

	"k8s.io/client-go/rest"
)

// defaultLease is for how long a leader that has died is waited for at most.
const defaultLease = 15 * time.Second

// Leader elects one of several replicas by a Lease, as client-go's election
// does (which would bring along the types of every kind there is):
// https://kubernetes.io/docs/concepts/architecture/leases/#leader-election.
// Clocks are compared nowhere: who waits takes the time since he saw the lease
// change last. Of a lease that is not renewed
//
//	2/3   the leader has stopped leading
//	3/4   after they saw it renewed, the others may take it,
//	7/8   which they have all done by now, since they look every eighth.
type Leader struct {
	// Client leads to the API server. Its rate limits are not used: a lease is
	// renewed whatever else is under way.
	Client *rest.Config
	// Namespace of the Lease, which is made if it is not there and may be, and
	// its name; "": LeaseName.
	Namespace, Name string
	// Identity is this replica's own; "": the host's name with random digits.
	Identity string
	// Lease is for how long a leader that has died is waited for at most; 0: 15 s. A
	// leader that cannot renew it leads no more after two thirds of it.
	Lease time.Duration
	Log   *slog.Logger
}

// Run has lead run while this replica is the leader, until ctx ends: then the
// lease is given back at once, after lead has returned. The context of lead
// ends before another replica can become the leader.
func (l Leader) Run(ctx context.Context, lead func(context.Context)) error {
	if l.Lease == 0 {
		l.Lease = defaultLease
	}
	if l.Name == "" {
		l.Name = LeaseName
	}
	if l.Identity == "" {
		var err error
		if l.Identity, err = Identity(); err != nil {
			return fmt.Errorf("leader election: %w", err)
		}
	}
	b, err := newLease(l)
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	for {
		if b.take(ctx) {
			l.Log.Info("this replica is the leader", "lease", b.String())
			l.term(ctx, b, lead)
		}
		wait := l.Lease / 8
		if d, ok := b.left(); ok {
			wait = min(wait, d)
		}
		if !pause(ctx, wait) {
			return nil
		}
	}
}

// term leads until ctx ends or the lease cannot be renewed in time.
func (l Leader) term(ctx context.Context, b *lease, lead func(context.Context)) {
	leading, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer stop() // who has nothing more to do need not be the leader
		lead(leading)
	}()
	l.renew(leading, b)
	stop()
	<-ended
	if ctx.Err() == nil {
		l.Log.Warn("this replica is not the leader any more", "lease", b.String())
	}
	// While lead took its time to end the lease may have become another's.
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.Lease/3)
	defer cancel()
	b.release(release)
}

// renew returns when the lease is held no more, or ctx has ended.
func (l Leader) renew(ctx context.Context, b *lease) {
	limit := l.Lease * 2 / 3
	for renewed := time.Now(); ; {
		left := time.Until(renewed.Add(limit))
		if left <= 0 || !pause(ctx, min(l.Lease/8, left)) {
			return
		}
		began := time.Now()
		try, cancel := context.WithDeadline(ctx, renewed.Add(limit))
		held := b.take(try)
		cancel()
		if held {
			renewed = began
		}
		if b.lost {
			return
		}
	}
}

// Identity returns a name that no other replica has.
func Identity() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	return host + "_" + hex.EncodeToString(random), nil
}
