package scenario

import (
	"reflect"
	"slices"
)

// FaultKind is what is done to a service; its text is the YAML key.
type FaultKind string

// The kinds of fault.
const (
	Kill       FaultKind = "kill"
	Stop       FaultKind = "stop"
	Restart    FaultKind = "restart"
	Pause      FaultKind = "pause"
	Disconnect FaultKind = "disconnect"
)

// TriggerKind is the condition of a fault; its text is the YAML key.
type TriggerKind string

// The kinds of trigger.
const (
	After TriggerKind = "after"
	Log   TriggerKind = "log"
)

// Kind describes one fault or trigger: the keys that it takes besides its
// own, those that it cannot do without, and how it is written. A new kind is
// one more entry in its table, plus a field of Fault or When for each key that
// is new; parsing, validation, schema and reference follow from these.
type Kind struct {
	// Name is the kind's own key.
	Name string
	Doc  string
	// Into is the Go field that takes the value of the kind's own key; empty,
	// it is the field whose key is Name.
	Into     string
	Keys     []string
	Required []string
	Example  string
}

// takes says whether key may stand beside the kind's own.
func (k Kind) takes(key string) bool { return slices.Contains(k.Keys, key) }

// FaultKinds is every kind of fault, each once. All kinds take when and
// times; Keys are those that only some take.
var FaultKinds = []Kind{
	{
		Name: string(Kill), Doc: "send a signal, SIGKILL unless said otherwise, and start it again after restart",
		Into: "Service", Keys: []string{"signal", "restart"},
		Example: "{kill: worker-2, when: {after: 1s}, restart: 200ms}",
	},
	{
		Name: string(Stop), Doc: "ask it to stop, and kill it when the grace time is over",
		Into: "Service", Keys: []string{"grace", "restart"},
		Example: "{stop: worker-2, grace: 5s, when: {after: 1s}, restart: 1s}",
	},
	{
		Name: string(Restart), Doc: "stop it with its own grace time and start it again at once",
		Into: "Service", Keys: []string{"grace"},
		Example: "{restart: worker-2, when: {after: 1s}}",
	},
	{
		Name: string(Pause), Doc: "freeze all its processes, then let them go on",
		Into: "Service", Keys: []string{"for"}, Required: []string{"for"},
		Example: "{pause: worker-2, when: {after: 1s}, for: 2s}",
	},
	{
		Name: string(Disconnect), Doc: "take it off its networks, then connect it again",
		Into: "Service", Keys: []string{"for"}, Required: []string{"for"},
		Example: "{disconnect: worker-2, when: {after: 1s}, for: 2s}",
	},
}

// TriggerKinds is every kind of trigger, each once.
var TriggerKinds = []Kind{
	{
		Name: string(After), Doc: "a time after the system was up, or after the fault before fired",
		Example: "{after: 3s}",
	},
	{
		Name: string(Log), Doc: "a log line, counted per incarnation",
		Keys:    []string{"service", "occurrence", "incarnation"},
		Example: "{log: 'Worker 2: Wrote partition 3', occurrence: 2, service: worker-2}",
	},
}

// kindTable is a type of which each value is of exactly one kind, said by
// which of the kinds' names is among its keys.
type kindTable struct {
	kinds []Kind
	// common are the keys that every kind takes.
	common []string
}

// kindTables is every such type.
var kindTables = map[reflect.Type]kindTable{
	reflect.TypeFor[Fault](): {kinds: FaultKinds, common: []string{"when", "times"}},
	reflect.TypeFor[When]():  {kinds: TriggerKinds},
}
