package resource

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// yamlWords puts the parser's complaints into words that quote nothing of the
// file and say what to do. The first that fits is taken.
var yamlWords = []struct{ theirs, what, remedy string }{
	{"tab character", "a tab in the indentation", "indent with spaces"},
	{"cannot start any token", "a character that cannot begin a value, such as a tab, @, ` or %", "indent with spaces, and put such a value in quotes"},
	{"mapping values are not allowed", "a colon where none can be: the line above it is not finished, or the indentation is off", "indent keys of one mapping alike, and put text with a colon and a space in quotes"},
	{"could not find expected ':'", "a key without its colon", "write \"key: value\", with a space after the colon"},
	{"did not find expected node content", "a value is missing where one must be", "write the value, or close the bracket"},
	{"did not find expected key", "no key where one must be: the indentation is off, or a quote is not closed", "indent keys of one mapping alike"},
	{"did not find expected '-' indicator", "a list item that does not begin with a dash at its list's indentation", "indent the items of one list alike"},
	{"did not find expected ',' or", "a bracket that is not closed, or a comma that is missing", "close it"},
	{"unexpected end of stream", "a quote that is not closed", "close it"},
	{"unknown anchor", "an alias (*name) of an anchor (&name) that is not there", "define the anchor above it, or put text that begins with * in quotes"},
	{"control characters", "a control character", "remove it, or write it escaped in double quotes"},
	{"unknown escape character", "an unknown escape in double quotes", "write \\\\ for a backslash, or use single quotes"},
	{"exceeded max depth", "it is nested too deeply", "flatten it"},
	{"document start", "text between two documents", "begin each document with a line ---"},
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// parserWords are errors whose lines the library counts from 0.
var parserWords = regexp.MustCompile(`did not find expected (<|node content|key|'-'|',')`)

var unknownAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)

// indentedByTab reports whether a line begins with white space in which there
// is a tab.
func indentedByTab(file []byte, line int) bool {
	for ; line > 1; line-- {
		_, rest, ok := bytes.Cut(file, []byte("\n"))
		if !ok {
			return false
		}
		file = rest
	}
	indentation := file[:len(file)-len(bytes.TrimLeft(file, " \t"))]
	return bytes.IndexByte(indentation, '\t') >= 0
}

// yamlBreakage words a parser's error about a file anew: its own text may
// quote the file.
func yamlBreakage(err error, file []byte) *breakage {
	text := err.Error()
	b := &breakage{line: 1, what: "this is not YAML", remedy: "look at the line and the one above it"}
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		b.line, _ = strconv.Atoi(m[1])
		if parserWords.MatchString(text) {
			b.line++
		}
	} else if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		before, _, _ := bytes.Cut(file, []byte("*"+m[1]))
		b.line += bytes.Count(before, []byte("\n"))
	}
	if indentedByTab(file, b.line) {
		text = "tab character"
	}
	for _, w := range yamlWords {
		if strings.Contains(text, w.theirs) {
			b.what, b.remedy = "this is not YAML: "+w.what, w.remedy
			break
		}
	}
	return b
}
