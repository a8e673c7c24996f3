package run

import (
	"fmt"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// Every operation of a recorded service is in the history, in order, up to the
// call at which a life was killed, and for each life anew.
func TestRecord(t *testing.T) {
	t.Parallel()
	sc, sys := mustLoad(t, "record.yaml")
	ctx := with(t)
	h := watched(t, open(t, ctx, Options{}).Record(ctx, sc, sys, &Recording{Service: "worker", PowerLoss: true})).history
	writes := map[int]int{}
	for _, event := range h.Events {
		if event.Kind == history.Trouble {
			t.Fatal(event.Text)
		}
		if event.Kind != history.Operation || event.Point.Path != "/said" || event.Point.Operation != "write" {
			continue
		}
		life := event.Incarnation
		writes[life]++
		want := history.Point{
			Operation: "write", Call: "pwrite64", Path: "/said", Occurrence: writes[life],
			Size: 10, Offset: int64(10 * (life - 1)), Sum: event.Point.Sum, Pending: event.Point.Pending,
		}
		if got := fmt.Sprintf("%+v", *event.Point); got != fmt.Sprintf("%+v", want) {
			t.Errorf("life %d:\ngot  %s\nwant %+v", life, got, want)
		}
		if event.Point.Sum == "" || event.Point.Pending < writes[life]-1 {
			t.Errorf("life %d, write %d: sum %q, %d pending", life, writes[life], event.Point.Sum, event.Point.Pending)
		}
	}
	if writes[1] != 10 || writes[2] != 20 {
		t.Errorf("recorded %v writes by life, want 10 and 20", writes)
	}
}
