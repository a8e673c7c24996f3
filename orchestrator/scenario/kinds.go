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
	// These three are done to one call of the program, at a crash point.
	Fail  FaultKind = "fail"
	Short FaultKind = "short"
	Delay FaultKind = "delay"
)

// OnCall says whether the fault is done to a call rather than to the whole
// service: its trigger must be a crash point, and it comes before the call.
func (k FaultKind) OnCall() bool { return k == Fail || k == Short || k == Delay }

// TriggerKind is the condition of a fault; its text is the YAML key.
type TriggerKind string

// The kinds of trigger.
const (
	After TriggerKind = "after"
	Log   TriggerKind = "log"
	// The rest are crash points: exact places in the run of the service that
	// the fault is done to.
	Write    TriggerKind = "write"
	Fsync    TriggerKind = "fsync"
	Rename   TriggerKind = "rename"
	Create   TriggerKind = "create"
	Truncate TriggerKind = "truncate"
	Unlink   TriggerKind = "unlink"
	Read     TriggerKind = "read"
	Mkdir    TriggerKind = "mkdir"
	AMQP     TriggerKind = "amqp"
)

// CrashPoints are the triggers that are places in the run of the program,
// where the interposer holds it: those on files first, then the broker's.
var CrashPoints = []TriggerKind{Write, Fsync, Rename, Create, Truncate, Unlink, Read, Mkdir, AMQP}

// IsCrashPoint says whether the trigger is an exact place in the run of the
// service, rather than a time or a line of a log.
func (k TriggerKind) IsCrashPoint() bool { return slices.Contains(CrashPoints, k) }

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
	// Group names the kinds that belong together, in the plural; where all of
	// them take a key, messages and the reference name the group.
	Group string
}

// takes says whether key may stand beside the kind's own.
func (k Kind) takes(key string) bool { return slices.Contains(k.Keys, key) }

// FaultKinds is every kind of fault, each once. All kinds take when and
// times; Keys are those that only some take.
var FaultKinds = []Kind{
	{
		Name: string(Kill), Doc: "send a signal, SIGKILL unless said otherwise, and start it again after restart",
		Into: "Service", Keys: []string{"signal", "restart", "lose-unsynced"},
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
	{
		Name: string(Fail), Doc: "let a call return an error and do nothing; times counts calls, from the occurrence on",
		Into: "Service", Keys: []string{"errno", "restart-if-exited"}, Required: []string{"errno"},
		Example: "{fail: worker-2, errno: ENOSPC, when: {write: /data/*, occurrence: 3}, times: 2, restart-if-exited: 200ms}",
	},
	{
		Name: string(Short), Doc: "let a read or a write move some of its bytes only, and say so to the program",
		Into: "Service", Keys: []string{"bytes"}, Required: []string{"bytes"},
		Example: "{short: worker-2, bytes: 5, when: {write: /data/*, occurrence: 3}}",
	},
	{
		Name: string(Delay), Doc: "let a call wait before it is done, while the other threads go on",
		Into: "Service", Keys: []string{"by"}, Required: []string{"by"},
		Example: "{delay: worker-2, by: 300ms, when: {fsync: /data/*, occurrence: 1}}",
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
	{
		Name: string(Write), Doc: "data into a file, by any call that does it; with keep, in the middle of it",
		Into: "Path", Group: pointGroup, Keys: append([]string{"keep"}, pointKeys...),
		Example: "{write: /data/*.csv, occurrence: 7, keep: half, incarnation: 2}",
	},
	{
		Name: string(Fsync), Doc: "fsync or fdatasync of a file or a directory",
		Into: "Path", Group: pointGroup, Keys: pointKeys,
		Example: "{fsync: /data/journal, occurrence: 1, timing: before}",
	},
	{
		Name: string(Rename), Doc: "a rename; the path is its old name or its new one",
		Into: "Path", Group: pointGroup, Keys: pointKeys,
		Example: "{rename: /data/state.json, timing: after}",
	},
	{
		Name: string(Create), Doc: "a new file, link or symbolic link; of a link, the path is either name",
		Into: "Path", Group: pointGroup, Keys: pointKeys,
		Example: "{create: '/data/**/*.tmp', occurrence: 2, timing: after}",
	},
	{
		Name: string(Truncate), Doc: "a file cut or grown to a length, or emptied as it is opened",
		Into: "Path", Group: pointGroup, Keys: pointKeys,
		Example: "{truncate: '/data/*.csv', timing: after}",
	},
	{
		Name: string(Unlink), Doc: "a file or an empty directory removed",
		Into: "Path", Group: pointGroup, Keys: pointKeys,
		Example: "{unlink: /data/journal.old, timing: before}",
	},
	{
		Name: string(Read), Doc: "data out of a file",
		Into: "Path", Group: pointGroup, Keys: pointKeys,
		Example: "{read: /data/state.json, occurrence: 1, incarnation: 2}",
	},
	{
		Name: string(Mkdir), Doc: "a new directory",
		Into: "Path", Group: pointGroup, Keys: pointKeys,
		Example: "{mkdir: /data/partitions, timing: after}",
	},
	{
		Name: string(AMQP), Doc: "a message handed to the broker (publish) or acknowledged to it (ack); after a publish is when the broker has confirmed it",
		Into: "Method", Group: pointGroup, Keys: append([]string{"queue"}, pointKeys...),
		Example: "{amqp: publish, queue: queue-2-3, occurrence: 4, timing: after}",
	},
}

// pointGroup is what the kinds of CrashPoints are called together.
const pointGroup = "crash points"

// pointKeys are the keys of every crash point.
var pointKeys = []string{"occurrence", "incarnation", "timing"}

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
