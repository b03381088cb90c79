package program

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/postern-gateway/postern/internal/simulate"
)

// TestGlooGatewayJWT follows the walk-through of a Gloo VirtualService that
// asks for a JWT and carries Hugging Face's token.
func TestGlooGatewayJWT(t *testing.T) {
	hf, flags := providers(t, nil)
	p := run(t, example(t, "gloo-gateway-jwt", "virtualservice.yaml", "upstream.yaml", "secret.yaml"), settings{args: flags})
	base := "http://" + p.addr("8080")
	const prompt = `{"inputs": "What are the advantages of running Gloo Gateway in AWS?"}`
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"} // as curl -d sends it
	with := func(token string) map[string]string {
		return map[string]string{"Content-Type": form["Content-Type"], "Authorization": "Bearer " + token}
	}
	workshop := token(t, "gloo-gateway-jwt", "workshop")

	none := send(t, request{method: "POST", url: base + "/huggingface-gloo-gw", body: prompt, header: form})
	if none.status != 401 || none.body != "Jwt is missing" {
		t.Errorf("no token: %v", none)
	}
	if got, want := none.header.Get("WWW-Authenticate"), `Bearer realm="`+base+`/huggingface-gloo-gw"`; got != want {
		t.Errorf("no token: WWW-Authenticate %s, want %s", got, want)
	}
	if none.header.Get("X-Postern-Decision") == "" {
		t.Error("no token: no decision id")
	}

	alice := send(t, request{method: "POST", url: base + "/huggingface-gloo-gw", body: prompt, header: with(token(t, "gloo-ai-gateway", "alice"))})
	if alice.status != 403 || alice.body != "RBAC: access denied" {
		t.Errorf("Alice: %v", alice)
	}
	if n := len(hf.Requests()); n != 0 {
		t.Fatalf("%d refused requests reached the provider", n)
	}

	for _, tc := range []struct{ name, path, target string }{
		{"as documented", "/huggingface-gloo-gw", "/models/openai-community/gpt2"},
		{"remainder and query survive", "/huggingface-gloo-gw/z?q=1&r=%20x", "/models/openai-community/gpt2/z?q=1&r=%20x"},
	} {
		hf.Clear()
		got := send(t, request{method: "POST", url: base + tc.path, body: prompt, header: with(workshop)})
		if got.status != 200 || !strings.Contains(got.body, "generated_text") {
			t.Errorf("%s: %v", tc.name, got)
		}
		seen := hf.Requests()
		if len(seen) != 1 {
			t.Fatalf("%s: the provider saw %d requests", tc.name, len(seen))
		}
		expectHuggingFace(t, tc.name, seen[0], tc.target, workshop)
	}
}

func expectHuggingFace(t *testing.T, name string, r simulate.Record, target, jwt string) {
	t.Helper()
	if r.Target != target || r.Method != http.MethodPost || !r.TLS || r.SNI != "api-inference.huggingface.co" {
		t.Errorf("%s: the provider saw %s %s, TLS %v to %s", name, r.Method, r.Target, r.TLS, r.SNI)
	}
	if r.Host != "api-inference.huggingface.co" {
		t.Errorf("%s: host %q", name, r.Host)
	}
	if r.Authorizations != 1 || !r.HeaderIs("Authorization", "Bearer "+huggingFaceKey) {
		t.Errorf("%s: %d Authorization values, the provider's: %v", name, r.Authorizations, r.HeaderIs("Authorization", "Bearer "+huggingFaceKey))
	}
	if !r.HeaderIs("Content-Type", "application/json") {
		t.Errorf("%s: content type %q", name, r.Headers.Get("Content-Type"))
	}
	for header := range r.Headers {
		for _, part := range strings.Split(jwt, ".") {
			if r.HeaderIs(header, jwt) || strings.Contains(strings.Join(r.Headers[header], " "), part) {
				t.Errorf("%s: a trace of the JWT in %s", name, header)
			}
		}
	}
}

