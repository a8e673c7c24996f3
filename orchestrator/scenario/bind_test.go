package scenario

import (
	"testing"
	"time"
)

func TestHurtsBroker(t *testing.T) {
	facts := factsOf(t, "broker: {service: rabbitmq}\n")
	tests := []struct {
		text string
		want bool
	}{
		{"system: a.yaml\n", false},
		{"system: a.yaml\nfaults: [{kill: worker-2, when: {log: x, service: rabbitmq}}]\n", false},
		{"system: a.yaml\nfaults: [{kill: worker-2, when: {log: x}}, {restart: rabbitmq, when: {after: 1s}}]\n", true},
		{"system: a.yaml\nexpect: {stable: [{service: rabbitmq, files: /x}]}\n", true},
	}
	for _, test := range tests {
		scenario, problems := ParseBytes("s.yaml", []byte(test.text))
		if problems != nil {
			t.Fatal(problems)
		}
		if scenario.HurtsBroker() {
			t.Error("it hurts a broker that is not known yet")
		}
		if problems := scenario.Bind(Binding{Services: []string{"worker-2", "rabbitmq"}, Facts: facts}); problems != nil {
			t.Fatal(problems)
		}
		if got := scenario.HurtsBroker(); got != test.want {
			t.Errorf("%q hurts the broker: %v, want %v", test.text, got, test.want)
		}
	}
}

// TestBindKnowsWhereThingsStand holds that what a scenario is bound to keeps
// its places: the compose file's for what came from there.
func TestBindKnowsWhereThingsStand(t *testing.T) {
	facts := factsOf(t, "expect:\n  logs: [{service: a, contains: x}]\n  exits: {a: 0}\n  verdicts: off\nbroker: {service: a}\n")
	scenario, problems := ParseBytes("s.yaml", []byte("system: a.yaml\nexpect:\n  logs: [{service: a, contains: y}]\n  rows: off\n"))
	if problems != nil {
		t.Fatal(problems)
	}
	if problems := scenario.Bind(Binding{Services: []string{"a"}, Facts: facts}); problems != nil {
		t.Fatal(problems)
	}
	for path, want := range map[string]Position{
		"":                           {"s.yaml", 1, 1},
		"system":                     {"s.yaml", 1, 9},
		"expect.rows":                {"s.yaml", 4, 9},
		"expect.verdicts":            {"compose.yaml", 4, 13},
		"expect.logs[0].contains":    {"s.yaml", 3, 33},
		"expect.logs[1].contains":    {"compose.yaml", 2, 33},
		"expect.exits.a":             {"compose.yaml", 3, 14},
		"x-killpoint.broker.service": {"compose.yaml", 5, 19},
	} {
		if got := scenario.Positions[path]; got != want {
			t.Errorf("%q stands at %s, want %s", path, got, want)
		}
	}
	if got := scenario.Expect.Logs[1].Position; got.File != "compose.yaml" {
		t.Errorf("the second entry of logs stands at %s", got)
	}
}

// TestBindToAnotherSystem holds that nothing of the first binding is left.
func TestBindToAnotherSystem(t *testing.T) {
	scenario, problems := ParseBytes("s.yaml", []byte("system: a.yaml\n"))
	if problems != nil {
		t.Fatal(problems)
	}
	before := encodeJSON(t, scenario)
	scenario.Bind(Binding{Services: []string{"a"}, Facts: factsOf(t, "verdicts: {service: a, success: '(x)'}\nexpect: {exits: {a: 0}}\n")})
	if scenario.Expect.Verdicts != "all" {
		t.Fatalf("verdicts are %q", scenario.Expect.Verdicts)
	}
	scenario.Bind(Binding{})
	if scenario.Facts != nil || scenario.Expect.Exits != nil || scenario.Expect.Verdicts != "off" {
		t.Errorf("left over: %s (before any: %s)", encodeJSON(t, scenario), before)
	}
}

// TestBindWithoutParse holds that a scenario that a program made can be bound.
func TestBindWithoutParse(t *testing.T) {
	second := Duration(time.Second)
	scenario := &Scenario{File: "made", Faults: []Fault{{Kind: Kill, Service: "b", When: When{Kind: After, After: &second}}}}
	problems := scenario.Bind(Binding{Services: []string{"a"}})
	if len(problems) != 1 || problems[0].Position.File != "made" {
		t.Errorf("got %v", problems)
	}
}
