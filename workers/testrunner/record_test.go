package testrunner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecordIsTakenUpWhereAnEarlierLifeLeftIt(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sent.jsonl")
	r, _, err := openRecord(name)
	if err != nil {
		t.Fatal(err)
	}
	empty := ""
	for _, l := range []line{
		{Chunk: "a", Client: "TEST", Partitions: 5, Rows: []string{"1,Ann", "2,Bob"}},
		{Confirmed: "a"},
		{Chunk: "b", Client: "TEST", Partitions: 5, Rows: []string{"3,Cy"}},
		{Malformed: &empty, Reason: "no id"},
	} {
		if err := r.add(l); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"chunk":"a","client":"TEST","partitions":5,"rows":["1,Ann","2,Bob"]}
{"confirmed":"a"}
{"chunk":"b","client":"TEST","partitions":5,"rows":["3,Cy"]}
{"malformed":"","reason":"no id"}
`
	if string(whole) != want {
		t.Errorf("the record is\n%swant\n%s", whole, want)
	}
	// The first life dies while it writes the next line.
	if _, err := r.file.WriteString(`{"confirmed":"b`); err != nil {
		t.Fatal(err)
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}

	r, before, err := openRecord(name)
	if err != nil {
		t.Fatal(err)
	}
	if !before.attempted["a"] || !before.attempted["b"] || !before.confirmed["a"] || before.confirmed["b"] {
		t.Errorf("read back %+v", before)
	}
	if err := r.add(line{Done: true, Chunks: 2}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != want+`{"done":true,"chunks":2}`+"\n" {
		t.Errorf("the record is now\n%s", text)
	}
}

func TestForeignRecordIsRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sent.jsonl")
	if err := os.WriteFile(name, []byte("{\"done\":true}\nhello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openRecord(name); err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "SENT_FILE") {
		t.Errorf("err = %v, want one that names SENT_FILE and line 2", err)
	}
}
