//go:build tools

// Package tools pins the version of helm with which the chart is rendered and
// installed in tests. It is a module apart, so that nothing of helm's is among
// what Postern is made of.
package tools
