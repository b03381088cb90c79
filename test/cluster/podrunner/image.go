package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// image says what stands for the container images whose names begin with Name.
// Of Program, Root and Host one is set; none of them is an image that waits.
type image struct {
	Name string `json:"name"`
	// Program is a static program of this machine, alone in its root folder, at
	// Path (by default its own name in /).
	Program string `json:"program,omitempty"`
	Path    string `json:"path,omitempty"`
	// Root is a folder whose files are copied into the root.
	Root string `json:"root,omitempty"`
	// Host makes the machine's own programs the root's, to be read only.
	Host bool `json:"host,omitempty"`
	// Entrypoint and Args are what runs where the container does not say; User
	// is the one who runs it, by number.
	Entrypoint []string `json:"entrypoint,omitempty"`
	Args       []string `json:"args,omitempty"`
	User       int64    `json:"user,omitempty"`
}

// images finds images by the longest name that fits.
type images struct {
	list   []image
	strict bool
}

// waits is the program of images that stand for nothing.
var waits = image{Entrypoint: []string{"/podrunner", "pause"}}

func readImages(pairs, table string, strict bool) (images, error) {
	out := images{strict: strict}
	for _, kv := range strings.Split(pairs, ",") {
		if name, program, ok := strings.Cut(kv, "="); ok {
			out.list = append(out.list, image{Name: name, Program: program})
		}
	}
	if table != "" {
		b, err := os.ReadFile(table)
		if err != nil {
			return out, err
		}
		var more []image
		if err := json.Unmarshal(b, &more); err != nil {
			return out, fmt.Errorf("read images %q: %w", table, err)
		}
		out.list = append(out.list, more...)
	}
	for i := range out.list {
		m := &out.list[i]
		if m.Program == "" && m.Root == "" && !m.Host {
			m.Entrypoint = waits.Entrypoint
		}
		if m.Program != "" && m.Path == "" {
			m.Path = "/" + filepath.Base(m.Program)
		}
		if m.Path != "" && len(m.Entrypoint) == 0 {
			m.Entrypoint = []string{m.Path}
		}
	}
	return out, nil
}

// find returns the image of a name.
func (s images) find(name string) (image, bool) {
	best := -1
	for i, m := range s.list {
		if strings.HasPrefix(name, m.Name) && (best < 0 || len(m.Name) > len(s.list[best].Name)) {
			best = i
		}
	}
	if best >= 0 {
		return s.list[best], true
	}
	return waits, !s.strict
}
