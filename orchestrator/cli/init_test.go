package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/system"
)

// initUser is in a folder that holds a small pipeline of somebody's.
func initUser(t *testing.T) *terminalUser {
	u := newUser(t)
	u.world.load = system.Load
	u.write("deploy/compose.yaml", `services:
  rabbitmq: {image: 'rabbitmq:4.2'}
  order-worker:
    image: worker
    environment: {AMQP_URL: 'amqp://rabbitmq/', QUEUE: orders}
  seed:
    image: seed
    environment: {AMQP_URL: 'amqp://rabbitmq/'}
`)
	return u
}

func TestInit(t *testing.T) {
	u := initUser(t)
	u.wants(exitPassed, "init", "deploy/compose.yaml")
	written, err := os.ReadFile("scenarios/first.yaml")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "init.yaml", string(written))
	golden(t, "init-stderr.txt", u.err.String())
	if u.out.String() != "wrote scenarios/first.yaml\n" {
		t.Errorf("stdout %q", u.out)
	}
	u.wants(exitPassed, "validate", "scenarios/first.yaml")
	u.wants(exitPassed, "run", "scenarios/first.yaml")
}

// The same text goes to stdout, where it can be looked at or piped on.
func TestInitToStdout(t *testing.T) {
	u := initUser(t)
	u.wants(exitPassed, "init", "deploy", "--output", "-")
	golden(t, "init.yaml", u.out.String())
	if _, err := os.Stat("scenarios"); err == nil {
		t.Error("it wrote into scenarios all the same")
	}
}

func TestInitFindsTheComposeFileOfThisFolder(t *testing.T) {
	u := initUser(t)
	t.Chdir("deploy")
	u.wants(exitPassed, "init", "--service", "seed", "--output", "new/deep/seed.yaml")
	written, _ := os.ReadFile("new/deep/seed.yaml")
	if !strings.Contains(string(written), "system: ../../compose.yaml\n") || !strings.Contains(string(written), "kill: seed\n") {
		t.Errorf("written:\n%s", written)
	}
}

// Whatever a person has written stays, also behind a link that leads nowhere.
func TestInitOverwritesNothing(t *testing.T) {
	u := initUser(t)
	u.write("mine.yaml", "my own")
	if err := os.Symlink("nowhere", "link.yaml"); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"mine.yaml", "link.yaml", "deploy"} {
		u.wants(exitUsage, "init", "deploy/compose.yaml", "--output", file)
	}
	if strings.Count(u.err.String(), "is there already: name another with --output") != 3 {
		t.Errorf("stderr: %s", u.err)
	}
	if kept, _ := os.ReadFile("mine.yaml"); string(kept) != "my own" {
		t.Errorf("mine.yaml holds %q", kept)
	}
	if _, err := os.Stat("nowhere"); err == nil {
		t.Error("it wrote through the link")
	}
}

func TestInitRefuses(t *testing.T) {
	for _, test := range []struct{ arguments, says string }{
		{"init none.yaml", "read compose file none.yaml: there is no such file"},
		{"init scenarios", "folder scenarios has no compose.yaml or docker-compose.yml"},
		{"init deploy/compose.yaml --service nobody", "hurt service nobody: the system has no such service; it has order-worker, rabbitmq and seed"},
		{"init bad.yaml", "bad.yaml:1:1: top-level object must be a mapping"},
		{"init odd.yaml", "devices of service a is not supported"},
		{"init a b", "accepts at most 1 arg"},
	} {
		t.Run(test.arguments, func(t *testing.T) {
			u := initUser(t)
			u.write("scenarios/x.txt", "")
			u.write("bad.yaml", "just text")
			u.write("odd.yaml", "services: {a: {image: x, devices: [/dev/null]}}")
			u.wants(exitUsage, strings.Fields(test.arguments)...)
			if !strings.Contains(u.err.String(), test.says) || u.out.String() != "" {
				t.Errorf("stdout %q, stderr %q, want %q", u.out, u.err, test.says)
			}
			if files, _ := filepath.Glob("scenarios/*.yaml"); files != nil {
				t.Errorf("it wrote %v", files)
			}
		})
	}
}

// Inside a project that has the schema, the editor is told where.
func TestInitNamesTheSchema(t *testing.T) {
	u := initUser(t)
	u.write("docs/scenario.schema.json", "{}")
	u.wants(exitPassed, "init", "deploy/compose.yaml", "--output", "-")
	if !strings.HasPrefix(u.out.String(), "# yaml-language-server: $schema=../docs/scenario.schema.json\n") {
		t.Errorf("stdout: %s", u.out)
	}
}
