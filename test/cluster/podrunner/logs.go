package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"net/url"
)

// logFile takes what a container prints, and gives each line its time.
type logFile struct {
	mu   sync.Mutex
	file *os.File
	rest []byte
}

func newLog(path string) (*logFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return &logFile{file: f}, err
}

func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	var out bytes.Buffer
	for {
		line, after, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			break
		}
		l.line(&out, line)
		l.rest = after
	}
	_, err := l.file.Write(out.Bytes())
	return len(b), err
}

func (l *logFile) line(to *bytes.Buffer, line []byte) {
	fmt.Fprintf(to, "%s %s\n", time.Now().UTC().Format(time.RFC3339Nano), line)
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		var out bytes.Buffer
		l.line(&out, l.rest)
		_, _ = l.file.Write(out.Bytes())
	}
	discard(l.file)
}

// logQuery is what is asked of a log.
type logQuery struct {
	follow, timestamps bool
	since              time.Time
	tail               int // -1 is all
}

func readLogQuery(q url.Values) logQuery {
	out := logQuery{follow: q.Get("follow") == "true", timestamps: q.Get("timestamps") == "true", tail: -1}
	out.since, _ = time.Parse(time.RFC3339, q.Get("sinceTime"))
	if s, err := strconv.Atoi(q.Get("sinceSeconds")); err == nil {
		out.since = time.Now().Add(-time.Duration(s) * time.Second)
	}
	if n, err := strconv.Atoi(q.Get("tailLines")); err == nil {
		out.tail = n
	}
	return out
}

// copyLog writes a log until its end, or while running says that there may be more.
func copyLog(ctx context.Context, w io.Writer, path string, q logQuery, running func() bool, flush func()) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer discard(f)
	in := bufio.NewReader(f)
	var kept []string
	write := func(line string) error {
		stamp, text, _ := bytes.Cut([]byte(line), []byte(" "))
		if t, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil && t.Before(q.since) {
			return nil
		}
		if q.timestamps {
			text = []byte(line)
		}
		_, err := w.Write(text)
		return err
	}
	tailing := q.tail >= 0
	partial := ""
	for {
		more := running()
		part, err := in.ReadString('\n')
		partial += part
		switch {
		case err == nil && tailing:
			kept = append(kept, partial)
			kept = kept[max(0, len(kept)-q.tail):]
			partial = ""
			continue
		case err == nil:
			if err := write(partial); err != nil {
				return err
			}
			partial = ""
			continue
		case !errors.Is(err, io.EOF):
			return err
		}
		for _, line := range kept {
			if err := write(line); err != nil {
				return err
			}
		}
		kept, tailing = nil, false
		flush()
		if !q.follow || !more || !pauseFor(ctx, 50*time.Millisecond) {
			return nil
		}
	}
}
