package simulate

import (
	"net/http"
	"net/url"
	"strings"
)

// dashScopeBase is what stands before the paths of OpenAI's API.
const dashScopeBase = "/compatible-mode"

// DashScope simulates Alibaba Cloud Model Studio where it speaks OpenAI's API:
// https://dashscope.aliyuncs.com/compatible-mode/v1.
// See https://help.aliyun.com/zh/model-studio/compatibility-of-openai-with-dashscope.
type DashScope struct{ *OpenAI }

// NewDashScope makes a DashScope. Without models it offers a handful of Qwen's.
func NewDashScope(cfg ProviderConfig) *DashScope {
	if len(cfg.Models) == 0 {
		cfg.Models = []string{"qwen1.5-72b-chat", "qwen-turbo", "qwen-plus", "qwen-max", "qwen-long", "qwen2.5-72b-instruct"}
	}
	return &DashScope{NewOpenAI(cfg)}
}

// Name is "dashscope".
func (d *DashScope) Name() string { return "dashscope" }

// Answer replies as OpenAI would, below a base path.
func (d *DashScope) Answer(r *Request) Answer {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), dashScopeBase)
	if !ok {
		return openAIError(http.StatusNotFound, "Not Found.", nil, nil)
	}
	head := *r.Request
	head.URL = &url.URL{Path: path, RawQuery: r.URL.RawQuery}
	inner := *r
	inner.Request = &head
	return d.OpenAI.Answer(&inner)
}
