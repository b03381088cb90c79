package simulate

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"strings"
)

const vocabulary = "amber anchor apple autumn basket beacon birch bridge candle canyon cedar circle " +
	"cloud copper coral cotton delta ember falcon feather fern field forest garden glacier granite " +
	"harbor hazel horizon island ivory jasmine juniper lantern laurel linen maple marble meadow mirror " +
	"morning mountain ocean olive orchard paper pebble pepper pine planet prairie quartz quiet rain " +
	"raven river saffron sail silver spruce stone summer thistle thunder tide timber valley velvet " +
	"violet walnut water willow window winter"

// maxQuote bounds, in runes, how much of a prompt an answer repeats.
const maxQuote = 80

// seed is the hash of a request, out of which its answer is made.
type seed [sha256.Size]byte

// seedOf hashes what identifies a request: who is asked, for what, with which
// body. Headers have no part in it, so neither has the credential.
func seedOf(provider string, r *Request) seed {
	h := sha256.New()
	for _, part := range []string{provider, r.Method, r.URL.RequestURI()} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part)))
		_, _ = io.WriteString(h, part)
	}
	_, _ = h.Write(r.Payload)
	return seed(h.Sum(nil))
}

// id is a stable identifier of n hexadecimal digits.
func (s seed) id(n int) string { return hex.EncodeToString(s[:])[:n] }

// generator yields words, the same ones for the same seed.
type generator struct {
	words  []string
	random *rand.Rand
}

func newGenerator(s seed) *generator {
	source := rand.NewPCG(binary.BigEndian.Uint64(s[:8]), binary.BigEndian.Uint64(s[8:16]))
	return &generator{words: strings.Fields(vocabulary), random: rand.New(source)}
}

func (g *generator) word() string { return g.words[g.random.IntN(len(g.words))] }

// reply is the text of an answer, cut into the pieces in which a stream
// delivers it. It begins by quoting the prompt, so that a caller can tell its
// own answer from another's; a text of a demanded size does not.
func reply(s seed, prompt string, b Behavior) []string {
	g := newGenerator(s)
	if b.Size > 0 {
		return sized(g, b.Size, b.Events)
	}
	count := b.Events
	if count == 0 {
		count = 12 + g.random.IntN(16)
	}
	pieces := []string{"You said \"" + quote(prompt) + "\"."}
	for len(pieces) < count {
		pieces = append(pieces, " "+g.word())
	}
	return pieces
}

// sized is a text of exactly size bytes: in words, or in events equal parts.
func sized(g *generator, size, events int) []string {
	var text strings.Builder
	text.Grow(size + 16)
	for text.Len() < size {
		text.WriteString(g.word())
		text.WriteByte(' ')
	}
	whole := text.String()[:size]
	if events == 0 {
		return strings.SplitAfter(whole, " ")
	}
	pieces := make([]string, events)
	for i := range pieces {
		pieces[i] = whole[i*size/events : (i+1)*size/events]
	}
	return pieces
}

// quote is the beginning of the prompt, on one line.
func quote(prompt string) string {
	runes := []rune(strings.Join(strings.Fields(firstBytes(prompt, 4*maxQuote)), " "))
	if len(runes) > maxQuote {
		runes = runes[:maxQuote]
	}
	return string(runes)
}

// firstBytes cuts s to at most n bytes and drops a rune that the cut has split.
func firstBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
