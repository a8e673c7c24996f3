package explore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	read := func() (points []string, at []int64) {
		t.Helper()
		j, err := OpenJournal(path, func(place int64, entry Entry) error {
			points, at = append(points, entry.Outcome.Point), append(at, place)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, place := range at {
			if entry, err := j.At(place); err != nil || entry.Outcome.Point != points[i] {
				t.Errorf("entry %d is %+v, %v", i, entry, err)
			}
		}
		if _, err := j.Add(Entry{Outcome: &Outcome{Point: "p" + strings.Repeat("x", len(points)), Reason: "<a\nb>"}}); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		return points, at
	}
	read()
	read()
	if points, _ := read(); strings.Join(points, " ") != "p px" {
		t.Fatalf("read %q", points)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != 3 || !strings.Contains(string(text), `<a\nb>`) {
		t.Fatalf("%s, %v", text, err)
	}
	// Whatever of the last line is there, the others are, and it is written anew.
	for cut := range strings.LastIndex(strings.TrimSpace(string(text)), "\n") {
		cut = len(text) - 1 - cut
		if cut <= strings.LastIndex(strings.TrimSpace(string(text)), "\n") {
			break
		}
		if err := os.WriteFile(path, text[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		if points, _ := read(); strings.Join(points, " ") != "p px" {
			t.Fatalf("cut to %d bytes: %q", cut, points)
		}
		if points, _ := read(); strings.Join(points, " ") != "p px pxx" {
			t.Fatalf("cut to %d bytes and added to: %q", cut, points)
		}
	}
	if err := os.WriteFile(path, []byte("{}\nx\n{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(path, func(int64, Entry) error { return nil }); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a journal with a broken line in the middle: %v", err)
	}
}
