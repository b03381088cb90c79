package gloo

import "github.com/postern-gateway/postern/internal/dialect/glootemplate"

// stagedTransformations is TransformationStages.
type stagedTransformations struct {
	Early                  *stage `json:"early"`
	EscapeCharacters       *bool  `json:"escapeCharacters"`
	InheritTransformation  bool   `json:"inheritTransformation"`
	LogRequestResponseInfo raw    `json:"logRequestResponseInfo"`
	PostRouting            *stage `json:"postRouting"`
	Regular                *stage `json:"regular"`
}

// stage is RequestResponseTransformations: of each list the first that
// matches is carried out.
type stage struct {
	RequestTransforms  []requestTransform  `json:"requestTransforms"`
	ResponseTransforms []responseTransform `json:"responseTransforms"`
}

type requestTransform struct {
	ClearRouteCache        bool            `json:"clearRouteCache"`
	Matcher                *matcher        `json:"matcher"`
	RequestTransformation  *transformation `json:"requestTransformation"`
	ResponseTransformation *transformation `json:"responseTransformation"`
}

type responseTransform struct {
	Matchers               []valueMatcher  `json:"matchers"`
	ResponseCodeDetails    string          `json:"responseCodeDetails"`
	ResponseTransformation *transformation `json:"responseTransformation"`
}

// transformation is Transformation: one of its kinds is set.
type transformation struct {
	HeaderBodyTransform    raw                    `json:"headerBodyTransform"`
	LogRequestResponseInfo raw                    `json:"logRequestResponseInfo"`
	TransformationTemplate *glootemplate.Template `json:"transformationTemplate"`
}

// transformations is the deprecated form: one rule of the regular stage.
type transformations struct {
	ClearRouteCache        bool            `json:"clearRouteCache"`
	RequestTransformation  *transformation `json:"requestTransformation"`
	ResponseTransformation *transformation `json:"responseTransformation"`
}
