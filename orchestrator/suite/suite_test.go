package suite

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write fills a file below the folder that the test is in.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "scenarios/a.yaml", "")
	write(t, "scenarios/b.yaml", "")
	write(t, "scenarios/deep/c.yml", "")
	write(t, "scenarios/notes.txt", "")
	write(t, "scenarios/docker-compose.yaml", "")
	write(t, "odd[1].yaml", "")
	for _, test := range []struct{ arguments, want []string }{
		{[]string{"scenarios"}, []string{"scenarios/a.yaml", "scenarios/b.yaml"}},
		{[]string{"./scenarios/b.yaml", "scenarios"}, []string{"scenarios/b.yaml", "scenarios/a.yaml"}},
		{[]string{"scenarios/[ab].yaml"}, []string{"scenarios/a.yaml", "scenarios/b.yaml"}},
		{[]string{"scenarios/**/*.y*ml"}, []string{"scenarios/a.yaml", "scenarios/b.yaml", "scenarios/deep/c.yml", "scenarios/docker-compose.yaml"}},
		{[]string{"odd[1].yaml"}, []string{"odd[1].yaml"}}, // a file of that name, not a pattern
	} {
		got, err := Find(test.arguments)
		if err != nil {
			t.Error(err)
		}
		slices.Sort(got)
		want := slices.Sorted(slices.Values(test.want))
		if !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", test.arguments, got, want)
		}
	}
	_, err := Find([]string{"none.yaml", "gone/*.yaml", "scenarios/a.yaml"})
	if err == nil || !strings.Contains(err.Error(), "none.yaml") || !strings.Contains(err.Error(), "gone/*.yaml") {
		t.Errorf("not everything that is missing is named: %v", err)
	}
}

func TestFolderNames(t *testing.T) {
	for name, want := range map[string]string{
		"restart": "restart", "a/b": "a-b", "..": "run", "../../etc": "-..-etc", ".hidden": "hidden", "": "run", "zwei Läufe": "zwei-L-ufe",
	} {
		if got := FolderName(name); got != want || filepath.Base(got) != got {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

func TestQuoted(t *testing.T) {
	for text, want := range map[string]string{"a=1": "a=1", "": "''", "it's": `'it'\''s'`, "$HOME x": "'$HOME x'"} {
		if got := Quoted(text); got != want {
			t.Errorf("%q is quoted as %s, want %s", text, got, want)
		}
	}
}

func TestFindSaysWhatWasMeant(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "scenarios/restart.yaml", "")
	write(t, "more/late.yml", "")
	for argument, want := range map[string]string{
		"restart":               "did you mean scenarios/restart.yaml?",
		"restart.yaml":          "did you mean scenarios/restart.yaml?",
		"scenarios/restart":     "did you mean scenarios/restart.yaml?",
		"scenarios/resart.yaml": "did you mean scenarios/restart.yaml?",
		"more/late":             "did you mean more/late.yml?",
		"quite-different.yaml":  "there is no such file or folder",
		"none/restart.yaml":     "there is no such file or folder",
	} {
		if _, err := Find([]string{argument}); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want it to end with %q", argument, err, want)
		}
	}
}
