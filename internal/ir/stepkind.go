package ir

// Kind says in a word or two what a step is; empty: it is nothing.
func (s *Step) Kind() string {
	for _, k := range []struct {
		is   bool
		name string
	}{
		{s.Closed != nil, "closed"},
		{s.Direct != nil, "answer"},
		{s.JWT != nil, "JWT"},
		{s.AuthSet != nil, "authentication"},
		{s.ClaimRules != nil, "claim rules"},
		{s.Authorization != nil, "authorization"},
		{s.AccessRules != nil, "access rules"},
		{s.Transform != nil, "transformation"},
		{s.CORS != nil, "CORS"},
		{s.Headers != nil, "headers"},
		{s.Path != nil, "path"},
		{s.Host != nil, "host"},
		{s.Mirror != nil, "mirror"},
		{s.BodyLimit != nil, "body limit"},
		{s.Buffer != nil, "buffer"},
		{s.Timeouts != nil, "timeouts"},
		{s.Retry != nil, "retry"},
		{s.Upgrade != nil, "upgrade"},
		{s.LLM != nil, "LLM options"},
		{s.BodyEdit != nil, "body"},
		{s.Direct != nil, "direct answer"},
	} {
		if k.is {
			return k.name
		}
	}
	return ""
}
