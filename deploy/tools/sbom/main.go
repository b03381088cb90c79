// Command sbom prints the bill of materials of a Go program, as CycloneDX JSON:
// the modules that the linker wrote into it, with their versions, and the Go
// release that it was built with. Both the reading and the format are OSV-SCALIBR's.
//
//	sbom -version 0.1.0 bin/postern > postern.cdx.json
//
// It is a module apart, so that nothing of it is among the materials.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	cpb "github.com/google/osv-scalibr/binary/proto/config_go_proto"
	"github.com/google/osv-scalibr/converter"
	"github.com/google/osv-scalibr/extractor/filesystem"
	"github.com/google/osv-scalibr/extractor/filesystem/language/golang/gobinary"
)

func main() {
	version := flag.String("version", "", "`VERSION` of the program")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: sbom [-version VERSION] PROGRAM")
		os.Exit(2)
	}
	if err := write(flag.Arg(0), *version); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// write prints the materials of a program.
func write(name, version string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	reader, err := gobinary.New(&cpb.PluginConfig{})
	if err != nil {
		return err
	}
	found, err := reader.Extract(context.Background(), &filesystem.ScanInput{Path: filepath.Base(name), Reader: f, Info: info})
	if err != nil {
		return err
	}
	if len(found.Packages) == 0 {
		return errors.New(name + " is not a Go program, or was built without its modules")
	}
	bom := converter.ToCDX(found, converter.CDXConfig{
		ComponentName: filepath.Base(name), ComponentVersion: version, ComponentType: string(cyclonedx.ComponentTypeApplication),
	})
	enc := cyclonedx.NewBOMEncoder(os.Stdout, cyclonedx.BOMFileFormatJSON)
	enc.SetPretty(true)
	return enc.Encode(bom)
}
