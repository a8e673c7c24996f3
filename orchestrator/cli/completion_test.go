package cli

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	for shell := range shells {
		u := newUser(t)
		u.wants(exitPassed, "completion", shell)
		if !strings.Contains(u.out.String(), "killpoint") || u.err.String() != "" {
			t.Errorf("%s: stdout %.100q, stderr %q", shell, u.out, u.err)
		}
		program, err := exec.LookPath(shell)
		if err != nil || shell == "powershell" {
			continue // not on this machine
		}
		u.write("script", u.out.String())
		if out, err := exec.Command(program, "-n", "script").CombinedOutput(); err != nil {
			t.Errorf("%s does not take the script: %v\n%s", shell, err, out)
		}
	}
}

// What the scripts ask: a line a candidate, from the table of commands.
func TestCompletionCandidates(t *testing.T) {
	for _, test := range []struct {
		typed []string
		want  []string
	}{
		{[]string{"ru"}, []string{"run\tRun scenarios"}},
		{[]string{"run", "--rep"}, []string{"--repeat\trun each scenario this number of times", "--report\twrite everything below this folder"}},
		{[]string{"validate", ""}, []string{"yaml\nyml\n:8"}},
		{[]string{"completion", "z"}, []string{"zsh\n"}},
		{[]string{"init", "--se"}, []string{"--service\tkill this service"}},
	} {
		u := newUser(t)
		u.wants(exitPassed, append([]string{"__complete"}, test.typed...)...)
		for _, want := range test.want {
			if !strings.Contains(u.out.String(), want) {
				t.Errorf("%q: %q is not offered:\n%s", test.typed, want, u.out)
			}
		}
		if strings.Contains(u.out.String(), "`") {
			t.Errorf("%q: marks of the help are shown:\n%s", test.typed, u.out)
		}
	}
}

// The script of a real shell, in that shell: bash with nothing but the one
// function of bash-completion that the script calls.
func TestCompletionInBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	u := newUser(t)
	u.wants(exitPassed, "completion", "bash")
	script := u.out.String()
	u.wants(exitPassed, "__complete", "sch")
	u.write("script", script)
	u.write("answer", strings.TrimPrefix(u.out.String(), script))
	u.write("bin/killpoint", "#!/bin/sh\n[ \"$1 $2\" = '__complete sch' ] && cat answer\n")
	if err := os.Chmod("bin/killpoint", 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(bash, "-c", `PATH=$PWD/bin:$PATH
_get_comp_words_by_ref() { words=(killpoint sch) cword=1 cur=sch prev=killpoint; }
source ./script
COMP_TYPE=9 COMP_WORDS=(killpoint sch) COMP_CWORD=1 __start_killpoint
echo "${COMPREPLY[@]}"`)
	out, err := command.Output() // bash complains beside it that no key was pressed
	if err != nil || strings.TrimSpace(string(out)) != "schema" {
		t.Errorf("bash completes to %q, %v", out, err)
	}
}
