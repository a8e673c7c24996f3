package run

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// hostFiles makes what the compose file mounts: a folder and a single file,
// with modes, times and a link that a careless copy would lose.
func hostFiles(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	old := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	write := func(name, text string, mode fs.FileMode) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("folder/old.txt", "from the host\n", 0o640)
	write("folder/script.sh", "exit 1\n", 0o755)
	write("folder/below/deep.txt", "deep\n", 0o600)
	write("single.txt", "one file\n", 0o604)
	if err := os.Symlink("old.txt", filepath.Join(root, "folder", "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"single.txt", "folder/below/deep.txt", "folder/script.sh", "folder/old.txt", "folder/below", "folder"} {
		if err := os.Chtimes(filepath.Join(root, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// snapshot is every file below a folder with its mode, time and content.
func snapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content := ""
		switch {
		case info.Mode().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(text)
		case info.Mode()&fs.ModeSymlink != 0:
			if content, err = os.Readlink(path); err != nil {
				return err
			}
		}
		name, err := filepath.Rel(root, path)
		files[name] = fmt.Sprintf("%s %s %q", info.Mode(), info.ModTime().UTC().Format(time.RFC3339Nano), content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// written are the lines in which the actor says what it has written.
var written = []string{"/bound/old.txt", "/bound/new.txt", "/bound/below/deep.txt", "/single.txt"}

func TestBindMountsAreCopies(t *testing.T) {
	t.Parallel()
	root := hostFiles(t)
	before := snapshot(t, root)
	s := play(t, "binds.yaml", "HOST_FILES="+root)
	s.well()
	for _, path := range written {
		s.must(history.Event{Kind: history.Log, Service: "writer", Text: "wrote " + path})
	}
	if difference := cmp.Diff(before, snapshot(t, root)); difference != "" {
		t.Errorf("the host's files have changed (-before +after):\n%s", difference)
	}
	// What the writer finds is what the host has; what it writes, another
	// service that mounts the same folder finds.
	commands := s.all(history.Event{Kind: history.CommandRan})
	for index, want := range []string{"exit 1\n", "one file, changed", "from the container"} {
		if got := s.history.Events[commands[index]]; got.Stdout != want {
			t.Errorf("%s: %q, %q; want %q", got.Text, got.Stdout, got.Stderr, want)
		}
	}
	// A copy is made once, also for two that mount it, and a restart keeps it.
	s.count(history.Event{Kind: history.Started, Service: "writer"}, 2)
	if got, want := s.history.Events[commands[3]].Stdout, "life 1\nlife 2\n"; got != want {
		t.Errorf("lives.txt in the copy is %q, want %q", got, want)
	}
}

func TestBindRWChangesTheRealFiles(t *testing.T) {
	t.Parallel()
	ctx := with(t)
	root := hostFiles(t)
	before := snapshot(t, root)
	sc, sys := mustLoad(t, "binds.yaml", "HOST_FILES="+root)
	s := watched(t, open(t, ctx, Options{BindRW: true}).Run(ctx, sc, sys))
	s.well()
	after := snapshot(t, root)
	for name, want := range map[string]string{
		"folder/old.txt": "from the container", "folder/new.txt": "new", "folder/below/deep.txt": "deeper", "single.txt": "one file, changed", "folder/lives.txt": `life 1\nlife 2\n`,
	} {
		if !strings.Contains(after[name], want) {
			t.Errorf("%s is %s, want it to hold %q", name, after[name], want)
		}
	}
	if after["folder/script.sh"] != before["folder/script.sh"] {
		t.Errorf("script.sh, which nobody wrote, is %s, want %s", after["folder/script.sh"], before["folder/script.sh"])
	}
}
