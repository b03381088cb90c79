package resource

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// DefaultMaxBytes is the largest file that a Decoder reads unless told
// otherwise.
const DefaultMaxBytes = 8 << 20

// maxValues bounds the values of one file: a parsed value takes some 400 bytes,
// two hundred times what "1," does.
const maxValues = 500_000

// maxProblems bounds what is reported of one file.
const maxProblems = 200

// EnvMode says what becomes of ${NAME} in a secret's text.
type EnvMode int

// The modes.
const (
	// EnvExpand puts the variable in; an unset one is an error, and the secret
	// is missing: the zero value.
	EnvExpand EnvMode = iota
	// EnvPlaceholder puts "placeholder" in for an unset one, and warns.
	EnvPlaceholder
	// EnvRefuse is for what comes from an API server: any ${NAME} is an error,
	// and the secret is missing.
	EnvRefuse
)

// Options of a Decoder. The zero Options are for files, with no variable set.
type Options struct {
	// Namespace of namespaced objects that name none; empty: "default".
	Namespace string
	// MaxBytes of one file; 0: DefaultMaxBytes.
	MaxBytes int
	// Env looks a variable up, as os.LookupEnv does; nil: none is set.
	Env func(string) (string, bool)
	// EnvMode says what becomes of variables.
	EnvMode EnvMode
}

// Decoder makes objects of YAML and JSON. It may be used by several goroutines.
type Decoder struct {
	opts   Options
	kinds  map[GroupKind]*Kind
	groups map[string][]string // kinds of each known group, sorted
	types  sync.Map            // reflect.Type → *structInfo
}

// Result is what one file decodes to.
type Result struct {
	Objects []*Object
	// Secrets are the sensitive bytes that were in the objects.
	Secrets map[secret.Ref]secret.Value
	// Problems are all faults, those in Object.Faults included.
	Problems []status.Problem
	// Passed counts the documents that are not for a gateway, and were passed
	// over.
	Passed int
	// Broken says that the file, or one object's identity, could not be
	// decoded: which objects it holds is not known. Objects and Secrets are
	// then empty; who has an older state of the file keeps it.
	Broken bool
	// Unset are the variables that EnvExpand did not find.
	Unset []string
}

// NewDecoder returns a Decoder of kinds. It panics if a kind's SecretFields
// do not lead to fields of type secret.Ref.
func NewDecoder(kinds []Kind, opts Options) *Decoder {
	if opts.Namespace == "" {
		opts.Namespace = "default"
	}
	if opts.MaxBytes == 0 {
		opts.MaxBytes = DefaultMaxBytes
	}
	if opts.Env == nil {
		opts.Env = func(string) (string, bool) { return "", false }
	}
	d := &Decoder{opts: opts, kinds: map[GroupKind]*Kind{}, groups: map[string][]string{}}
	for _, k := range kinds {
		d.kinds[k.GroupKind] = &k
		d.groups[k.Group] = append(d.groups[k.Group], k.Kind)
		d.checkSecretFields(&k)
	}
	return d
}

// MaxBytes returns the size of the largest file that d reads.
func (d *Decoder) MaxBytes() int { return d.opts.MaxBytes }

// Decode decodes a file: YAML documents, or JSON values. file is its name, for
// positions. No text of the file is quoted in a problem unless it is the name
// of a field or an object, or a value that no secret field could hold.
func (d *Decoder) Decode(file string, r []byte) Result {
	p := d.newPass(file)
	docs, broken := d.read(file, r)
	for _, n := range docs {
		p.document(n)
	}
	if broken != nil {
		p.broken(broken.line, broken.what, broken.remedy)
	}
	return p.result()
}

// DecodeJSON decodes one object that does not come from a file, such as an API
// server's. It has no lines.
func (d *Decoder) DecodeJSON(r []byte) Result {
	p := d.newPass("")
	docs, broken := readJSON(r)
	for _, n := range docs {
		p.document(n)
	}
	if broken != nil {
		p.broken(0, broken.what, broken.remedy)
	}
	return p.result()
}

