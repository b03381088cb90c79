package template

// header returns the first value of a header of the message that is changed,
// or "".
func header(in *Input, a args) (Value, error) {
	if a[0].kind != isString {
		return Value{}, errText
	}
	if in.Source == nil {
		return String(""), nil
	}
	return String(in.Source.Header(a[0].text)), nil
}

// requestHeader is header of the request, also while an answer is changed.
func requestHeader(in *Input, a args) (Value, error) {
	if a[0].kind != isString {
		return Value{}, errText
	}
	if in.Source == nil {
		return String(""), nil
	}
	return String(in.Source.RequestHeader(a[0].text)), nil
}

// extraction returns what an extractor took, or "".
func extraction(in *Input, a args) (Value, error) {
	if a[0].kind != isString {
		return Value{}, errText
	}
	for i := range in.Extractions {
		if x := &in.Extractions[i]; x.Name == a[0].text {
			x.Used = true
			return x.Value, nil
		}
	}
	return String(""), nil
}

func body(in *Input, _ args) (Value, error) {
	if in.Source == nil {
		return String(""), nil
	}
	return String(in.Source.Body()), nil
}

func env(in *Input, a args) (Value, error) {
	if a[0].kind != isString {
		return Value{}, errText
	}
	if in.Env == nil {
		return String(""), nil
	}
	return String(in.Env(a[0].text)), nil
}

// metadata is (key) or (key, namespace). What is no string, number or boolean
// comes as JSON text, and nothing as "".
func metadata(in *Input, a args) (Value, error) {
	if a[0].kind != isString || a[1].kind != isString && a[1].kind != isNull {
		return Value{}, errText
	}
	if in.Source == nil {
		return String(""), nil
	}
	v := in.Source.Metadata(a[1].text, a[0].text)
	switch v.kind {
	case isNull, isBool, isArray, isObject:
		return String(v.Text()), nil
	}
	return v, nil
}
