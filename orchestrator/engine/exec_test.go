package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestExec(t *testing.T) {
	ctx, e := with(t)
	id := start(t, nil, "wait")
	for _, test := range []struct {
		spec ExecSpec
		want ExecResult
	}{
		{ExecSpec{Command: []string{"/subject", "echo"}, Stdin: strings.NewReader("one\ntwo\n")}, ExecResult{Code: 5, Stdout: "echo one\necho two\n", Stderr: "listening\n"}},
		{ExecSpec{Command: []string{"/subject", "exists", "/subject"}}, ExecResult{}},
		{ExecSpec{Command: []string{"/subject", "nonsense"}}, ExecResult{Code: 1, Stderr: "unknown verb nonsense\n"}},
	} {
		got, err := e.Exec(ctx, id, test.spec)
		if err != nil || got != test.want {
			t.Errorf("%q: result %+v, error %v, want %+v", test.spec.Command, got, err, test.want)
		}
	}
	got, err := e.Exec(ctx, id, ExecSpec{Command: []string{"/subject", "env"}, Environment: []string{"COLOUR=blue"}})
	if err != nil || !strings.Contains(got.Stdout, "COLOUR=blue\n") {
		t.Errorf("environment: result %+v, error %v", got, err)
	}
	if got, err := e.Exec(ctx, id, ExecSpec{Command: []string{"/nowhere"}}); err == nil && got.Code != 126 && got.Code != 127 {
		t.Errorf("a command that is not there: result %+v, error %v", got, err)
	}
}

func TestExecKeepsABoundedOutput(t *testing.T) {
	ctx, e := with(t)
	id := start(t, nil, "wait")
	got, err := e.Exec(ctx, id, ExecSpec{Command: []string{"/subject", "flood", fmt.Sprint(OutputLimit + 1<<20)}})
	if err != nil || !got.Truncated || len(got.Stdout) != OutputLimit {
		t.Errorf("%d bytes, truncated %v, error %v", len(got.Stdout), got.Truncated, err)
	}
}

func TestExecInAContainerThatIsDown(t *testing.T) {
	ctx, e := with(t)
	id := create(t, nil)
	if _, err := e.Exec(ctx, id, ExecSpec{Command: []string{"/subject", "env"}}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("error %v, want ErrNotRunning", err)
	}
}

func TestExecEndsWithTheContext(t *testing.T) {
	ctx, e := with(t)
	id := start(t, nil, "wait")
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := e.Exec(ctx, id, ExecSpec{Command: []string{"/subject", "deaf"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestExecStream(t *testing.T) {
	ctx, e := with(t)
	id := start(t, nil, "wait")
	stream, err := e.ExecStream(ctx, id, ExecSpec{Command: []string{"/subject", "echo"}})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	answers := bufio.NewReader(stream)
	for i := range 100 {
		if _, err := fmt.Fprintf(stream, "question %d\n", i); err != nil {
			t.Fatal(err)
		}
		answer, err := answers.ReadString('\n')
		if want := fmt.Sprintf("echo question %d\n", i); err != nil || answer != want {
			t.Fatalf("answer %q, error %v, want %q", answer, err, want)
		}
	}
	if err := stream.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(answers); err != nil || len(rest) != 0 {
		t.Errorf("rest %q, error %v", rest, err)
	}
	if code, err := stream.Wait(ctx); code != 5 || err != nil {
		t.Errorf("code %d, error %v, want 5", code, err)
	}
	if got := stream.Stderr(); got != "listening\n" {
		t.Errorf("stderr %q", got)
	}
}

func TestExecStreamEndsWhenTheContainerDies(t *testing.T) {
	ctx, e := with(t)
	id := start(t, nil, "wait")
	stream, err := e.ExecStream(ctx, id, ExecSpec{Command: []string{"/subject", "echo"}})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if err := e.Kill(ctx, id, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(stream); err != nil {
		t.Errorf("read: %v", err)
	}
}

func TestExecStreamClose(t *testing.T) {
	ctx, e := with(t)
	id := start(t, nil, "wait")
	stream, err := e.ExecStream(ctx, id, ExecSpec{Command: []string{"/subject", "echo"}})
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(stream)
		read <- err
	}()
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-read:
	case <-ctx.Done():
		t.Error("a reader hangs after Close")
	}
}
