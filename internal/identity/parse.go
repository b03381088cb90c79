package identity

import (
	"errors"
	"strings"
)

// Parse returns the Source that the value of --identity names:
//
//	DIR                    a folder with cert-chain.pem, key.pem and root-cert.pem
//	istiod://HOST:PORT     the certificate API of Istio
//	unix:///PATH, tcp://IP:PORT, spiffe:     the SPIFFE Workload API; the last
//	                       is where SPIFFE_ENDPOINT_SOCKET says
//
// env looks a variable up, as os.LookupEnv does.
func Parse(value string, env func(string) (string, bool)) (Source, error) {
	switch {
	case strings.HasPrefix(value, "istiod:"):
		return orNil(NewIstiod(value))
	case value == "spiffe:":
		address, ok := env("SPIFFE_ENDPOINT_SOCKET")
		if !ok || address == "" {
			return nil, errors.New("--identity spiffe: the environment variable SPIFFE_ENDPOINT_SOCKET is not set; set it, or name the socket: --identity unix:///PATH")
		}
		return orNil(NewWorkloadAPI(address))
	case strings.HasPrefix(value, "unix:"), strings.HasPrefix(value, "tcp:"):
		return orNil(NewWorkloadAPI(value))
	}
	return orNil(NewFiles(value))
}

// orNil keeps a nil pointer from becoming a Source.
func orNil[S Source](s S, err error) (Source, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
