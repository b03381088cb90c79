package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// IntOrString is a number or a text, as Kubernetes' type of that name. The
// zero value is the number 0.
type IntOrString struct {
	Int    int
	String string
}

// UnmarshalJSON reads a number or a string.
func (v *IntOrString) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &v.String)
	}
	if err := json.Unmarshal(b, &v.Int); err != nil {
		return errors.New("want a whole number or text")
	}
	return nil
}

// Duration is a proto-JSON or Go duration in text: "1.5s", "300ms". Its zero
// value is no time; Set tells whether it was written.
type Duration struct {
	time.Duration
	Set bool
}

// UnmarshalJSON reads a string such as "1.5s".
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("want a duration in quotes, such as \"1.5s\"")
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is no duration; write one such as \"1.5s\"", s)
	}
	d.Duration, d.Set = v, true
	return nil
}

// ParseEnum returns the number of an enum value given by name or number, as
// proto-JSON allows. names are in the order of their numbers, from 0.
func ParseEnum(b []byte, names []string) (int, error) {
	text := strings.Trim(string(b), `"`)
	for i, n := range names {
		if n == text {
			return i, nil
		}
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n < len(names) {
		return n, nil
	}
	if near := Nearest(text, names); near != "" {
		return 0, fmt.Errorf("%q is no value of this field; did you mean %s?", text, near)
	}
	return 0, fmt.Errorf("%q is no value of this field; write one of %s", text, strings.Join(names, ", "))
}
