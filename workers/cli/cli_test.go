package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/workers/config"
	"github.com/killpoint/killpoint/workers/worker2"
)

func run(args []string, environment map[string]string) (code int, stdout, stderr string) {
	var out, problems bytes.Buffer
	code = Run(context.Background(), args, func(name string) (string, bool) {
		text, set := environment[name]
		return text, set
	}, &out, &problems)
	return code, out.String(), problems.String()
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"worker-9"}, {"worker-2", "extra"}} {
		if code, stdout, stderr := run(args, nil); code != 2 || stdout != "" || !strings.Contains(stderr, "usage: worker") {
			t.Errorf("%v: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
	if code, stdout, _ := run([]string{"--help"}, nil); code != 0 || !strings.Contains(stdout, "test-runner") {
		t.Errorf("help: code %d, stdout %q", code, stdout)
	}
}

// Every command refuses its bad settings before it does anything, all at once.
func TestBadSettings(t *testing.T) {
	environment := map[string]string{
		"RABBITMQ_URL": "localhost:5672", "NUM_PARTITIONS": "1001", "MAX_GROUP": "0", "QUEUE_DURABLE": "1",
		"DURABILITY": "some", "JOURNAL_BYTES": "1023", "VERIFY_TIMEOUT": "soon", "NUM_CHUNKS": "-1", "RATE": "-2", "WINDOW": "0",
		"ENTRY": "worker-3", "FEED": "two", "SEED": "x", "MALFORMED": "-1", "DUPLICATE_EVERY": "2.5", "ROWS_PER_CHUNK": "0",
	}
	for command, names := range map[string][]string{
		"worker-1":    {"RABBITMQ_URL", "MAX_GROUP", "QUEUE_DURABLE"},
		"worker-2":    {"RABBITMQ_URL", "MAX_GROUP", "QUEUE_DURABLE", "NUM_PARTITIONS", "DURABILITY", "JOURNAL_BYTES"},
		"worker-3":    {"RABBITMQ_URL", "MAX_GROUP", "QUEUE_DURABLE", "NUM_PARTITIONS", "VERIFY_TIMEOUT", "FEED"},
		"test-runner": {"RABBITMQ_URL", "QUEUE_DURABLE", "NUM_PARTITIONS", "NUM_CHUNKS", "RATE", "WINDOW", "FEED", "ENTRY", "SEED", "MALFORMED", "DUPLICATE_EVERY", "ROWS_PER_CHUNK"},
	} {
		code, stdout, stderr := run([]string{command}, environment)
		if code != 2 || stdout != "" {
			t.Errorf("%s: code %d, stdout %q", command, code, stdout)
		}
		for _, name := range names {
			if !strings.Contains(stderr, name) {
				t.Errorf("%s does not name %s:\n%s", command, name, stderr)
			}
		}
	}
	if code, _, stderr := run([]string{"test-runner"}, map[string]string{"INPUT": "/does/not/exist"}); code != 2 || !strings.Contains(stderr, "INPUT") {
		t.Errorf("bad INPUT: code %d, stderr %q", code, stderr)
	}
}

// verify tells a directory that agrees with itself from one that does not, and
// from one that is not there.
func TestVerify(t *testing.T) {
	dir := t.TempDir()
	environment := map[string]string{"DATA_DIR": dir}
	r := config.NewReader(func(name string) (string, bool) { return environment[name], true })
	files := worker2.ReadFiles(r)
	files.Partitions = 2
	m, err := partition.Open(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	c := partition.NewChunk("some-chunk", "TEST-users")
	for p, row := range []string{"2,Ann", "1,Bob"} {
		if err := c.Add(p, []byte(row)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Write(t.Context(), []*partition.Chunk{c}); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := run([]string{"verify"}, environment); code != 0 || !strings.Contains(stdout, "1 chunks, 2 rows") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}

	name := filepath.Join(files.Dir, "TEST-users-partition-001.csv")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Replace(text, []byte("Bob"), []byte("Rob"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := run([]string{"verify"}, environment); code != 1 || !strings.Contains(stderr, "partition-001.csv") {
		t.Errorf("a changed row: code %d, stderr %q", code, stderr)
	}
	environment["DATA_DIR"] = filepath.Join(dir, "none")
	if code, _, stderr := run([]string{"verify"}, environment); code != 1 || stderr == "" {
		t.Errorf("no directory: code %d, stderr %q", code, stderr)
	}
}
