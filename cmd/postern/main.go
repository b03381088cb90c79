// Command postern is the guarded door between a company's callers and its LLM
// providers.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/postern-gateway/postern/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.LookupEnv})
	stop()
	os.Exit(code)
}