// TestGlooAIGateway follows the walk-through of Gloo AI Gateway in its three
// steps, applied by adding and removing files of the running gateway.
func TestGlooAIGateway(t *testing.T) {
	openAI, flags := providers(t, nil)
	p := run(t, example(t, "gloo-ai-gateway", "gateway.yaml", "openai.yaml"), settings{args: flags})
	policies := example(t, "gloo-ai-gateway", "jwt-provider.yaml", "openai-opt.yaml")
	base := "http://" + p.addr("8080")
	const chat = `{"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "Compose a poem that explains recursion."}]}`
	ask := func(who string) reply {
		h := map[string]string{"Content-Type": "application/json"}
		if who != "" {
			h["Authorization"] = "Bearer " + token(t, "gloo-ai-gateway", who)
		}
		return send(t, request{method: "POST", url: base + "/openai", body: chat, header: h})
	}
	expect := func(step, who string, status int, body string) {
		t.Helper()
		if got := ask(who); got.status != status || !strings.Contains(got.body, body) {
			t.Errorf("%s, %q: %v, want %d with %q", step, who, got, status, body)
		}
	}
	becomes := func(step, who string, status int) {
		t.Helper()
		p.await(step, func() bool { return ask(who).status == status })
	}

	if !strings.Contains(p.err.String(), "asks NOBODY") || !strings.Contains(p.err.String(), "warning: ") {
		t.Errorf("no warning of the exposed credential:\n%s", p.err)
	}
	expect("no policy", "", 200, "chat.completion")

	p.write("jwt-provider.yaml", policies["jwt-provider.yaml"])
	becomes("the JWT policy", "", 401)
	expect("JWT policy", "", 401, "Jwt is missing")
	expect("JWT policy", "alice", 200, "chat.completion")
	expect("JWT policy", "bob", 200, "chat.completion")

	p.write("openai-opt.yaml", policies["openai-opt.yaml"])
	becomes("the claim rule", "bob", 403)
	expect("claim rule", "bob", 403, "RBAC: access denied")
	expect("claim rule", "alice", 200, "chat.completion")
	expect("claim rule", "", 401, "Jwt is missing")

	for _, r := range openAI.Requests() {
		if r.Authorizations != 1 || !r.HeaderIs("Authorization", "Bearer "+openAIKey) || r.Path != "/v1/chat/completions" || r.Host != "api.openai.com" {
			t.Errorf("the provider saw %s %s, host %s, %d Authorization values", r.Method, r.Path, r.Host, r.Authorizations)
		}
	}

	p.remove("openai-opt.yaml")
	becomes("Bob again", "bob", 200)
	p.remove("jwt-provider.yaml")
	becomes("everyone again", "", 200)
}

// TestOpenAIClient runs the official client through the gateway.
func TestOpenAIClient(t *testing.T) {
	_, flags := providers(t, nil)
	p := run(t, example(t, "gloo-ai-gateway", "gateway.yaml", "openai.yaml", "jwt-provider.yaml", "openai-opt.yaml"), settings{args: flags})
	client := openai.NewClient(
		option.WithBaseURL("http://"+p.addr("8080")+"/openai/v1/"),
		option.WithAPIKey(token(t, "gloo-ai-gateway", "alice")),
	)
	params := openai.ChatCompletionNewParams{
		Model:    "gpt-3.5-turbo",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("What is a postern?")},
	}
	answer, err := client.Chat.Completions.New(context.Background(), params)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Choices[0].Message.Content == "" || answer.Usage.TotalTokens == 0 {
		t.Errorf("answer: %+v", answer)
	}
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := client.Chat.Completions.NewStreaming(context.Background(), params)
	var text strings.Builder
	usage := int64(0)
	for stream.Next() {
		chunk := stream.Current()
		for _, c := range chunk.Choices {
			text.WriteString(c.Delta.Content)
		}
		usage += chunk.Usage.TotalTokens
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text.String(), `You said "What is a postern?"`) || usage == 0 {
		t.Errorf("streamed %q, %d tokens", text.String(), usage)
	}
}
