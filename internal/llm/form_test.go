package llm

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
)

const formType = "multipart/form-data; boundary=XX"

// formOf writes parts, each of which is a head and a content, as curl does.
func formOf(parts ...string) string {
	var b strings.Builder
	for i := 0; i < len(parts); i += 2 {
		b.WriteString("--XX\r\n" + parts[i] + "\r\n\r\n" + parts[i+1] + "\r\n")
	}
	return b.String() + "--XX--\r\n"
}

const (
	modelPart  = `Content-Disposition: form-data; name="model"`
	streamPart = `Content-Disposition: form-data; name="stream"`
	filePart   = "Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav"
)

func TestScanForm(t *testing.T) {
	audio := "\x00\xff{\"model\":\"x\"}\r\n--X not a boundary\r\n"
	good := formOf(filePart, audio, modelPart, "whisper-1", streamPart, "true")
	for _, tc := range []struct {
		name, contentType, body string
		want                    Scan
		err                     error
	}{
		{"model behind the file", formType, good, Scan{"whisper-1", true, true}, nil},
		{"quoted boundary, any case", `Multipart/Form-Data; boundary="XX"`, good, Scan{"whisper-1", true, true}, nil},
		{"without the last line break", formType, strings.TrimSuffix(good, "\r\n"), Scan{"whisper-1", true, true}, nil},
		{"no model", formType, formOf(filePart, audio), Scan{}, nil},
		{"an empty model", formType, formOf(modelPart, ""), Scan{HasModel: true}, nil},
		{"a file's name in UTF-8", formType, formOf(`Content-Disposition: form-data; name="file"; filename*=utf-8''%c3%a9`, "", modelPart, "m"), Scan{Model: "m", HasModel: true}, nil},
		{"boundary inside a line", formType, formOf(filePart, "x--XX", modelPart, "m"), Scan{Model: "m", HasModel: true}, nil},

		{"twice", formType, formOf(modelPart, "a", modelPart, "b"), Scan{}, ErrAmbiguous},
		{"another case", formType, formOf(`Content-Disposition: form-data; name="MODEL"`, "b"), Scan{}, ErrAmbiguous},
		{"percent escape", formType, formOf(`Content-Disposition: form-data; name="mode%6c"`, "b"), Scan{}, ErrAmbiguous},
		{"array", formType, formOf(`Content-Disposition: form-data; name="model[]"`, "b"), Scan{}, ErrAmbiguous},
		{"space", formType, formOf(`Content-Disposition: form-data; name=" model"`, "b"), Scan{}, ErrAmbiguous},
		{"stream twice", formType, formOf(streamPart, "true", streamPart, "false"), Scan{}, ErrAmbiguous},
		{"RFC 5987", formType, formOf(`Content-Disposition: form-data; name*=utf-8''model`, "b"), Scan{}, ErrForm},
		{"quoted pair", formType, formOf(`Content-Disposition: form-data; name="mode\l"`, "b"), Scan{}, ErrForm},
		{"two names", formType, formOf(`Content-Disposition: form-data; name="a"; name="model"`, "b"), Scan{}, ErrForm},
		{"two dispositions", formType, formOf(modelPart+"\r\n"+`Content-Disposition: form-data; name="a"`, "b"), Scan{}, ErrForm},
		{"a file named model", formType, formOf(modelPart+`; filename="x"`, "b"), Scan{}, ErrMember},
		{"an encoded model", formType, formOf(modelPart+"\r\nContent-Transfer-Encoding: base64", "YQ=="), Scan{}, ErrMember},
		{"a model in UTF-16", formType, formOf(modelPart+"\r\nContent-Type: text/plain; charset=utf-16", "a"), Scan{}, ErrMember},
		{"a model of two lines", formType, formOf(modelPart, "a\r\nb"), Scan{}, ErrMember},
		{"stream of another kind", formType, formOf(streamPart, "1"), Scan{}, ErrMember},
		{"folded head", formType, formOf("Content-Disposition: form-data;\r\n name=\"model\"", "b"), Scan{}, ErrForm},
		{"no head", formType, "--XX\r\n\r\nmodel\r\n--XX--\r\n", Scan{}, ErrForm},
		{"preamble", formType, "x\r\n" + good, Scan{}, ErrForm},
		{"epilogue", formType, good + "--XX", Scan{}, ErrForm},
		{"cut off", formType, good[:len(good)-9], Scan{}, ErrForm},
		{"bare line feeds", formType, strings.ReplaceAll(good, "\r\n", "\n"), Scan{}, ErrForm},
		{"one bare line feed", formType, strings.Replace(good, "whisper-1\r\n", "whisper-1\n", 1), Scan{}, ErrForm},
		{"a longer boundary", formType, strings.Replace(good, "--XX\r\nContent-Disposition: form-data; name=\"s", "--XXY\r\nContent-Disposition: form-data; name=\"s", 1), Scan{}, ErrForm},
		{"no boundary", "multipart/form-data", good, Scan{}, ErrForm},
		{"two boundaries", formType + "; boundary=YY", good, Scan{}, ErrForm},
		{"JSON in it", formType, `{"model":"a"}`, Scan{}, ErrForm},
		{"a form that is said to be JSON", "application/json", good, Scan{}, ErrSyntax},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _, err := ScanRequest(tc.contentType, []byte(tc.body))
			if !errors.Is(err, tc.err) || err == nil && got != tc.want {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

// FuzzForm: what the scan tells of a form, mime/multipart tells too.
func FuzzForm(f *testing.F) {
	f.Add(formOf(filePart, "abc", modelPart, "whisper-1", streamPart, "true"))
	f.Add(formOf(`Content-Disposition: form-data; name=model`, "b"))
	f.Add(formOf(`Content-Disposition: form-data; name="a"; filename="; name=\"model\""`, "b", modelPart, "m"))
	f.Add("--XX\r\nContent-Disposition: form-data; name=\"0\"\r\n\":\r\n\r\n\r\n--XX--")
	f.Fuzz(func(t *testing.T, body string) {
		got, err := scanForm(formType, []byte(body))
		if err != nil {
			return
		}
		_, params, _ := mime.ParseMediaType(formType)
		r := multipart.NewReader(strings.NewReader(body), params["boundary"])
		model, named := "", 0
		for {
			p, err := r.NextPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%q: mime/multipart: %v", body, err)
			}
			if strings.EqualFold(p.FormName(), "model") {
				b, _ := io.ReadAll(p)
				model, named = string(b), named+1
			}
		}
		if named > 1 || named == 1 != got.HasModel || model != got.Model {
			t.Fatalf("%q: mime/multipart reads %d models, %q; we %+v", body, named, model, got)
		}
	})
}

func BenchmarkScanForm(b *testing.B) {
	body := []byte(formOf(filePart, string(bytes.Repeat([]byte("\x00\r\n-- audio \xff"), 10<<20/14)), modelPart, "whisper-1"))
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if s, err := scanForm(formType, body); err != nil || s.Model != "whisper-1" {
			b.Fatal(s, err)
		}
	}
}
