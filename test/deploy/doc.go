// Package deploy holds the tests of what people install: the chart, the plain
// manifests and the definitions of kinds on a real API server, and the image's
// files without anything around them. It has no code of its own.
package deploy
