package run

import (
	"maps"
	"slices"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// The language and the interposer do not know each other. What a scenario may
// say, the interposer must understand.
func TestLanguageAndInterposerUseTheSameWords(t *testing.T) {
	if errnos := slices.Sorted(maps.Keys(interpose.Errnos)); !slices.Equal(errnos, scenario.Errnos) {
		t.Errorf("the interposer knows the errors %q\nand the language %q", errnos, scenario.Errnos)
	}
	for _, kind := range scenario.CrashPoints {
		words := []string{string(kind)}
		if kind == scenario.AMQP {
			words = []string{scenario.Publish, scenario.Ack}
		}
		for _, word := range words {
			if !interpose.Operation(word).Known() {
				t.Errorf("the interposer does not know %q", word)
			}
		}
	}
	for _, timing := range []string{scenario.TimingBefore, scenario.TimingAfter} {
		if known := interpose.Timing(timing); known != interpose.Before && known != interpose.After {
			t.Errorf("the interposer does not know the timing %q", timing)
		}
	}
	for _, keep := range []string{"11", "half", "all-but-1"} {
		if _, err := interpose.ParseKeep(keep); err != nil {
			t.Error(err)
		}
	}
}
