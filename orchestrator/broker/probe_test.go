package broker

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
)

// container is a broker's container of which each answer is given. Probe
// says what the n-th probe, counted from 1, prints on a request and whether it
// dies then; nil is a probe that dies before it can answer anything.
type container struct {
	probe func(n int, request string) (output string, dies bool)
	// noStream fails every start of a probe, as a container that is down does.
	noStream error
	ctl      func(arguments []string) (output string, code int)

	mu      sync.Mutex
	probes  int
	closed  int
	ctlRuns [][]string
}

func (c *container) Exec(_ context.Context, command []string) (string, string, int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctlRuns = append(c.ctlRuns, command)
	if c.ctl == nil {
		return "", "", 0, errors.New("the container is not running")
	}
	output, code := c.ctl(command[1:])
	return output, "", code, nil
}

func (c *container) Stream(context.Context, []string) (Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noStream != nil {
		return nil, c.noStream
	}
	c.probes++
	stdin, requests := io.Pipe()
	answers, stdout := io.Pipe()
	go serve(c.probe, c.probes, stdin, stdout)
	return &stream{Reader: answers, Writer: requests, close: func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.closed++
		requests.Close()
		answers.Close()
	}}, nil
}

func serve(probe func(int, string) (string, bool), n int, stdin *io.PipeReader, stdout *io.PipeWriter) {
	defer stdin.Close()
	defer stdout.Close()
	requests := bufio.NewScanner(stdin)
	for probe != nil && requests.Scan() {
		output, dies := probe(n, requests.Text())
		if _, err := io.WriteString(stdout, output); err != nil || dies {
			return
		}
	}
}

func (c *container) started() (probes, ctlRuns int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.probes, len(c.ctlRuns)
}

type stream struct {
	io.Reader
	io.Writer
	close func()
	once  sync.Once
}

func (s *stream) Close() error {
	s.once.Do(s.close)
	return nil
}

// healthy answers as a probe does whose broker runs and has a queue q, with
// as many messages ready as the probe's number.
func healthy(n int, request string) (string, bool) {
	switch strings.Split(request, "\t")[0] {
	case "ping":
		return "= true\n", false
	case "depths":
		return "= q\t" + strings.Repeat("1", n) + "\t0\n", false
	}
	return "= ok\n", false
}

func ready(t *testing.T, b *Broker) int {
	t.Helper()
	depths, err := b.Depths(t.Context(), "/", []string{"q"})
	if err != nil || len(depths) != 1 {
		t.Fatalf("Depths: %+v, %v", depths, err)
	}
	return depths[0].Ready
}

func TestProbeAnswersManyCallsOfOneProbe(t *testing.T) {
	var asked []string
	c := &container{probe: func(n int, request string) (string, bool) {
		asked = append(asked, request) // one request at a time: the probe has one input
		if strings.HasPrefix(request, "depths") {
			return "= b\t2\t3\ra\t1\t0\n", false
		}
		return healthy(n, request)
	}}
	b := Open(c)
	if err := b.CreateVirtualHost(t.Context(), "kp-1", "guest"); err != nil {
		t.Fatal(err)
	}
	depths, err := b.Depths(t.Context(), "kp-1", []string{"a", "gone", "b"})
	want := []Depth{{"a", 1, 0, true}, {Queue: "gone"}, {"b", 2, 3, true}}
	if err != nil || !slices.Equal(depths, want) {
		t.Errorf("Depths = %+v, %v; want %+v", depths, err, want)
	}
	if err := b.DeleteVirtualHost(t.Context(), "kp-1"); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"ping", "create\tkp-1\tguest", "depths\tkp-1\ta\tgone\tb", "delete\tkp-1"}; !slices.Equal(asked, want) {
		t.Errorf("the probe was asked %q, want %q", asked, want)
	}
	if probes, ctl := c.started(); probes != 1 || ctl != 0 || c.closed != 1 {
		t.Errorf("%d probes, %d closed, %d runs of rabbitmqctl; want 1, 1, 0", probes, c.closed, ctl)
	}
}

func TestProbePassesOverNoise(t *testing.T) {
	c := &container{probe: func(n int, request string) (string, bool) {
		answer, dies := healthy(n, request)
		return "warning: erl crashed a little\n\n=bad\n =bad too\n" + answer, dies
	}}
	if got := ready(t, Open(c)); got != 1 {
		t.Errorf("ready = %d, want 1", got)
	}
}

