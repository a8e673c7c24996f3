package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
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
		"DURABILITY": "some", "VERIFY_TIMEOUT": "soon", "NUM_CHUNKS": "-1", "RATE": "-2", "WINDOW": "0",
		"ENTRY": "worker-3", "SEED": "x", "MALFORMED": "-1", "DUPLICATE_EVERY": "2.5", "ROWS_PER_CHUNK": "0",
	}
	for command, names := range map[string][]string{
		"worker-1":    {"RABBITMQ_URL", "MAX_GROUP", "QUEUE_DURABLE"},
		"worker-2":    {"RABBITMQ_URL", "MAX_GROUP", "QUEUE_DURABLE", "NUM_PARTITIONS", "DURABILITY"},
		"worker-3":    {"RABBITMQ_URL", "MAX_GROUP", "QUEUE_DURABLE", "NUM_PARTITIONS", "VERIFY_TIMEOUT"},
		"test-runner": {"RABBITMQ_URL", "QUEUE_DURABLE", "NUM_PARTITIONS", "NUM_CHUNKS", "RATE", "WINDOW", "ENTRY", "SEED", "MALFORMED", "DUPLICATE_EVERY", "ROWS_PER_CHUNK"},
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

func TestVerify(t *testing.T) {
	if code, _, stderr := run([]string{"verify"}, map[string]string{"DATA_DIR": t.TempDir() + "/none"}); code == 0 {
		t.Logf("a directory that is not there: %s", stderr)
	}
}
