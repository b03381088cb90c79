// Package source says what a source of resources delivers. Its members, a
// folder of files and the Kubernetes API, are the packages below it. A source
// knows no dialect: it is told which kinds to read and which of their fields
// are secret.
package source

import (
	"context"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// Update is one consistent state of a source.
type Update struct {
	// Set is every object, nil if only secrets' bytes changed.
	Set *resource.Set
	// Problems of reading; they replace those of the update before.
	Problems []status.Problem
	// Dropped are refs whose bytes apply drops from the secret.Store as soon as
	// the state is served. New bytes were put there before the update.
	Dropped []secret.Ref
	// Supply, if set, is called when Set was translated, before anything is
	// made of that, with what the translations read of the Secrets: a source
	// may have to fetch them first. It returns what takes the update's place,
	// whose Set, if it has one, is to be translated in turn; nil is for an end.
	// It is called before apply returns, by its goroutine.
	Supply func(*resource.Demand) *Update
}

// Source delivers updates until ctx ends, the first as soon as it has read
// everything once. apply returns when the state is served
// and what was dropped is gone.
type Source interface {
	Run(ctx context.Context, apply func(Update)) error
}
