package ir

// LLMOptions is what a route asks of the LLM requests that pass it.
type LLMOptions struct {
	// Defaults are top-level members of the body.
	Defaults []JSONMember `json:"defaults,omitempty"`
	// Prepend and Append are messages put around the client's.
	Prepend []Message `json:"prepend,omitempty"`
	Append  []Message `json:"append,omitempty"`
	// Stream forces a streamed answer.
	Stream bool `json:"stream,omitempty"`
}

// Message is one message of a chat. Role is lower case.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// JSONMember is one member of a JSON object to write.
type JSONMember struct {
	Name string `json:"name"`
	// Value is JSON text.
	Value string `json:"value"`
	// Override also replaces a member that is there.
	Override bool `json:"override,omitempty"`
}
