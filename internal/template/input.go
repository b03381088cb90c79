package template

import (
	"fmt"
	"slices"
)

// Bounds of a rendering.
const (
	// DefaultOutput is how many bytes may come out where Input says nothing.
	DefaultOutput = 1 << 20
	// maxWork bounds a rendering's time: about one for each node that is
	// evaluated, and for each 16 bytes that are made.
	maxWork = 2 << 20
	// maxRange bounds the list that range() makes.
	maxRange = 10_000
)

// Source is where templates read what is no variable. Names of headers come
// as they are written in the template.
type Source interface {
	// Header returns the first value of a header of the message that is
	// changed, RequestHeader of the request; "" if there is none.
	Header(name string) string
	RequestHeader(name string) string
	Body() string
	// Metadata returns what other filters left; namespace is "" for the
	// transformations' own.
	Metadata(namespace, key string) Value
}

// Extraction is a named part of a message.
type Extraction struct {
	Name  string
	Value Value
	// Used is set when a template may have read it.
	Used bool
	// parts are those of a dotted name.
	parts []string
}

// NewExtraction returns an Extraction without a value.
func NewExtraction(name string) Extraction { return Extraction{Name: name, parts: split(name, false)} }

// Path returns the parts of the name, where it stands in the context.
func (x *Extraction) Path() []string { return x.parts }

// Input is what one rendering reads, and its working memory. It can be used
// again and again, by one goroutine at a time.
type Input struct {
	Source  Source // nil: nothing
	Context Value  // other than an object: no variables
	// Extractions are variables, unless the template is advanced; where Merged,
	// they have been put into Context already.
	Extractions []Extraction
	Merged      bool
	// Env returns what env() reads; nil: nothing. The process's own
	// environment is never read.
	Env func(name string) string
	// Random remembers what replace_with_random() drew; nil: each rendering
	// draws anew.
	Random *Random
	// MaxOutput bounds the bytes that come out, and every string on the way;
	// 0: DefaultOutput.
	MaxOutput int

	out    []byte
	start  int
	limit  int
	work   int
	opts   Options
	loops  []frame
	sets   []binding
	random Random
}

// frame is a loop under way.
type frame struct {
	key, value   string // the variables' names
	keyIs, is    Value
	index, count int
}

type binding struct {
	parts []string
	value Value
}

func (in *Input) begin(dst []byte, opts Options) {
	in.out, in.start, in.opts = dst, len(dst), opts
	in.work, in.random = maxWork, Random{}
	in.loops, in.sets = in.loops[:0], in.sets[:0]
	if in.limit = in.MaxOutput; in.limit == 0 {
		in.limit = DefaultOutput
	}
}

var (
	errWork   = fmt.Errorf("the template takes too long")
	errOutput = fmt.Errorf("the text becomes too large")
)

// spend takes n from the work that is left.
func (in *Input) spend(n int) error {
	if in.work -= n; in.work < 0 {
		return errWork
	}
	return nil
}

// made checks a string of n bytes that is about to be made.
func (in *Input) made(n int) error {
	if n > in.limit {
		return errOutput
	}
	return in.spend(n / 16)
}

// write prints s.
func (in *Input) write(s string) error {
	if len(in.out)-in.start+len(s) > in.limit {
		return errOutput
	}
	in.out = append(in.out, s...)
	return in.spend(1 + len(s)/16)
}

// print prints a value.
func (in *Input) print(v Value) error {
	switch {
	case v.kind == isNull:
		return nil
	case v.kind == isString && in.opts.Escape:
		in.out = appendEscaped(in.out, v.text)
	case v.kind == isObject || v.kind == isArray:
		before := len(in.out)
		in.out = v.AppendJSON(in.out)
		if err := in.spend((len(in.out) - before) / 4); err != nil {
			return err
		}
	default:
		return in.write(v.text)
	}
	if len(in.out)-in.start > in.limit {
		return errOutput
	}
	return in.spend(1 + len(v.text)/16)
}

// variable finds a variable: of a loop, set, extracted, or in the context.
func (in *Input) variable(v *variable) (Value, bool) {
	if len(in.loops) > 0 {
		if x, ok := in.looped(v.parts); ok {
			return x, true
		}
	}
	for i := len(in.sets) - 1; i >= 0; i-- {
		if rest, ok := cutPrefix(v.parts, in.sets[i].parts); ok {
			if x, ok := in.sets[i].value.Walk(rest); ok {
				return x, true
			}
		}
	}
	if !v.advanced && len(in.Extractions) > 0 {
		if x, ok := in.extracted(v); ok {
			return x, true
		}
	}
	if in.Context.kind != isObject {
		return Value{}, false
	}
	return in.Context.Walk(v.parts)
}

// looped finds a variable of a loop.
func (in *Input) looped(parts []string) (Value, bool) {
	for i := len(in.loops) - 1; i >= 0; i-- {
		f := &in.loops[i]
		from := f.is
		switch {
		case parts[0] == f.key && f.key != "":
			from = f.keyIs
		case parts[0] != f.value:
			continue
		}
		if x, ok := from.Walk(parts[1:]); ok {
			return x, true
		}
	}
	if parts[0] != "loop" || len(parts) == 1 {
		return Value{}, false
	}
	depth := len(in.loops) - 1
	for parts = parts[1:]; len(parts) > 1 && parts[0] == "parent" && depth > 0; parts = parts[1:] {
		depth--
	}
	if len(parts) != 1 {
		return Value{}, false
	}
	return in.loops[depth].about(parts[0])
}

// about returns what loop.name is.
func (f *frame) about(name string) (Value, bool) {
	switch name {
	case "index":
		return Int(int64(f.index)), true
	case "index1":
		return Int(int64(f.index + 1)), true
	case "is_first":
		return Bool(f.index == 0), true
	case "is_last":
		return Bool(f.index == f.count-1), true
	}
	return Value{}, false
}

// extracted finds an extraction that is a variable, and marks those that a
// look-up in the context shows something of.
func (in *Input) extracted(v *variable) (Value, bool) {
	for i := range in.Extractions {
		x := &in.Extractions[i]
		switch {
		case x.Name == v.name:
			x.Used = true
			return x.Value, true
		case in.Merged && related(x.parts, v.parts):
			x.Used = true
		}
	}
	return Value{}, false
}

// useAll marks every extraction that the context shows.
func (in *Input) useAll() {
	for i := range in.Extractions {
		in.Extractions[i].Used = true
	}
}

// everything returns the context with the extractions.
func (in *Input) everything() Value {
	in.useAll()
	if in.Merged || len(in.Extractions) == 0 {
		return in.Context
	}
	all := Object()
	if in.Context.kind == isObject {
		all.tree.names, all.tree.list = slices.Clone(in.Context.tree.names), slices.Clone(in.Context.tree.list)
	}
	for i := range in.Extractions {
		_ = all.Set([]string{in.Extractions[i].Name}, in.Extractions[i].Value)
	}
	return all
}

// related reports whether one path leads to the other or through it.
func related(a, b []string) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}

func cutPrefix(path, prefix []string) ([]string, bool) {
	if len(path) < len(prefix) || !slices.Equal(path[:len(prefix)], prefix) {
		return nil, false
	}
	return path[len(prefix):], true
}
