package run

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/engine"
)

// child is an orchestrator in another process.
type child struct {
	command *exec.Cmd
	owner   string
}

// startChild starts one and waits until the containers of its run are up.
func startChild(t *testing.T, ctx context.Context, file string, keep bool) *child {
	t.Helper()
	c := &child{command: exec.CommandContext(ctx, os.Args[0])}
	host, err := hostName()
	if err != nil {
		t.Fatal(err)
	}
	c.command.Env = append(os.Environ(), childScenario+"="+file, childHost+"="+host, childImage+"="+actorImage, childDir+"="+t.TempDir())
	if keep {
		c.command.Env = append(c.command.Env, childKeep+"=yes")
	}
	c.command.Stderr = os.Stderr
	out, err := c.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if name, is := strings.CutPrefix(lines.Text(), "owner "); is {
			c.owner = name
		}
		if lines.Text() == "up" {
			return c
		}
	}
	t.Fatal("the child has ended before its containers were up")
	return nil
}

func (c *child) kill() {
	c.command.Process.Kill()
	c.command.Wait() // says that it was killed
}

// things is what bears the child's name, as Sweep names it.
func (c *child) things(t *testing.T) []string {
	t.Helper()
	things, err := testEngine.Labelled(context.Background(), labelOwner, c.owner)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for kind, list := range map[string][]engine.Thing{"container": things.Containers, "network": things.Networks, "volume": things.Volumes} {
		for _, thing := range list {
			if kind == "container" && thing.State != "running" {
				t.Errorf("container %s is %s, want it running", thing.Name, thing.State)
			}
			names = append(names, kind+" "+thing.Name)
		}
	}
	slices.Sort(names)
	return names
}

// An orchestrator that was killed leaves its containers. The next one removes
// those, and only those.
func TestLeftoversOfAKilledOrchestrator(t *testing.T) {
	ctx := with(t)
	host := hostFiles(t)
	t.Setenv("HOST_FILES", host)
	var crashed, living, kept *child
	var starting sync.WaitGroup
	starting.Go(func() { crashed = startChild(t, ctx, "whole-endless.yaml", false) })
	starting.Go(func() { living = startChild(t, ctx, "whole-endless.yaml", false) })
	starting.Go(func() { kept = startChild(t, ctx, "whole-endless.yaml", true) })
	starting.Wait()
	if t.Failed() {
		return
	}
	crashed.kill()
	kept.kill()
	left, lives, keeps := crashed.things(t), living.things(t), kept.things(t)
	for _, things := range [][]string{left, lives, keeps} {
		if len(things) != 5 {
			t.Fatalf("a child has made %q, want two containers, a network and two volumes", things)
		}
	}

	o := open(t, ctx, Options{})
	if swept := slices.Sorted(slices.Values(o.Swept())); !slices.Equal(swept, left) {
		t.Errorf("the next orchestrator removed %q, want %q", swept, left)
	}
	if still := crashed.things(t); len(still) > 0 {
		t.Errorf("of the crashed orchestrator there is still %q", still)
	}
	wantThings(t, "the living one", living, lives)
	wantThings(t, "the kept ones", kept, keeps)
	if again := open(t, ctx, Options{}).Swept(); len(again) > 0 {
		t.Errorf("one more orchestrator removed %q, want nothing", again)
	}

	// Two that sweep at once do not stand in each other's way.
	var sweeping sync.WaitGroup
	for range 2 {
		sweeping.Go(func() {
			if _, err := Sweep(ctx, testEngine, false); err != nil {
				t.Error(err)
			}
		})
	}
	sweeping.Wait()
	if still := kept.things(t); len(still) > 0 {
		t.Errorf("sweeping has left %q", still)
	}
	wantThings(t, "the living one", living, lives)

	living.kill()
	swept, err := Sweep(ctx, testEngine, false)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(swept); !slices.Equal(swept, lives) {
		t.Errorf("sweeping removed %q, want %q", swept, lives)
	}
}

func wantThings(t *testing.T, whose string, c *child, want []string) {
	t.Helper()
	if got := c.things(t); !slices.Equal(got, want) {
		t.Errorf("of %s there is %q, want %q", whose, got, want)
	}
}
