package proof_test

import (
	"strings"
	"testing"
)

// Servers that others made, set so that they acknowledge what a power cut can
// take: each fails the very scenario that it passes with its safe setting.
func TestServersThatLoseWhatTheyAcknowledged(t *testing.T) {
	if testing.Short() {
		t.Skip("runs scenarios")
	}
	tests := map[string]struct {
		scenario, setting, says string
	}{
		"redis syncs once a second": {
			"scenarios/examples/redis/power-loss.yaml", "APPENDFSYNC=everysec",
			"after write 25 of /data/appendonlydir/appendonly.aof.1.incr.aof",
		},
		"redis never syncs the name of its folder": {
			"scenarios/examples/redis/power-loss.yaml", "MADE_BEFORE=another",
			"after write 25 of /data/appendonlydir/appendonly.aof.1.incr.aof",
		},
		"postgres does not sync": {
			"scenarios/examples/postgres/power-loss.yaml", "FSYNC=off",
			"after write 25 of /srv/database/pg_wal/",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			code, got, output := run(t, test.scenario, "--env", test.setting)
			if code != 1 || len(got.Scenarios) != 1 {
				t.Fatalf("exit code %d, want 1\n%s", code, output)
			}
			if !found(got.Scenarios[0], "lost") {
				t.Errorf("no lost row is named\n%s", output)
			}
			for _, says := range []string{test.says, `"order-`} { // which of them, the server's clock decides
				if !strings.Contains(output, says) {
					t.Errorf("the result does not say %q\n%s", says, output)
				}
			}
		})
	}
}
