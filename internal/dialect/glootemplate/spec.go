package glootemplate

import (
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// Template is TransformationTemplate, with the fields of both families.
type Template struct {
	AdvancedTemplates bool                 `json:"advancedTemplates"`
	Extractors        map[string]Extractor `json:"extractors"`
	Headers           map[string]Text      `json:"headers"`
	HeadersToAppend   []struct {
		Key   string `json:"key"`
		Value Text   `json:"value"`
	} `json:"headersToAppend"`
	HeadersToRemove       []string `json:"headersToRemove"`
	Body                  *Text    `json:"body"`
	Passthrough           present  `json:"passthrough"`
	MergeExtractorsToBody present  `json:"mergeExtractorsToBody"`
	MergeJSONKeys         *struct {
		JSONKeys map[string]JSONKey `json:"jsonKeys"`
	} `json:"mergeJsonKeys"`
	ParseBodyBehavior     parseBehavior `json:"parseBodyBehavior"`
	IgnoreErrorOnParse    bool          `json:"ignoreErrorOnParse"`
	DynamicMetadataValues []struct {
		MetadataNamespace string `json:"metadataNamespace"`
		Key               string `json:"key"`
		Value             Text   `json:"value"`
		JSONToProto       bool   `json:"jsonToProto"`
	} `json:"dynamicMetadataValues"`
	EscapeCharacters  *bool   `json:"escapeCharacters"`
	DataSources       present `json:"dataSources"`
	DataSourceMaxSize present `json:"dataSourceMaxSize"`
	StringDelimiter   string  `json:"stringDelimiter"`
	SpanTransformer   present `json:"spanTransformer"`
}

// Text is a template's text.
type Text struct {
	Text string `json:"text"`
}

// Extractor takes a part of a header or of the body.
type Extractor struct {
	Header          *string        `json:"header"`
	Body            present        `json:"body"`
	Regex           string         `json:"regex"`
	Subgroup        int            `json:"subgroup"`
	ReplacementText *string        `json:"replacementText"`
	Mode            extractionMode `json:"mode"`
}

// JSONKey is a member that is written into the body.
type JSONKey struct {
	Tmpl          Text `json:"tmpl"`
	OverrideEmpty bool `json:"overrideEmpty"`
}

// present is a field of which only counts whether it is there.
type present = reading.Present

type extractionMode int

// modes of ir.Extractor in the order of the enum.
var modes = []string{"", "single", "all"}

// UnmarshalJSON reads the enum Mode.
func (e *extractionMode) UnmarshalJSON(b []byte) error {
	n, err := resource.ParseEnum(b, []string{"EXTRACT", "SINGLE_REPLACE", "REPLACE_ALL"})
	*e = extractionMode(n)
	return err
}

type parseBehavior int

const dontParse parseBehavior = 1

// UnmarshalJSON reads the enum RequestBodyParse.
func (e *parseBehavior) UnmarshalJSON(b []byte) error {
	n, err := resource.ParseEnum(b, []string{"ParseAsJson", "DontParse"})
	*e = parseBehavior(n)
	return err
}
