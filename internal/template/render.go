package template

// statement is a part of a template that prints, or decides what does.
type statement interface {
	render(in *Input) *Error
}

type text string

func (t text) render(in *Input) *Error { return place(in.write(string(t)), 0) }

// place gives an error its place, unless it has one.
func place(err error, pos int) *Error {
	if err == nil {
		return nil
	}
	return &Error{pos: pos, Text: err.Error()}
}

// printed is {{ e }}.
type printed struct{ e expr }

func (s *printed) render(in *Input) *Error {
	v, err := s.e.eval(in)
	if err != nil {
		return err
	}
	return place(in.print(v), s.e.at())
}

func renderAll(list []statement, in *Input) *Error {
	for _, s := range list {
		if err := s.render(in); err != nil {
			return err
		}
	}
	return nil
}

// ifElse is if, else if, else.
type ifElse struct {
	arms      []arm
	otherwise []statement
}

type arm struct {
	cond expr
	body []statement
}

func (s *ifElse) render(in *Input) *Error {
	for i := range s.arms {
		v, err := s.arms[i].cond.eval(in)
		if err != nil {
			return err
		}
		if v.truthy() {
			return renderAll(s.arms[i].body, in)
		}
	}
	return renderAll(s.otherwise, in)
}

// loop is for value in over, or for key, value in over.
type loop struct {
	key, value string
	over       expr
	body       []statement
	pos        int
}

func (s *loop) render(in *Input) *Error {
	v, err := s.over.eval(in)
	if err != nil {
		return err
	}
	switch {
	case s.key == "" && v.kind != isArray:
		return &Error{pos: s.over.at(), Text: errList.Error()}
	case s.key != "" && v.kind != isObject:
		return &Error{pos: s.over.at(), Text: "an object is needed"}
	}
	depth := len(in.loops)
	in.loops = append(in.loops, frame{key: s.key, value: s.value, count: len(v.tree.list)})
	for i, x := range v.tree.list {
		if err := in.spend(1); err != nil {
			return place(err, s.pos)
		}
		f := &in.loops[depth]
		f.index, f.is = i, x
		if s.key != "" {
			f.keyIs = String(v.tree.names[i])
		}
		if err := renderAll(s.body, in); err != nil {
			return err
		}
	}
	in.loops = in.loops[:depth]
	return nil
}

// set is set name = to.
type set struct {
	parts []string
	to    expr
}

// maxSets bounds the variables of a rendering.
const maxSets = 100

func (s *set) render(in *Input) *Error {
	v, err := s.to.eval(in)
	if err != nil {
		return err
	}
	for i := range in.sets {
		if len(in.sets[i].parts) == len(s.parts) && related(in.sets[i].parts, s.parts) {
			in.sets[i].value = v
			return nil
		}
	}
	if len(in.sets) >= maxSets {
		return &Error{pos: s.to.at(), Text: "too many variables"}
	}
	in.sets = append(in.sets, binding{s.parts, v})
	return place(in.spend(len(in.sets)), s.to.at())
}
