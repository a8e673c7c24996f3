package trigger_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/trigger"
)

// say records n log lines of a service in one of its lives.
func say(recorder *history.Recorder, service string, incarnation, n int, text string) {
	for range n {
		recorder.Add(history.Event{Kind: history.Log, Service: service, Incarnation: incarnation, Stream: "stdout", Text: text})
	}
}

func arm(t *testing.T, when scenario.When, spent trigger.Spent, recorder *history.Recorder) trigger.Armed {
	t.Helper()
	armed, err := trigger.Arm(when, trigger.Fault{Number: 1, Service: "worker-2", Spent: spent}, recorder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(armed.Disarm)
	return armed
}

// due says whether the trigger has come, with its match. Matches are made
// while the event is recorded, so that one that is not there now never comes
// of the events so far.
func due(armed trigger.Armed) (trigger.Match, bool) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// A select with both ready may choose either: ask often enough that a
	// match that is there is seen.
	for range 64 {
		if match, err := armed.Wait(ctx); err == nil {
			return match, true
		}
	}
	return trigger.Match{}, false
}

func wrote(occurrence, incarnation int) scenario.When {
	return scenario.When{Kind: scenario.Log, Log: "Wrote", Occurrence: occurrence, Incarnation: incarnation}
}

func TestLogComesWithTheNthLineOfAnIncarnation(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	armed := arm(t, wrote(3, 0), trigger.Spent{}, recorder)
	say(recorder, "worker-2", 1, 2, "Wrote partition 0")
	say(recorder, "worker-3", 1, 5, "Wrote nothing of ours") // another service
	say(recorder, "worker-2", 1, 5, "wrote in lower case")   // another text
	say(recorder, "worker-2", 2, 2, "Wrote partition 0")     // another life counts by itself
	if _, came := due(armed); came {
		t.Fatal("came before the third line of one incarnation")
	}
	if want := "2 of 3 lines"; !strings.Contains(armed.Seen(), want) {
		t.Errorf("Seen() = %q, want it to say %q", armed.Seen(), want)
	}
	say(recorder, "worker-2", 2, 1, "Wrote partition 1")
	match, came := due(armed)
	if !came || match.Incarnation != 2 || match.Text != "Wrote partition 1" {
		t.Fatalf("got %+v, %v; want the third line of incarnation 2", match, came)
	}
}

func TestLogCountsLinesFromBeforeItWasArmed(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	say(recorder, "worker-2", 1, 2, "Wrote")
	armed := arm(t, wrote(3, 0), trigger.Spent{}, recorder)
	say(recorder, "worker-2", 1, 1, "Wrote")
	if _, came := due(armed); !came {
		t.Fatal("did not count the two lines that were there when it was armed")
	}
}

func TestLogNeverComesForAMomentThatHasPassed(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	say(recorder, "worker-2", 1, 3, "Wrote")
	armed := arm(t, wrote(3, 0), trigger.Spent{}, recorder)
	say(recorder, "worker-2", 1, 2, "Wrote")
	if _, came := due(armed); came {
		t.Fatal("came although the third line was before it was armed")
	}
	if !strings.Contains(armed.Seen(), "before the fault was armed") {
		t.Errorf("Seen() = %q, want it to say that the moment had passed", armed.Seen())
	}
}

func TestLogWaitsForItsIncarnation(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	armed := arm(t, wrote(1, 2), trigger.Spent{}, recorder)
	say(recorder, "worker-2", 1, 4, "Wrote")
	if _, came := due(armed); came {
		t.Fatal("came in incarnation 1, want 2")
	}
	say(recorder, "worker-2", 2, 1, "Wrote")
	if match, came := due(armed); !came || match.Incarnation != 2 {
		t.Fatalf("got %+v, %v; want incarnation 2", match, came)
	}
}

// The last lines of a life may be read after its death: a fault that waits for
// the next life must not be done for them.
func TestLogPassesOverTheLateLinesOfALifeThatHasEnded(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	spent := trigger.Spent{}
	first := arm(t, wrote(3, 0), spent, recorder)
	say(recorder, "worker-2", 1, 3, "Wrote")
	if _, came := due(first); !came {
		t.Fatal("the first repetition did not come")
	}
	second, err := trigger.Arm(wrote(3, 0), trigger.Fault{Number: 2, Service: "worker-2", Spent: spent, Over: 1}, recorder)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Disarm()
	say(recorder, "worker-2", 1, 5, "Wrote")
	if match, came := due(second); came {
		t.Fatalf("came for %+v, of a life that had ended", match)
	}
	say(recorder, "worker-2", 2, 3, "Wrote")
	if match, came := due(second); !came || match.Incarnation != 2 {
		t.Fatalf("got %+v, %v; want the third line of incarnation 2", match, came)
	}
}

