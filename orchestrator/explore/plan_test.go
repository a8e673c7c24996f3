package explore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

func recordingOf(operations ...history.Point) Recording {
	h := &history.History{}
	for i := range operations {
		h.Events = append(h.Events, history.Event{Kind: history.Operation, Service: "worker-2", Incarnation: 1, Point: &operations[i]})
	}
	return Recorded(h, "worker-2", 0)
}

func planOf(t *testing.T, rules Rules, operations ...history.Point) *Plan {
	t.Helper()
	rules.Service = "worker-2"
	plan, err := NewPlan(rules, nil, recordingOf(operations...), 0)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func texts(plan *Plan) []string {
	all := make([]string, plan.Len())
	for i := range all {
		all[i] = strings.TrimPrefix(plan.Text(i), "worker-2:")
	}
	return all
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestPointsOfEachOperation(t *testing.T) {
	plan := planOf(t, Rules{Model: ProcessCrash},
		write("/data/a*", 0, 58, "x"), fsync("/data/a*"), rename("/data/t", "/data/s"), rename("/data/s", "/data/t"),
		read("/data/a*", 0, 10), amqp("publish", "q", 9), amqp("ack", "", 9), write("/dev/stdout", -1, 4, "x"))
	equal(t, texts(plan), []string{
		"write:/data/a%5C%2A:1:before", "write:/data/a%5C%2A:1:+1", "write:/data/a%5C%2A:1:+29", "write:/data/a%5C%2A:1:+57", "write:/data/a%5C%2A:1:after",
		"fsync:/data/a%5C%2A:1:before", "fsync:/data/a%5C%2A:1:after",
		"rename:/data/t:1:before", "rename:/data/t:1:after",
		// The second rename matches a point on /data/s by its old name, and
		// the first one did by its new name.
		"rename:/data/s:2:before", "rename:/data/s:2:after",
		"read:/data/a%5C%2A:1:before", "read:/data/a%5C%2A:1:after",
		"amqp-publish:q:1:before", "amqp-publish:q:1:after",
		"amqp-ack::1:before", "amqp-ack::1:after",
		"write:/dev/stdout:1:before", "write:/dev/stdout:1:+1", "write:/dev/stdout:1:+2", "write:/dev/stdout:1:+3", "write:/dev/stdout:1:after",
	})
	if want := map[string]int{"write": 10, "fsync": 2, "rename": 4, "read": 2, "publish": 2, "ack": 2}; !maps.Equal(plan.Kinds(), want) {
		t.Errorf("kinds %v, want %v", plan.Kinds(), want)
	}
	for i := range plan.Len() {
		sequence, err := scenario.ParseSequence(plan.Text(i))
		if item := plan.Item(i); err != nil || !slices.Equal(sequence, item.Sequence("worker-2")) {
			t.Errorf("%s is read as %v, %v", plan.Text(i), sequence, err)
		}
	}
}

func TestTears(t *testing.T) {
	for size, want := range map[int64][]string{
		0: nil, 1: nil, 2: {"+1"}, 3: {"+1", "+2"}, 4: {"+1", "+2", "+3"}, 5: {"+1", "+2", "+4"}, 100: {"+1", "+50", "+99"},
	} {
		plan := planOf(t, Rules{Model: ProcessCrash}, write("/a", 0, size, ""))
		got := make([]string, 0, plan.Len())
		for _, text := range texts(plan) {
			got = append(got, strings.TrimPrefix(text, "write:/a:1:"))
		}
		equal(t, got, append(append([]string{"before"}, want...), "after"))
	}
}

func TestWhatIsNoPoint(t *testing.T) {
	plan := planOf(t, Rules{Model: ProcessCrash, Collected: []string{"/out/*.csv"}, Changed: map[string]bool{"/data/old": true}},
		read("/etc/hosts", 0, 9), read("/out/a.csv", 0, 9), read("/data/state", 0, 9), read("/data/old", 0, 9),
		rename("/data/tmp", "/data/state"), write("/dev/null", -1, 3, ""), write("/proc/self/oom_score_adj", 0, 1, ""),
		write("/tmp/x (deleted)", 0, 1, ""), write("/dev/shm/x", 0, 1, ""))
	equal(t, texts(plan), []string{
		"read:/out/a.csv:1:before", "read:/out/a.csv:1:after", "read:/data/state:1:before", "read:/data/state:1:after",
		"read:/data/old:1:before", "read:/data/old:1:after",
		"rename:/data/tmp:1:before", "rename:/data/tmp:1:after", "write:/dev/shm/x:1:before", "write:/dev/shm/x:1:after",
	})
	equal(t, plan.Left(), []string{
		"2 operations left out: calls on files of the kernel, such as those in /proc",
		"1 operation left out: calls on files without a name",
		"1 operation left out: reads of files that the service does not change and no check collects",
	})
}

func TestTransfersAreHeldBeforeTheyRead(t *testing.T) {
	copied := read("/out/a", 0, 9)
	copied.Call = "copy_file_range"
	equal(t, texts(planOf(t, Rules{Model: ProcessCrash, Collected: []string{"/out/*"}}, copied)), []string{"read:/out/a:1:before"})
}

func TestNoPointsIsAnError(t *testing.T) {
	for name, operations := range map[string][]history.Point{
		"nothing": nil, "reads only": {read("/etc/hosts", 0, 1)},
	} {
		plan, err := NewPlan(Rules{Service: "worker-2", Model: ProcessCrash}, nil, recordingOf(operations...), 0)
		if !errors.Is(err, ErrNoPoints) || plan != nil {
			t.Errorf("%s: %v, %v", name, plan, err)
		}
	}
}

func TestPointsOfPowerLoss(t *testing.T) {
	operations := pending([]history.Point{write("/a", 0, 1, ""), write("/a", 1, 1, ""), fsync("/a"), amqp("ack", "q", 9)})
	plan := planOf(t, Rules{Model: PowerLoss, Variants: EveryVariant, Seed: 5}, operations...)
	equal(t, texts(plan), []string{
		"write:/a:1:before:lose-all",
		"write:/a:1:after:lose-all", "write:/a:1:after:lose-none",
		"write:/a:2:before:lose-all", "write:/a:2:before:lose-none",
		"write:/a:2:after:lose-all", "write:/a:2:after:lose-none", "write:/a:2:after:lose-drop-1", "write:/a:2:after:lose-drop-2",
		"fsync:/a:1:before:lose-all", "fsync:/a:1:before:lose-none", "fsync:/a:1:before:lose-drop-1", "fsync:/a:1:before:lose-drop-2",
		"fsync:/a:1:after:lose-all",
		"amqp-ack:q:1:before:lose-all",
		// Nobody saw how many changes there are behind the last operation.
		"amqp-ack:q:1:after:lose-all", "amqp-ack:q:1:after:lose-none", "amqp-ack:q:1:after:lose-5", "amqp-ack:q:1:after:lose-6",
	})
	few := planOf(t, Rules{Model: PowerLoss, Variants: 3, Seed: 5}, operations...)
	if few.Possible != plan.Len() || few.Len() != 16 {
		t.Errorf("%d of %d variants, want 16 of %d", few.Len(), few.Possible, plan.Len())
	}
	for _, text := range texts(few) {
		if !slices.Contains(texts(plan), text) {
			t.Errorf("%s is not among all variants", text)
		}
	}
}

// survivors is which of the changes a loss leaves, one bit each; false for a
// subset by seed, which only the interposer knows.
func survivors(loss scenario.Loss, pending int) (uint64, bool) {
	all := uint64(1)<<pending - 1
	switch bit := uint64(1) << max(loss.Number-1, 0); loss.Kind {
	case scenario.LoseAll:
		return 0, true
	case scenario.LoseNone:
		return all, true
	case scenario.LoseDrop:
		return all &^ bit, true
	case scenario.LoseKeep:
		return bit, true
	case scenario.LosePrefix:
		return uint64(1)<<loss.Number - 1, true
	}
	return 0, false
}

// TestLossesAreEachOnce holds that no two ways of losing leave the same, that
// none is beyond what there is, and that the ones that the design names are
// all there.
func TestLossesAreEachOnce(t *testing.T) {
	for pending := range 12 {
		seen := map[uint64]scenario.Loss{}
		for _, loss := range losses(pending, 7) {
			if loss.Kind != scenario.LoseSeed && loss.Number > pending {
				t.Errorf("%d changes: %s is beyond them", pending, loss)
			}
			left, known := survivors(loss, pending)
			if other, twice := seen[left]; known && twice {
				t.Errorf("%d changes: %s and %s come to the same", pending, loss, other)
			}
			if known {
				seen[left] = loss
			}
		}
		for n := range pending {
			for _, want := range []uint64{1 << n, (1<<pending - 1) &^ (1 << n), 1<<n - 1} {
				if _, there := seen[want]; !there {
					t.Errorf("%d changes: nothing leaves %b", pending, want)
				}
			}
		}
	}
}

func TestDrawnLosses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := losses(rapid.IntRange(-1, 30).Draw(t, "pending"), 1)
		most, seed := rapid.IntRange(2, 8).Draw(t, "most"), rapid.Int().Draw(t, "seed")
		drawn := draw(all, most, seed, "p")
		if len(drawn) != min(most, len(all)) || drawn[0] != all[0] || len(all) > 1 && drawn[1] != all[1] {
			t.Fatalf("drew %v of %v", drawn, all)
		}
		if !slices.Equal(drawn, draw(all, most, seed, "p")) {
			t.Fatal("the same seed draws another way")
		}
		for i, loss := range drawn {
			if !slices.Contains(all, loss) || slices.Contains(drawn[:i], loss) {
				t.Fatalf("drew %v of %v", drawn, all)
			}
		}
	})
	all := losses(30, 1)
	other := false
	for point := range 10 {
		other = other || !slices.Equal(draw(all, 6, 1, "p"), draw(all, 6, 1, fmt.Sprint("p", point)))
	}
	if !other {
		t.Error("each point loses the same")
	}
}

