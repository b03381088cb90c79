package program

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadmeScript holds the script that tries the README to samples that say
// the truth and that do not.
func TestReadmeScript(t *testing.T) {
	for _, tc := range []struct {
		name string
		code int
		says []string // the lines that begin with ok or FAIL
	}{
		{"good", 0, []string{
			`ok 7: echo $$ > "$README_SAMPLE/pid"; echo starting; sleep 0.2; echo listening; sleep 600`,
			"ok 18: name=world", `ok 24: greet "$name"`, "ok 38: seq 9", "ok 53: sh -c 'echo no; exit 3'",
		}},
		{"lying", 1, []string{
			"FAIL 3: it does not print what is said:", "ok 13: true", "FAIL 17: it exits with 1, not 0:",
			`FAIL 23: it ended before it printed "never printed":`, "FAIL 27: it does not print what is said:",
			"FAIL 35: it ended the shell, or was never reached", "FAIL 39: it ended the shell, or was never reached",
		}},
		{"hanging", 1, []string{"FAIL 3: not done after 1 s in all"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			scratch := t.TempDir()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			file := "test/testdata/readme/" + tc.name + ".md"
			cmd := exec.CommandContext(ctx, "sh", "test/readme.sh", file)
			cmd.Dir = filepath.Join("..", "..")
			cmd.Env = append(os.Environ(), "README_SAMPLE="+scratch, "TMPDIR="+scratch)
			if tc.name == "hanging" {
				cmd.Env = append(cmd.Env, "README_TIMEOUT=1")
			}
			cmd.WaitDelay = time.Second // should it leave a process that holds its output
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != tc.code {
				t.Errorf("exits with %d, want %d:\n%s", got, tc.code, out)
			}
			var says []string
			for line := range strings.Lines(string(out)) {
				verdict, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
				if verdict == "ok" || verdict == "FAIL" {
					says = append(says, verdict+" "+strings.TrimPrefix(strings.TrimSpace(rest), file+":"))
				}
			}
			if !slices.Equal(says, tc.says) {
				t.Errorf("says\n%s\nwant\n%s\nof\n%s", strings.Join(says, "\n"), strings.Join(tc.says, "\n"), out)
			}
			ended(t, filepath.Join(scratch, "pid"))
			if left, _ := filepath.Glob(filepath.Join(scratch, "tmp*")); len(left) > 0 {
				t.Errorf("leaves %v", left)
			}
		})
	}
}

// ended holds that the process whose id a file holds, if there is one, is gone.
func ended(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || syscall.Kill(pid, 0) == nil {
		t.Errorf("process %s goes on, %v", text, err)
	}
}