func TestLogRepetitionsOfOneFaultDoNotCountTheSameLines(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	spent := trigger.Spent{}
	first := arm(t, wrote(2, 0), spent, recorder)
	say(recorder, "worker-2", 1, 2, "Wrote")
	if _, came := due(first); !came {
		t.Fatal("the first repetition did not come")
	}
	second := arm(t, wrote(2, 0), spent, recorder)
	say(recorder, "worker-2", 1, 1, "Wrote")
	if _, came := due(second); came {
		t.Fatal("the second repetition came after one further line, want two")
	}
	say(recorder, "worker-2", 1, 1, "Wrote")
	if _, came := due(second); !came {
		t.Fatal("the second repetition did not come after two further lines")
	}
}

func TestAfterComesWhenTheTimeHasPassed(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	delay := scenario.Duration(20 * time.Millisecond)
	armedAt := recorder.Now()
	armed := arm(t, scenario.When{Kind: scenario.After, After: &delay}, nil, recorder)
	match, err := armed.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if match.At < armedAt+time.Duration(delay) || match.Service != "worker-2" {
		t.Errorf("got %+v, want it no sooner than %s", match, armedAt+time.Duration(delay))
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	hour := scenario.Duration(time.Hour)
	for _, when := range []scenario.When{{Kind: scenario.After, After: &hour}, wrote(1, 0)} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := arm(t, when, trigger.Spent{}, recorder).Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want the context's error", when.Kind, err)
		}
	}
}

// Every kind of the language can be armed: a kind that is only in the
// language would be accepted by validation and then do nothing.
func TestEveryKindOfTriggerCanBeArmed(t *testing.T) {
	second := scenario.Duration(time.Second)
	for _, kind := range scenario.TriggerKinds {
		when := scenario.When{Kind: scenario.TriggerKind(kind.Name), After: &second, Log: "x", Occurrence: 1}
		of := trigger.Fault{Number: 1, Service: "worker-2", Spent: trigger.Spent{}, Points: &points{}}
		armed, err := trigger.Arm(when, of, history.NewRecorder(history.Meta{}, t.TempDir()))
		if err != nil {
			t.Errorf("%s: %v", kind.Name, err)
			continue
		}
		armed.Disarm()
	}
}

// points is an interposer whose program reaches point 1 when it is told to.
type points struct {
	armed   []int
	reached chan trigger.Match
}

func (p *points) Arm(number int) error {
	p.armed = append(p.armed, number)
	return nil
}
func (p *points) Reached(int) <-chan trigger.Match { return p.reached }
func (p *points) Seen(int) string                  { return "2 of 7 calls" }

func TestCrashPointComesWhenTheInterposerSaysSo(t *testing.T) {
	interposer := &points{reached: make(chan trigger.Match, 1)}
	when := scenario.When{Kind: scenario.Write, Path: "/data/*.csv", Occurrence: 7}
	armed, err := trigger.Arm(when, trigger.Fault{Number: 3, Service: "worker-2", Points: interposer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(interposer.armed) != 1 || interposer.armed[0] != 3 {
		t.Errorf("armed %v, want fault 3", interposer.armed)
	}
	if _, came := due(armed); came {
		t.Error("came before the program was there")
	}
	if armed.Seen() != "2 of 7 calls" {
		t.Errorf("Seen() = %q, want the interposer's words", armed.Seen())
	}
	interposer.reached <- trigger.Match{Service: "worker-2", Incarnation: 2, Text: "held"}
	if match, err := armed.Wait(t.Context()); err != nil || match.Incarnation != 2 {
		t.Errorf("got %+v, %v; want the interposer's match", match, err)
	}
}

func TestCrashPointNeedsAnInterposer(t *testing.T) {
	when := scenario.When{Kind: scenario.Write, Path: "/data/*.csv", Occurrence: 7}
	if _, err := trigger.Arm(when, trigger.Fault{Number: 3, Service: "worker-2"}, nil); err == nil {
		t.Error("armed a crash point of a service that has no interposer")
	}
}
