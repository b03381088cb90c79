package simulate

import (
	"bytes"
	"iter"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// frame is one message of AWS's event stream encoding. See
// https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html.
func frame(event string, payload any) []byte {
	var h eventstream.Headers
	h.Set(":message-type", eventstream.StringValue("event"))
	h.Set(":event-type", eventstream.StringValue(event))
	h.Set(":content-type", eventstream.StringValue("application/json"))
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, eventstream.Message{Headers: h, Payload: encode(payload)}); err != nil {
		panic("simulate: encode event: " + err.Error())
	}
	return b.Bytes()
}

func framed(events iter.Seq[[]byte]) Answer {
	return Answer{Header: http.Header{"Content-Type": {"application/vnd.amazon.eventstream"}}, Stream: events}
}

// converseStream is a conversation's answer piece by piece.
func converseStream(pieces []string, usage bedrockUsage) Answer {
	type delta struct {
		Index int         `json:"contentBlockIndex"`
		Delta bedrockText `json:"delta"`
	}
	type stop struct {
		Index int `json:"contentBlockIndex"`
	}
	return framed(func(yield func([]byte) bool) {
		if !yield(frame("messageStart", map[string]string{"role": "assistant"})) {
			return
		}
		for _, piece := range pieces {
			if !yield(frame("contentBlockDelta", delta{0, bedrockText{piece}})) {
				return
			}
		}
		_ = yield(frame("contentBlockStop", stop{})) && yield(frame("messageStop", map[string]string{"stopReason": "end_turn"})) &&
			yield(frame("metadata", struct {
				Usage   bedrockUsage   `json:"usage"`
				Metrics bedrockMetrics `json:"metrics"`
			}{usage, bedrockMetrics{1}}))
	})
}

// invokeStream is a model's own answer piece by piece, in Anthropic's schema.
func invokeStream(pieces []string) Answer {
	type text struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	type event struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
		Delta text   `json:"delta"`
	}
	type chunk struct {
		Bytes []byte `json:"bytes"`
	}
	return framed(func(yield func([]byte) bool) {
		for _, piece := range pieces {
			if !yield(frame("chunk", chunk{encode(event{"content_block_delta", 0, text{"text_delta", piece}})})) {
				return
			}
		}
		yield(frame("chunk", chunk{encode(map[string]string{"type": "message_stop"})}))
	})
}
