package authn

import (
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// passwordHash is a salted one-way function of passwords.
type passwordHash struct {
	algorithm, salt string
}

var errHashForm = errors.New("its hash is malformed")

func newPasswordHash(algorithm, salt string) (passwordHash, error) {
	h := passwordHash{algorithm, salt}
	switch algorithm {
	case "apr1":
		if salt == "" || len(salt) > 8 {
			return h, errors.New("a salt of apr1 has 1 to 8 bytes")
		}
	case "sha1":
		if len(salt) > 64 {
			return h, errors.New("a salt has 64 bytes at most")
		}
	default:
		return h, fmt.Errorf("algorithm %q is not known; there are apr1 and sha1", algorithm)
	}
	return h, nil
}

// of returns the hash of a password.
func (h *passwordHash) of(password string) []byte {
	if h.algorithm == "apr1" {
		return apr1(password, h.salt)
	}
	sum := sha1.Sum([]byte(h.salt + password))
	return sum[:]
}

// parse reads a hash as it is written down: of apr1 the 22 letters after the
// salt; of sha1 hexadecimal or base64, with or without htpasswd's {SHA}.
func (h *passwordHash) parse(text string) ([]byte, error) {
	if h.algorithm == "apr1" {
		text = strings.TrimPrefix(text, "$apr1$"+h.salt+"$")
		if len(text) != apr1Len || strings.Trim(text, crypt64) != "" {
			return nil, errHashForm
		}
		return []byte(text), nil
	}
	text = strings.TrimPrefix(text, "{SHA}")
	b, err := hex.DecodeString(text)
	if err != nil {
		b, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil || len(b) != sha1.Size {
		return nil, errHashForm
	}
	return b, nil
}

// crypt64 are the digits of crypt(3)'s base 64, the lowest first.
const crypt64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const apr1Len = 22

// apr1 is Apache's variant of the MD5-based crypt: 1,000 rounds, so that
// guessing is slow. It is described in apr_md5.c of the Apache Portable
// Runtime, and by htpasswd's manual.
func apr1(password, salt string) []byte {
	pw, start := []byte(password), []byte(password+"$apr1$"+salt)
	inner := md5.Sum([]byte(password + salt + password))
	for i := len(pw); i > 0; i -= md5.Size {
		start = append(start, inner[:min(i, md5.Size)]...)
	}
	for i := len(pw); i > 0; i >>= 1 {
		if i&1 == 1 {
			start = append(start, 0)
		} else {
			start = append(start, pw[0])
		}
	}
	sum := md5.Sum(start)
	var buf []byte
	for i := range 1000 {
		buf = buf[:0]
		if i&1 == 1 {
			buf = append(buf, pw...)
		} else {
			buf = append(buf, sum[:]...)
		}
		if i%3 != 0 {
			buf = append(buf, salt...)
		}
		if i%7 != 0 {
			buf = append(buf, pw...)
		}
		if i&1 == 1 {
			buf = append(buf, sum[:]...)
		} else {
			buf = append(buf, pw...)
		}
		sum = md5.Sum(buf)
	}
	return encodeApr1(&sum)
}

// encodeApr1 writes the sum in the order that crypt(3) has, three bytes as
// four digits.
func encodeApr1(sum *[md5.Size]byte) []byte {
	out := make([]byte, 0, apr1Len)
	put := func(v uint32, digits int) {
		for range digits {
			out = append(out, crypt64[v&0x3f])
			v >>= 6
		}
	}
	for i := range 5 {
		last := i + 12
		if i == 4 {
			last = 5
		}
		put(uint32(sum[i])<<16|uint32(sum[i+6])<<8|uint32(sum[last]), 4)
	}
	put(uint32(sum[11]), 2)
	return out
}
