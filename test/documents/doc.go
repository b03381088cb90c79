// Package documents follows five published documents to the letter, on a real
// Kubernetes API server: every kubectl command of theirs, in their order, with
// the answers that they print. Postern runs in pods, and is never restarted.
//
// Each document is a file of testdata, whose blocks fenced by ```sh are run by
// bash from top to bottom; what is exported stays. A block fenced by ```text
// after one is what it prints, standard output and standard error together: "…"
// alone on a line stands for any number of lines, inside a line for any
// characters. HTML comments on the line before a fence:
//
//	<!-- until -->    the block is repeated until it prints that
//	<!-- exit: N -->  its exit code is N
//	<!-- terminal --> it is run on a terminal
//
// Each file begins with a table of the commands that are replaced by others, and
// why.
package documents
