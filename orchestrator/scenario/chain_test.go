package scenario

import (
	"strings"
	"testing"
)

func TestCanChain(t *testing.T) {
	whole := func() *Scenario {
		return &Scenario{Facts: &Facts{Rows: &Rows{Sent: SentFile{Service: "sender"}}, Done: &Done{Drained: []string{"q"}}}}
	}
	if err := whole().CanChain("worker"); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Scenario){
		"no rows.sent, by which it is known who sends the work and no done.drained": func(s *Scenario) { s.Facts = nil },
		"x-killpoint has no rows.sent":                                              func(s *Scenario) { s.Facts.Rows = nil },
		"x-killpoint has no done.drained":                                           func(s *Scenario) { s.Facts.Done.Drained = nil },
		"is about a whole run":                                                      func(s *Scenario) { s.Expect.Logs = []LogExpect{{}} },
		"it sends the work":                                                         func(s *Scenario) { s.Facts.Rows.Sent.Service = "worker" },
	} {
		sc := whole()
		change(sc)
		if err := sc.CanChain("worker"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
