package template

// function returns the function of a name that takes n arguments, or nil.
func function(name string, n int) fn {
	var f fn
	takes := 1
	switch name {
	// Inja's own.
	case "upper":
		f = upper
	case "lower":
		f = lower
	case "capitalize":
		f = capitalize
	case "length":
		f = length
	case "first":
		f = first
	case "last":
		f = last
	case "sort":
		f = func(in *Input, a args) (Value, error) { return sorted(in, a[0]) }
	case "max", "min":
		f = extreme(name == "max")
	case "range":
		f = rangeOf
	case "float":
		f = toFloat
	case "int":
		f = toInt
	case "even", "odd":
		f = parity(name == "odd")
	case "exists":
		f = exists
	case "existsIn":
		f, takes = existsIn, 2
	case "at":
		f, takes = at, 2
	case "join":
		f, takes = join, 2
	case "round":
		f, takes = round, 2
	case "divisibleBy":
		f, takes = divisibleBy, 2
	case "replace":
		f, takes = replace, 3
	default:
		if f = kindTest(name); f == nil {
			f, takes = gatewayFunction(name, n)
		}
	}
	if n != takes {
		return nil
	}
	return f
}

// kindTest returns the function that asks what kind a value is of, or nil.
func kindTest(name string) fn {
	var is func(v Value) bool
	switch name {
	case "isArray":
		is = func(v Value) bool { return v.kind == isArray }
	case "isBoolean":
		is = func(v Value) bool { return v.kind == isBool }
	case "isNumber":
		is = func(v Value) bool { return v.kind == isNumber }
	case "isInteger":
		is = func(v Value) bool { return v.integer() }
	case "isFloat":
		is = func(v Value) bool { return v.kind == isNumber && !v.integer() }
	case "isObject":
		is = func(v Value) bool { return v.kind == isObject }
	case "isString":
		is = func(v Value) bool { return v.kind == isString }
	default:
		return nil
	}
	return func(_ *Input, a args) (Value, error) { return Bool(is(a[0])), nil }
}

// gatewayFunction returns a function that the transformation filter adds, and
// how many arguments it takes, given that it is called with n.
func gatewayFunction(name string, n int) (fn, int) {
	switch name {
	case "header":
		return header, 1
	case "request_header":
		return requestHeader, 1
	case "extraction":
		return extraction, 1
	case "body":
		return body, 0
	case "context":
		return func(in *Input, _ args) (Value, error) { return in.everything(), nil }, 0
	case "env":
		return env, 1
	case "dynamic_metadata":
		return metadata, between(1, 2, n)
	case "cluster_metadata", "host_metadata", "clusterMetadata": // upstreams have none here
		return func(*Input, args) (Value, error) { return String(""), nil }, between(1, 2, n)
	case "base64_encode", "base64url_encode":
		return encode(name == "base64url_encode"), 1
	case "base64_decode", "base64url_decode":
		return decode(name == "base64url_decode"), 1
	case "substring":
		return substring, between(2, 3, n)
	case "replace_with_random":
		return replaceWithRandom, 2
	case "raw_string":
		return rawString, 1
	case "word_count":
		return wordCount, 1
	case "trim":
		return trim, 1
	}
	return nil, -1
}

func between(least, most, n int) int { return max(least, min(n, most)) }
