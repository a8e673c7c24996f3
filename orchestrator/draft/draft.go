// Package draft writes a first scenario for a system: what its compose file
// shows is used, what it does not show is guessed, and every guess is said,
// in the scenario and beside it. It starts nothing and writes no file; that
// the scenario is valid is for its caller to see.
package draft

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// Wish is what the scenario is to be.
type Wish struct {
	System  string // the compose file, as the scenario names it
	Schema  string // the JSON Schema, as the scenario names it; empty: none is at hand
	Service string // whom to hurt; empty: guess
}

// Draft is a scenario and what was found out for it.
type Draft struct {
	Text  []byte
	Notes []Note
}

// Note is one thing that was found or guessed.
type Note struct {
	Subject string // one of subjects
	Text    string
}

// subjects are what notes are about, in the order in which they are told.
var subjects = []string{"broker", "kill", "end"}

// ErrService says that the service to hurt cannot be.
type ErrService struct {
	Name   string
	Reason string
}

func (e ErrService) Error() string { return fmt.Sprintf("hurt service %s: %s", e.Name, e.Reason) }

// Write makes the first scenario of a system.
func Write(sys *system.System, wish Wish) (Draft, error) {
	seen := look(sys)
	victim, chosen, err := seen.victim(wish.Service)
	if err != nil {
		return Draft{}, err
	}
	d := &drafting{looked: seen, victim: victim, chosen: chosen, moment: seen.moment(victim)}
	d.write(wish)
	slices.SortStableFunc(d.notes, func(a, b Note) int {
		return cmp.Compare(slices.Index(subjects, a.Subject), slices.Index(subjects, b.Subject))
	})
	return Draft{Text: []byte(d.text.String()), Notes: d.notes}, nil
}

// drafting is one scenario being written.
type drafting struct {
	*looked
	victim *system.Service
	chosen choice
	moment moment
	text   strings.Builder
	notes  []Note
}

func (d *drafting) line(format string, values ...any) { fmt.Fprintf(&d.text, format+"\n", values...) }

func (d *drafting) note(subject, format string, values ...any) {
	d.notes = append(d.notes, Note{subject, fmt.Sprintf(format, values...)})
}

// restartAfter is long enough that others notice the death.
const restartAfter = "200ms"

func (d *drafting) write(wish Wish) {
	if wish.Schema != "" {
		d.line("# yaml-language-server: $schema=%s", wish.Schema)
	}
	d.line("# Written by killpoint init. Where it says guessed, put it right and take the")
	d.line("# remark away.")
	d.line("description: %s", prose(fmt.Sprintf("Kill %s %s; after the restart the work is done all the same.", d.victim.Name, d.moment.words)))
	d.line("system: %s", Scalar(wish.System))
	d.line("")
	d.line("faults:")
	d.line("  - kill: %s%s", Scalar(d.victim.Name), d.chosen.remark())
	d.line("    when: %s # %s", d.moment.yaml, d.moment.why)
	d.line("    restart: %s", restartAfter)
	d.note("kill", "%s%s %s, and start it again", d.chosen.words(), d.victim.Name, d.moment.words)
	d.writeExpect()
	d.writeEnd()
	d.writeFacts()
}

// writeExpect names what is checked, and asks that the service comes back
// where the facts turn no check on. An expected log line would be taken for
// the end of the work, so that it is asked for only where there is another.
func (d *drafting) writeExpect() {
	d.line("")
	back := fmt.Sprintf("{service: %s, matches: ., incarnation: 2}", Scalar(d.victim.Name))
	switch {
	case d.facts.Rows != nil || d.facts.Verdicts != nil:
		d.line("# Checked without being named, by the x-killpoint of the compose file:")
		d.line("# %s.", d.checked())
	case d.facts.Done == nil && len(d.senders) == 0 && len(d.queues) == 0:
		d.line("# What must hold is for you to say; until something does, a run is inconclusive.")
		d.line("# For instance:")
		d.line("# expect:")
		d.line("#   logs:")
		d.line("#     - %s", back)
	default:
		d.line("expect:")
		d.line("  logs:")
		d.line("    - %s # guessed: it logs something when it has come back", back)
		if len(d.senders) > 0 {
			d.line("  exits: %s", d.exits())
		}
	}
}

func (d *drafting) checked() string {
	expect := scenario.DefaultExpect(&d.facts)
	var words []string
	if expect.Rows != "off" {
		words = append(words, "rows "+strings.ReplaceAll(expect.Rows, "-", " "))
	}
	if expect.Verdicts != "off" {
		words = append(words, "a success for each unit of work")
	}
	if expect.Drained != "off" {
		words = append(words, "queues drained")
	}
	return strings.Join(words, ", ")
}

func (d *drafting) exits() string {
	var entries []string
	for _, name := range d.senders {
		entries = append(entries, Scalar(name)+": 0")
	}
	return "{" + strings.Join(entries, ", ") + "}"
}

// writeEnd says how one sees that the run is over, where nothing else does.
func (d *drafting) writeEnd() {
	switch {
	case d.facts.Done != nil:
		d.note("end", "as x-killpoint says")
	case len(d.senders) > 0: // factDone says it
	case len(d.queues) > 0:
		d.line("idle: true # wait for the fault, since it is not known who hands in the work")
	default:
		d.line("settle: 3s # guessed: nothing happens for this long when the work is done")
		d.note("end", "guessed: when nothing has happened for 3s")
	}
}

// writeFacts writes what the compose file's own x-killpoint does not say.
func (d *drafting) writeFacts() {
	broker, done := d.factBroker(), d.factDone()
	if broker == "" && done == "" {
		return
	}
	d.line("")
	d.line("# What is true of the system whatever the scenario. Once it is right, it belongs")
	d.line("# into the compose file, where every scenario finds it.")
	d.line("x-killpoint:")
	if broker != "" {
		d.line("  broker: %s", broker)
	}
	if done != "" {
		d.line("  done: %s", done)
	}
}

func (d *drafting) factBroker() string {
	if d.facts.Broker != nil {
		d.note("broker", "%s, as x-killpoint says", d.facts.Broker.Service)
		return ""
	}
	if d.broker == nil {
		return ""
	}
	if d.urlEnv == "" {
		d.note("broker", "%s; no variable gives the others its amqp:// URL, so runs cannot have virtual hosts of their own", d.broker.Name)
		return fmt.Sprintf("{service: %s}", Scalar(d.broker.Name))
	}
	d.note("broker", "%s, whose URL is in %s", d.broker.Name, d.urlEnv)
	return fmt.Sprintf("{service: %s, url_env: %s}", Scalar(d.broker.Name), d.urlEnv)
}

func (d *drafting) factDone() string {
	if d.facts.Done != nil {
		return ""
	}
	var parts, words []string
	if len(d.senders) > 0 {
		parts = append(parts, "exited: "+list(d.senders))
		words = append(words, and(d.senders)+" has exited")
	}
	if d.broker != nil && len(d.queues) > 0 {
		parts = append(parts, "drained: "+list(d.queues))
		words = append(words, "nothing is left in "+and(d.queues))
	}
	if len(words) == 0 {
		return ""
	}
	d.note("end", "guessed: when %s", strings.Join(words, " and "))
	return "{" + strings.Join(parts, ", ") + "} # guessed from the names of services and variables"
}