func TestPlanOfARecovery(t *testing.T) {
	subject := worker(2)
	first := planOf(t, Rules{Model: ProcessCrash}, write("/data/rows.csv", 0, 40, "sum0")).Item(1).Steps
	sc := &scenario.Scenario{Faults: []scenario.Fault{first[0].Point("worker-2").Kill()}}
	recording := Recorded(subject.runner().Trial(t.Context(), sc, true), "worker-2", 1)
	plan, err := NewPlan(Rules{Service: "worker-2", Model: ProcessCrash, Changed: map[string]bool{"/data/state": true}}, first, recording, 3)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, texts(plan), []string{
		"write:/data/rows.csv:1:+1:then:worker-2:read:/data/state:1:before:i2",
		"write:/data/rows.csv:1:+1:then:worker-2:read:/data/state:1:after:i2",
		"write:/data/rows.csv:1:+1:then:worker-2:write:/data/rows.csv:1:before:i2",
		"write:/data/rows.csv:1:+1:then:worker-2:write:/data/rows.csv:1:+1:i2",
		"write:/data/rows.csv:1:+1:then:worker-2:write:/data/rows.csv:1:+20:i2",
		"write:/data/rows.csv:1:+1:then:worker-2:write:/data/rows.csv:1:+39:i2",
		"write:/data/rows.csv:1:+1:then:worker-2:write:/data/rows.csv:1:after:i2",
	})
	if index := plan.Item(0).Steps[1].Operation.Index; index != 1 {
		t.Errorf("the first operation of the recovery has the place %d", index)
	}
}

func TestCollectedFilesAsOthersSeeThem(t *testing.T) {
	volume := func(target string) []system.Mount {
		return []system.Mount{{Kind: system.MountVolume, Source: "data", Target: target}}
	}
	sys := &system.System{Services: []system.Service{
		{Name: "writer", Mounts: append(volume("/app/data"), system.Mount{Kind: system.MountTmpfs, Target: "/app/data/tmp"})},
		{Name: "reader", Mounts: volume("/in/")}, {Name: "other"},
	}}
	sc := &scenario.Scenario{
		Facts: &scenario.Facts{Rows: &scenario.Rows{
			Sent: scenario.SentFile{Service: "other", File: "/sent"}, Output: scenario.Output{Service: "writer", Files: "/app/data/p/*.csv"},
		}},
		Expect: scenario.Expect{Stable: []scenario.StableExpect{{Service: "writer", Files: "/app/data/tmp/x"}, {Service: "writer", Files: "/app/database/x"}}},
	}
	for service, want := range map[string][]string{
		"writer": {"/app/data/p/*.csv", "/app/data/tmp/x", "/app/database/x"}, "reader": {"/in/p/*.csv"}, "other": {"/sent"},
	} {
		equal(t, Collected(sc, sys, service), want)
	}
}
