package identity

import (
	"errors"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// createCertificate is the one method of Istio's certificate API.
const createCertificate = "/istio.v1.auth.IstioCertificateService/CreateCertificate"

// certificateRequest and certificateResponse are IstioCertificateRequest and
// IstioCertificateResponse of security/v1alpha1/ca.proto. Two messages of three
// fields are written here; the module that has them brings a second protobuf
// runtime along.
type certificateRequest struct {
	csr   string // field 1
	valid int64  // seconds; field 3
}

type certificateResponse struct {
	chain []string // field 1
}

// certificateCodec is their gRPC codec.
type certificateCodec struct{}

var errWire = errors.New("the message is not of the certificate API")

// Name is the content subtype.
func (certificateCodec) Name() string { return "proto" }

// Marshal encodes a certificateRequest.
func (certificateCodec) Marshal(v any) (mem.BufferSlice, error) {
	r, ok := v.(*certificateRequest)
	if !ok {
		return nil, errWire
	}
	b := protowire.AppendTag(nil, 1, protowire.BytesType)
	b = protowire.AppendString(b, r.csr)
	b = protowire.AppendTag(b, 3, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(r.valid))
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// Unmarshal decodes a certificateResponse; fields that it does not know are
// passed over.
func (certificateCodec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*certificateResponse)
	if !ok {
		return errWire
	}
	for b := data.Materialize(); len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errWire
		}
		b = b[n:]
		if number == 1 && kind == protowire.BytesType {
			text, n := protowire.ConsumeString(b)
			if n < 0 {
				return errWire
			}
			r.chain, b = append(r.chain, text), b[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return errWire
		}
		b = b[n:]
	}
	return nil
}
