// Package examples holds the manifests of the walk-throughs, which run as they
// are, so that the demo and the tests serve the very files that people read.
package examples

import "embed"

// Files are the manifests and the callers' tokens: a folder for each
// walk-through, or for each form of one.
//
//go:embed */*.yaml */*.jwt */*/*.yaml
var Files embed.FS
