package documents

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is how long is waited for what a block shall print, which takes a
// second: only what never comes takes as long.
const patience = 2 * time.Minute

// block is one block of commands of a document.
type block struct {
	line     int
	commands string
	printed  *string // nil: anything
	exit     int
	until    bool
	terminal bool
}

var exitComment = regexp.MustCompile(`^<!-- exit: (\d+) -->$`)

// blocks reads a document.
func blocks(text string) ([]block, error) {
	var out []block
	var next block
	fence, body := "", []string(nil)
	for i, line := range strings.Split(text, "\n") {
		switch {
		case fence == "" && strings.HasPrefix(line, "```"):
			fence, body = line[3:], nil
			next.line = i + 1
			if fence == "" {
				fence = "none"
			}
		case fence == "" && line == "<!-- until -->":
			next.until = true
		case fence == "" && line == "<!-- terminal -->":
			next.terminal = true
		case fence == "" && exitComment.MatchString(line):
			next.exit, _ = strconv.Atoi(exitComment.FindStringSubmatch(line)[1])
		case fence != "" && line == "```":
			said := strings.Join(body, "\n")
			switch {
			case fence == "sh":
				next.commands = said
				out = append(out, next)
			case fence == "text" && len(out) > 0 && out[len(out)-1].printed == nil:
				out[len(out)-1].printed = &said
			default:
				return nil, fmt.Errorf("line %d: a block %q without commands before it", next.line, fence)
			}
			fence, next = "", block{}
		case fence != "":
			body = append(body, line)
		}
	}
	if fence != "" {
		return nil, fmt.Errorf("line %d: a fence is not closed", next.line)
	}
	return out, nil
}

// pattern makes an expression of what a block shall print.
func pattern(printed string) *regexp.Regexp {
	var out strings.Builder
	out.WriteString(`\A`)
	for _, line := range strings.Split(strings.TrimRight(printed, "\n"), "\n") {
		if line == "…" {
			out.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		for i, part := range strings.Split(line, "…") {
			if i > 0 {
				out.WriteString(`[^\n]*`)
			}
			out.WriteString(regexp.QuoteMeta(part))
		}
		out.WriteString(`\n`)
	}
	return regexp.MustCompile(out.String() + `\z`)
}

// shell runs blocks one after the other.
type shell struct {
	dir string
	env []string
}

// run runs the commands of a block; what they export is there for the next ones.
func (s *shell) run(ctx context.Context, b block) (string, int, error) {
	vars, file := filepath.Join(s.dir, ".vars"), filepath.Join(s.dir, ".block")
	if err := os.WriteFile(file, []byte("trap 'env -0 > .vars' EXIT\n"+b.commands+"\n"), 0o600); err != nil {
		return "", 0, err
	}
	cmd := exec.CommandContext(ctx, "bash", file)
	if b.terminal {
		cmd = exec.CommandContext(ctx, "script", "-qec", "bash "+file, "/dev/null")
	}
	cmd.Dir, cmd.Env = s.dir, s.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return "", 0, err
	}
	if b, err := os.ReadFile(vars); err == nil {
		s.env = strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
	}
	printed := strings.TrimRight(strings.ReplaceAll(out.String(), "\r", ""), "\n") + "\n"
	return printed, cmd.ProcessState.ExitCode(), ctx.Err()
}

// follow does what a document says, and compares what is printed.
func (s *shell) follow(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	all, err := blocks(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		s.do(t, name, b)
	}
}

func (s *shell) do(t *testing.T, name string, b block) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var want *regexp.Regexp
	if b.printed != nil {
		want = pattern(*b.printed)
	}
	for deadline := time.Now().Add(patience); ; {
		got, exit, err := s.run(ctx, b)
		if err != nil {
			t.Fatalf("%s:%d: %v", name, b.line, err)
		}
		good := exit == b.exit && (want == nil || want.MatchString(got))
		if good {
			return
		}
		if !b.until || time.Now().After(deadline) {
			wanted := "anything"
			if b.printed != nil {
				wanted = *b.printed
			}
			t.Fatalf("%s:%d: it exits with %d, not %d, and prints\n%s\nnot\n%s", name, b.line, exit, b.exit, got, wanted)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestPattern shows what a block may say that is printed.
func TestPattern(t *testing.T) {
	for _, test := range []struct {
		name, said, printed string
		want                bool
	}{
		{"equal", "a\nb", "a\nb\n", true},
		{"another line", "a", "a\nb\n", false},
		{"a part of a line", "a", "ab\n", false},
		{"any lines before", "…\nb", "a\na\nb\n", true},
		{"none of them", "…\nb", "b\n", true},
		{"any lines after", "a\n…", "a\nb\nc\n", true},
		{"any characters", "a…d", "abcd\n", true},
		{"but not of two lines", "a…d", "a\nd\n", false},
		{"no expression", "a.c", "abc\n", false},
	} {
		if got := pattern(test.said).MatchString(test.printed); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