func TestProbeTellsWhatTheBrokerRefused(t *testing.T) {
	c := &container{probe: func(n int, request string) (string, bool) {
		switch strings.Split(request, "\t")[0] {
		case "depths":
			return "! no\n= ! {badrpc,nodedown}\n", false
		case "create", "delete":
			return "= {error,enospc}\n", false
		}
		return healthy(n, request)
	}}
	b := Open(c)
	_, err := b.Depths(t.Context(), "/", []string{"q"})
	for call, err := range map[string]error{
		"nodedown": err, "create virtual host x": b.CreateVirtualHost(t.Context(), "x", "u"), "delete virtual host x": b.DeleteVirtualHost(t.Context(), "x"),
	} {
		if err == nil || !strings.Contains(err.Error(), call) || call != "nodedown" && !strings.Contains(err.Error(), "enospc") {
			t.Errorf("error %v does not say %q and why", err, call)
		}
	}
	if probes, ctl := c.started(); probes != 1 || ctl != 0 {
		t.Errorf("%d probes and %d runs of rabbitmqctl, want 1 and 0: the probe itself is well", probes, ctl)
	}
}

func TestDeletingWhatIsNotThereIsNoError(t *testing.T) {
	withProbe := &container{probe: func(n int, request string) (string, bool) {
		if strings.HasPrefix(request, "delete") {
			return "= {error,{no_such_vhost,<<\"x\">>}}\n", false
		}
		return healthy(n, request)
	}}
	withCtl := &container{ctl: func([]string) (string, int) { return "Virtual host 'x' does not exist", 65 }}
	for name, c := range map[string]*container{"probe": withProbe, "rabbitmqctl": withCtl} {
		if err := Open(c).DeleteVirtualHost(t.Context(), "x"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A probe of an earlier call dies when its broker is killed: that the next
// call finds it dead is no reason to fail.
func TestProbeThatDiedBetweenCallsIsReplaced(t *testing.T) {
	c := &container{probe: func(n int, request string) (string, bool) {
		answer, _ := healthy(n, request)
		return answer, n == 1 && request != "ping"
	}}
	b := Open(c)
	if got := ready(t, b); got != 1 {
		t.Fatalf("ready = %d, want the first probe's 1", got)
	}
	if got := ready(t, b); got != 11 {
		t.Errorf("ready = %d, want the second probe's 11", got)
	}
	if probes, ctl := c.started(); probes != 2 || ctl != 0 || c.closed != 1 {
		t.Errorf("%d probes, %d closed, %d runs of rabbitmqctl; want 2, 1, 0", probes, c.closed, ctl)
	}
}

func TestProbeThatDiesOfARequestSaysItsLastWords(t *testing.T) {
	c := &container{probe: func(n int, request string) (string, bool) {
		if n == 1 && request != "ping" {
			return "segmentation fault\n", true
		}
		return healthy(n, request)
	}}
	b := Open(c)
	if _, err := b.Depths(t.Context(), "/", []string{"q"}); err == nil || !strings.Contains(err.Error(), "segmentation fault") {
		t.Errorf("error %v does not say the probe's last words", err)
	}
	if got := ready(t, b); got != 11 {
		t.Errorf("ready = %d, want the second probe's 11", got)
	}
}

func listQueues([]string) (string, int) { return "q\t7\t0\n", 0 }

func TestRabbitmqctlAnswersWhereTheProbeCannot(t *testing.T) {
	tests := map[string]func(int, string) (string, bool){
		"no erl":                  nil,
		"dies at its first words": func(int, string) (string, bool) { return "sh: erl: not found\n", true },
		"finds no node":           func(int, string) (string, bool) { return "= {badrpc,nodedown}\n", false },
	}
	for name, probe := range tests {
		c := &container{probe: probe, ctl: listQueues}
		b := Open(c)
		for call := 1; call <= maxProbeFailures+2; call++ {
			if got := ready(t, b); got != 7 {
				t.Fatalf("%s: call %d: ready = %d, want 7 of rabbitmqctl", name, call, got)
			}
			if probes, ctl := c.started(); probes != min(call, maxProbeFailures) || ctl != call {
				t.Errorf("%s: after call %d: %d probes and %d runs of rabbitmqctl, want %d and %d", name, call, probes, ctl, min(call, maxProbeFailures), call)
			}
		}
		if c.closed != maxProbeFailures {
			t.Errorf("%s: %d probes were closed, want %d", name, c.closed, maxProbeFailures)
		}
	}
}

func TestRabbitmqctlCalls(t *testing.T) {
	c := &container{ctl: listQueues}
	b := Open(c)
	if err := b.CreateVirtualHost(t.Context(), "kp-1", "app"); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteVirtualHost(t.Context(), "kp-1"); err != nil {
		t.Fatal(err)
	}
	if got := ready(t, b); got != 7 {
		t.Errorf("ready = %d, want 7", got)
	}
	want := []string{
		"rabbitmqctl add_vhost kp-1",
		"rabbitmqctl set_permissions -p kp-1 app .* .* .*",
		"rabbitmqctl delete_vhost kp-1",
		"rabbitmqctl --quiet list_queues --no-table-headers -p / name messages_ready messages_unacknowledged",
	}
	var got []string
	for _, command := range c.ctlRuns {
		got = append(got, strings.Join(command, " "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
}

// A broker that boots for long fails the probe and rabbitmqctl alike, more
// often than a probe may fail: it must not lose its probe by that.
func TestBrokerThatIsDownKeepsItsProbe(t *testing.T) {
	c := &container{
		probe: func(int, string) (string, bool) { return "= {badrpc,nodedown}\n", false },
		ctl:   func([]string) (string, int) { return "unable to perform an operation on node", 69 },
	}
	b := Open(c)
	for range 2 * maxProbeFailures {
		if _, err := b.Depths(t.Context(), "/", []string{"q"}); err == nil || !strings.Contains(err.Error(), "exit 69") {
			t.Fatalf("error %v, want rabbitmqctl's", err)
		}
	}
	c.probe = func(_ int, request string) (string, bool) { return healthy(2, request) }
	if got := ready(t, b); got != 11 {
		t.Errorf("ready = %d, want the probe's 11", got)
	}
}

func TestContainerThatIsDownIsNotAskedByOtherMeans(t *testing.T) {
	down := errors.New("the container is not running")
	c := &container{noStream: down, ctl: listQueues}
	if _, err := Open(c).Depths(t.Context(), "/", []string{"q"}); !errors.Is(err, down) {
		t.Errorf("got %v, want %v", err, down)
	}
	if _, ctl := c.started(); ctl != 0 {
		t.Errorf("rabbitmqctl was run %d times, want 0", ctl)
	}
}

// The answer that a cancelled call did not wait for must not be taken for
// that of the next call.
func TestCallAfterACancelledOneHasAFreshProbe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	late := make(chan struct{})
	c := &container{probe: func(n int, request string) (string, bool) {
		if n == 1 && request != "ping" {
			cancel()
			<-late
			return "= q\t999\t0\n", false
		}
		return healthy(n, request)
	}}
	b := Open(c)
	if _, err := b.Depths(ctx, "/", []string{"q"}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the context's error", err)
	}
	close(late)
	if got := ready(t, b); got != 11 {
		t.Errorf("ready = %d, want the second probe's 11", got)
	}
	if c.closed != 1 {
		t.Errorf("%d probes were closed, want the first", c.closed)
	}
}

func TestCancelledWhileTheProbeStarts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	late := make(chan struct{})
	defer close(late)
	c := &container{ctl: listQueues, probe: func(n int, request string) (string, bool) {
		if n == 1 {
			cancel()
			<-late
		}
		return healthy(n, request)
	}}
	b := Open(c)
	if _, err := b.Depths(ctx, "/", []string{"q"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if got := ready(t, b); got != 11 {
		t.Errorf("ready = %d, want the second probe's 11", got)
	}
}

func TestNamesThatWouldBreakTheProtocolAreRefused(t *testing.T) {
	c := &container{probe: healthy, ctl: listQueues}
	b := Open(c)
	for _, name := range []string{"a\tb", "a\nb", "a\rb"} {
		_, depths := b.Depths(t.Context(), "/", []string{name})
		for _, err := range []error{depths, b.CreateVirtualHost(t.Context(), name, "u"), b.CreateVirtualHost(t.Context(), "x", name), b.DeleteVirtualHost(t.Context(), name)} {
			if err == nil || !strings.Contains(err.Error(), "tab or a line break") {
				t.Errorf("%q: got %v, want it refused", name, err)
			}
		}
	}
	if probes, ctl := c.started(); probes != 0 || ctl != 0 {
		t.Errorf("%d probes and %d runs of rabbitmqctl for refused names, want none", probes, ctl)
	}
}
