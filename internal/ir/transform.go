package ir

// Transform changes requests and answers by templates of the Inja kind. The
// first rule that matches is applied, and no other.
type Transform struct {
	Rules []TransformRule `json:"rules"`
	// Responses are rules for answers alone; the first that matches is
	// applied, if no rule of Rules had a Response.
	Responses []ResponseRule `json:"responses,omitempty"`
	// BufferBytes bounds a body that is taken into memory; 0: 1 MiB.
	BufferBytes int64 `json:"bufferBytes,omitempty"`
}

// TransformRule is one pair of templates.
type TransformRule struct {
	// Match narrows the rule; nil: every request.
	Match    *Match    `json:"match,omitempty"`
	Request  *Template `json:"request,omitempty"`
	Response *Template `json:"response,omitempty"`
	// Rematch chooses the route again after the request was changed. What the
	// first route required stays required.
	Rematch bool   `json:"rematch,omitempty"`
	Origin  Origin `json:"origin,omitzero"`
}

// ResponseRule is a template for answers whose headers match.
type ResponseRule struct {
	Headers  []StringMatch `json:"headers,omitempty"`
	Response *Template     `json:"response"`
	Origin   Origin        `json:"origin,omitzero"`
}

// Template is one transformation, in the order in which it is carried out.
type Template struct {
	// Advanced reads JSON by pointers (a/b) and extractors by extraction(name)
	// alone; otherwise extractors are variables.
	Advanced bool `json:"advanced,omitempty"`
	// Extractors take parts of headers and of the body.
	Extractors []Extractor `json:"extractors,omitempty"`
	// DontParse treats the body as text; otherwise one that is no JSON is
	// refused, or with IgnoreParseError treated as absent.
	DontParse        bool `json:"dontParse,omitempty"`
	IgnoreParseError bool `json:"ignoreParseError,omitempty"`
	// At most one of these: Body is rendered in the body's place, Passthrough
	// does not touch or collect it, MergeExtractors writes the extractors into
	// the JSON body, MergeJSON writes members.
	Body            *string       `json:"body,omitempty"`
	Passthrough     bool          `json:"passthrough,omitempty"`
	MergeExtractors bool          `json:"mergeExtractors,omitempty"`
	MergeJSON       []MergeMember `json:"mergeJSON,omitempty"`
	// Metadata is rendered for other filters.
	Metadata []MetadataTemplate `json:"metadata,omitempty"`
	// Set replaces a header, and removes it where the text comes out empty;
	// Remove removes; Append adds, unless the text comes out empty.
	Set    []HeaderTemplate `json:"set,omitempty"`
	Remove []string         `json:"remove,omitempty"`
	Append []HeaderTemplate `json:"append,omitempty"`
	// Escape escapes the values that templates print as JSON strings are.
	Escape bool   `json:"escape,omitempty"`
	Origin Origin `json:"origin,omitzero"`
}

// Extractor takes a part of a header or of the body by an RE2 expression.
type Extractor struct {
	Name string `json:"name"`
	// Header, or else the body.
	Header string `json:"header,omitempty"`
	Regex  string `json:"regex"`
	// Group that is taken; 0: the whole match.
	Group int `json:"group,omitempty"`
	// Mode is "" (the whole text must match), "single" or "all" (replace).
	Mode        string  `json:"mode,omitempty"`
	Replacement *string `json:"replacement,omitempty"`
}

// HeaderTemplate is a header with the template of its value.
type HeaderTemplate struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// MergeMember writes a template's text at a dotted path of the JSON body.
type MergeMember struct {
	Path string `json:"path"`
	Text string `json:"text"`
	// OverrideEmpty writes an empty text too.
	OverrideEmpty bool `json:"overrideEmpty,omitempty"`
}

// MetadataTemplate is a value for other filters.
type MetadataTemplate struct {
	Namespace string `json:"namespace,omitempty"`
	Key       string `json:"key"`
	Text      string `json:"text"`
	// JSON parses the text.
	JSON bool `json:"json,omitempty"`
}
