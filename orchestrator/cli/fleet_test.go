package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/killpoint/killpoint/orchestrator/suite"
)

// unreachable is a broker that nobody listens for, with a password that must
// not be seen.
const unreachable = "amqp://fleet:sesame@127.0.0.1:1/"

func (u *explorer) keepsThePassword() {
	u.Helper()
	if all := u.out.String() + u.err.String(); strings.Contains(all, "sesame") {
		u.Errorf("the password is printed:\n%s", all)
	}
}

func TestExploreOnAFleetWithoutABroker(t *testing.T) {
	u := newExplorer(t)
	u.explores(exitBroken, "--report fleet --fleet "+unreachable)
	if !strings.Contains(u.err.String(), "connect to the broker: dial tcp 127.0.0.1:1") || u.trials > 0 {
		t.Errorf("after %d trials: %s", u.trials, u.err)
	}
	u.keepsThePassword()
}

// What is printed to be typed again leaves the password to the variable.
func TestCommandsOfAFleetKeepThePassword(t *testing.T) {
	for url, want := range map[string]string{
		unreachable:                `--fleet "$KILLPOINT_FLEET"`,
		"amqp://broker:5672/fleet": "--fleet amqp://broker:5672/fleet",
	} {
		o := &exploreOptions{target: "a", fleet: url, given: func(string) bool { return false }}
		if got := o.again("s.yaml"); !strings.Contains(got, want) || strings.Contains(got, "sesame") {
			t.Errorf("%s: %s", url, got)
		}
	}
}

func TestAgentRefuses(t *testing.T) {
	u := newExplorer(t)
	for arguments, want := range map[string]string{
		"agent":                              "KILLPOINT_FLEET",
		"agent amqp://a/ amqp://b/":          "one broker",
		"agent http://fleet:sesame@a/":       "want amqp or amqps",
		"agent --parallel -1 " + unreachable: "--parallel -1",
	} {
		u.err.text.Reset()
		if code := u.types(strings.Fields(arguments)...); code != exitUsage || !strings.Contains(u.err.String(), want) {
			t.Errorf("%s: exit code %d, %s; want %s", arguments, code, u.err, want)
		}
		u.keepsThePassword()
	}
}

// An agent waits for its broker, and ends when it is told to.
func TestAgentWithoutABroker(t *testing.T) {
	u := newExplorer(t)
	u.world.environ = append(u.world.environ, "KILLPOINT_FLEET="+unreachable)
	go func() {
		deadline := time.After(time.Minute)
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for !strings.Contains(u.err.String(), "trying again") {
			select {
			case <-ticker.C:
			case <-deadline:
				u.interrupts <- os.Interrupt
				return
			}
		}
		u.interrupts <- os.Interrupt
	}()
	u.wants(exitInterrupted, "agent")
	if !strings.Contains(u.err.String(), "agent: connect to the broker: dial tcp 127.0.0.1:1") {
		t.Errorf("stderr: %s", u.err)
	}
	if u.world.version != u.opened.Version {
		t.Errorf("the engine was opened for version %s", u.opened.Version)
	}
	u.keepsThePassword()
}

// The manifests in deploy call killpoint with commands and flags that it has.
func TestCommandsInManifests(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(packageFolder, "..", "..", "deploy", "*.yaml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("manifests %v, %v", files, err)
	}
	top := newUser(t).world.root()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		shown := 0
		var manifest struct {
			Spec struct {
				Template struct {
					Spec struct{ Containers []struct{ Args []string } }
				}
			}
		}
		if err := yaml.Unmarshal(text, &manifest); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, container := range manifest.Spec.Template.Spec.Containers {
			line := "killpoint"
			for _, argument := range container.Args {
				line += " " + suite.Quoted(strings.ReplaceAll(argument, "$(JOB_COMPLETION_INDEX)", "0"))
			}
			checkExample(t, top, line)
			shown++
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(strings.TrimPrefix(line, "#"))
			if strings.HasPrefix(line, "killpoint ") || strings.HasPrefix(line, "KILLPOINT_FLEET=") {
				checkExample(t, top, line)
				shown++
			}
		}
		if shown < 2 {
			t.Errorf("%s: %d commands were found", file, shown)
		}
	}
}