// read turns a file into documents.
func (d *Decoder) read(file string, r []byte) ([]*node, *breakage) {
	if len(r) > d.opts.MaxBytes {
		return nil, &breakage{what: fmt.Sprintf("the file has %d bytes; at most %d are read", len(r), d.opts.MaxBytes), remedy: "split it"}
	}
	r = bytes.TrimPrefix(r, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(r) {
		return nil, &breakage{line: invalidLine(r), what: "the file is not UTF-8", remedy: "save it as UTF-8"}
	}
	if manyValues(r) {
		return nil, &breakage{what: fmt.Sprintf("the file has more than %d values", maxValues), remedy: "split it"}
	}
	isJSON := strings.EqualFold(filepath.Ext(file), ".json")
	if isJSON || bytes.HasPrefix(bytes.TrimLeft(r, " \t\r\n"), []byte("{")) {
		docs, broken := readJSON(r)
		if isJSON || broken == nil {
			return docs, broken
		}
	}
	return readYAML(r)
}

// manyValues reports whether a file has too many values, by the marks that
// every value but the first needs before it. In text they count, too, which
// makes no difference to files that people write.
func manyValues(r []byte) bool {
	n := 0
	for i, c := range r {
		switch c {
		case ',', '[', '{', '?':
			n++
		case ':', '-':
			if i+1 == len(r) || r[i+1] == ' ' || r[i+1] == '\n' || r[i+1] == '\r' || r[i+1] == '\t' {
				n++
			}
		}
	}
	return n > maxValues
}

func invalidLine(r []byte) int {
	line := 1
	for len(r) > 0 {
		c, n := utf8.DecodeRune(r)
		if c == utf8.RuneError && n == 1 {
			break
		}
		if c == '\n' {
			line++
		}
		r = r[n:]
	}
	return line
}

// pass is the decoding of one file.
type pass struct {
	d    *Decoder
	file string
	res  Result
	keys map[Key]*Object
	more int // problems beyond maxProblems
	// hidden are texts of secret fields that may not have been kept.
	hidden []string
}

func (d *Decoder) newPass(file string) *pass {
	return &pass{d: d, file: file, keys: map[Key]*Object{}, res: Result{Secrets: map[secret.Ref]secret.Value{}}}
}

func (p *pass) report(pr status.Problem) {
	if len(p.res.Problems) >= maxProblems {
		p.more++
		return
	}
	p.res.Problems = append(p.res.Problems, pr)
}

func (p *pass) broken(line int, what, remedy string) {
	p.res.Broken = true
	p.report(status.Errorf(ir.Origin{File: p.file, Line: p.line(line)}, "%s", what).Fix("%s", remedy))
}

// line returns a line for an origin: none where there is no file.
func (p *pass) line(n int) int {
	if p.file == "" {
		return 0
	}
	return n
}

func (p *pass) result() Result {
	if p.more > 0 {
		p.res.Problems = append(p.res.Problems, status.Errorf(ir.Origin{File: p.file}, "%d more problems in this file", p.more).Fix("mend the others first"))
	}
	p.scrub()
	if p.res.Broken {
		p.res.Objects, p.res.Secrets, p.res.Unset = nil, nil, nil
	}
	return p.res
}

// scrub takes out of the problems what turned out to be a secret: the same
// text may stand elsewhere in the file, where it is quoted.
func (p *pass) scrub() {
	if len(p.res.Problems) == 0 {
		return
	}
	for _, v := range p.res.Secrets {
		p.scrubText(string(v.Reveal()))
	}
	for _, s := range p.hidden {
		p.scrubText(s)
	}
}

func (p *pass) scrubText(s string) {
	if len(s) < minScrubbed || s == placeholder {
		return
	}
	scrub(p.res.Problems, s)
	for _, o := range p.res.Objects {
		scrub(o.Faults, s)
	}
}

func scrub(problems []status.Problem, secret string) {
	for i := range problems {
		if pr := &problems[i]; strings.Contains(pr.What+"\x00"+pr.Remedy+"\x00"+pr.Origin.Field, secret) {
			pr.What, pr.Remedy, pr.Origin.Field = "a value that is also a secret's is wrong here", "look at the line", ""
		}
	}
}

// minScrubbed is the length from which a secret is looked for in messages:
// shorter ones are parts of ordinary words.
const minScrubbed = 8
