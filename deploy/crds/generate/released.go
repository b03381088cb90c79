package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// released returns the Gateway API's own definitions of the standard channel,
// unchanged. Its admission policy, which is about every definition of the
// group in a cluster, is the administrator's to install.
func released(bundle string) ([]byte, error) {
	names, err := filepath.Glob(filepath.Join(bundle, "config", "crd", "standard", "gateway.networking.k8s.io_*.yaml"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var out bytes.Buffer
	out.WriteString("# The Gateway API, standard channel, as released by its project (https://gateway-api.sigs.k8s.io).\n" +
		"# Copyright The Kubernetes Authors. Apache License 2.0: http://www.apache.org/licenses/LICENSE-2.0\n")
	n := 0
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(text, []byte("\nkind: CustomResourceDefinition\n")) {
			continue
		}
		n++
		out.WriteString("---\n")
		out.Write(bytes.TrimPrefix(text, []byte("---\n")))
	}
	if n == 0 {
		return nil, fmt.Errorf("%s holds no definitions", bundle)
	}
	return out.Bytes(), nil
}
