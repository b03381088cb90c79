package identity

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// Files is a folder with the three files that pilot-agent writes to
// OUTPUT_CERTS, and others by the same convention: cert-chain.pem, key.pem and
// root-cert.pem. They are read again when anything in the folder changes, or
// the folder itself is put in another's place.
type Files struct {
	dir  string
	poll time.Duration
}

// The pace of Files.
const (
	filesPoll = 10 * time.Second // for file systems that do not tell of changes
	// filesQuiet is how long nothing must have happened before the files are
	// read, and filesPatience how long they may not fit each other before that
	// is told: whoever renews them writes one after the other.
	filesQuiet    = 20 * time.Millisecond
	filesPatience = 500 * time.Millisecond
)

// largestPEM bounds each file.
const largestPEM = 1 << 20

// NewFiles returns the Source of a folder, which must be there.
func NewFiles(dir string) (*Files, error) {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, fmt.Errorf("--identity: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("--identity %s: not a folder; name the one that holds %s, %s and %s", dir, ir.IdentityChain, ir.IdentityKey, ir.IdentityRoots)
	}
	return &Files{dir: dir, poll: filesPoll}, nil
}

// String returns the folder.
func (f *Files) String() string { return f.dir }

// Run reads the files, and again at each change, until ctx ends.
func (f *Files) Run(ctx context.Context, take func(Document, error)) {
	events, watch := f.watch()
	if watch != nil {
		defer func() { _ = watch.Close() }()
	}
	poll := time.NewTicker(f.poll)
	defer poll.Stop()
	soon := time.NewTimer(0)
	defer soon.Stop()
	var unfit time.Time // since when what is there cannot be used
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			soon.Reset(filesQuiet)
			continue
		case <-poll.C:
		case <-soon.C:
		}
		f.again(watch)
		doc, err := f.read()
		if err == nil {
			_, err = doc.check(time.Now())
		}
		if err == nil {
			unfit = time.Time{}
		} else if unfit.IsZero() {
			unfit = time.Now()
		}
		if left := filesPatience - time.Since(unfit); err != nil && left > 0 {
			soon.Reset(left)
			continue
		}
		take(doc, err)
	}
}

// watch begins to follow the folder and what it lies in. Without a watch the
// files are polled.
func (f *Files) watch() (<-chan fsnotify.Event, *fsnotify.Watcher) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, nil
	}
	f.again(w)
	go func() { // errors are of lost events, which polling makes good
		for range w.Errors {
		}
	}()
	return w.Events, w
}

// again watches what stands at the folder's path now.
func (f *Files) again(w *fsnotify.Watcher) {
	if w == nil {
		return
	}
	_ = w.Add(f.dir)
	_ = w.Add(filepath.Dir(filepath.Clean(f.dir)))
}

// read reads the three files.
func (f *Files) read() (Document, error) {
	var texts [3][]byte
	for i, name := range []string{ir.IdentityChain, ir.IdentityKey, ir.IdentityRoots} {
		text, err := readFile(filepath.Join(f.dir, name))
		if err != nil {
			return Document{}, err
		}
		texts[i] = text
	}
	return Document{Chain: texts[0], Key: secret.NewValue(texts[1]), Roots: texts[2]}, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, largestPEM+1))
	if err == nil && len(text) > largestPEM {
		err = fmt.Errorf("%s is larger than %d bytes", path, largestPEM)
	}
	return text, err
}
