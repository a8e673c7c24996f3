package testrunner

import (
	"errors"
	"io"

	"github.com/killpoint/killpoint/workers/chunk"
	"github.com/killpoint/killpoint/workers/queue"
)

// item is one message to send.
type item struct {
	message queue.Message
	rows    []string // of a chunk; nil when it is sent once more
	again   bool     // a chunk that was sent before
	reason  string   // why it is broken; empty for a chunk
}

// plan is the order in which messages are sent: the source's chunks, some of
// them twice, and broken messages in between. The same configuration gives the
// same plan.
type plan struct {
	config  Config
	source  source
	chunks  int
	ids     ids
	broken  ids
	number  int // of chunks given so far
	twice   int // of chunks given twice so far
	mixedIn int // of broken messages given so far
	due     []item
	late    []lateItem
}

// lateItem is a second delivery that comes some chunks after the first.
type lateItem struct {
	after int // the number of the chunk behind which it comes
	item  item
}

// lateBy is how many chunks come between a chunk and its late second delivery.
// Every other one comes at once, so that a writer sees second deliveries both
// within one group and after the first is acknowledged.
const lateBy = 3

func newPlan(c Config) (*plan, error) {
	source, chunks, err := newSource(c)
	if err != nil {
		return nil, err
	}
	return &plan{
		config: c, source: source, chunks: chunks,
		ids: newIDs(c.Seed, streamOfIDs), broken: newIDs(c.Seed, streamOfMalformedIDs),
	}, nil
}

// next gives one message after the other, and io.EOF at the end.
func (p *plan) next() (item, error) {
	if len(p.due) == 0 {
		if err := p.advance(); err != nil {
			return item{}, err
		}
	}
	next := p.due[0]
	p.due = p.due[1:]
	return next, nil
}

// advance makes the next chunk due, and what comes behind it.
func (p *plan) advance() error {
	rows, err := p.source.next()
	if errors.Is(err, io.EOF) && len(p.late) > 0 {
		p.makeLateDue(p.chunks + lateBy)
		return nil
	}
	if err != nil {
		return err
	}
	p.number++
	first := item{
		message: queue.Message{ID: p.ids.next(), Client: p.config.Client, Body: chunk.Encode(rows)},
		rows:    rows,
	}
	p.due = append(p.due, first)
	if p.config.DuplicateEach > 0 && p.number%p.config.DuplicateEach == 0 {
		second := item{message: first.message, again: true}
		if p.twice++; p.twice%2 == 1 {
			p.due = append(p.due, second)
		} else {
			p.late = append(p.late, lateItem{after: p.number + lateBy, item: second})
		}
	}
	p.makeLateDue(p.number)
	for p.mixedIn < p.config.Malformed && (p.mixedIn+1)*p.chunks/(p.config.Malformed+1) <= p.number {
		p.due = append(p.due, malformed(p.mixedIn, p.config.Client, p.broken.next()))
		p.mixedIn++
	}
	return nil
}

func (p *plan) makeLateDue(number int) {
	for len(p.late) > 0 && p.late[0].after <= number {
		p.due = append(p.due, p.late[0].item)
		p.late = p.late[1:]
	}
}

// malformed gives the n-th broken message; the kinds take turns. Their rows
// must never reach a partition file, nor keep other chunks' rows from it.
func malformed(n int, client, id string) item {
	good := []string{"1,Mallory", "2,Mallory"}
	switch n % 3 {
	case 0:
		return item{
			message: queue.Message{ID: id, Client: client, Body: []byte{0x1f, 0x8b, 0x08, 0x00, 0xff, 0x00, '\n', 0xfe}},
			reason:  "no CSV at all",
		}
	case 1:
		return item{
			message: queue.Message{ID: id, Client: client, Body: chunk.Encode(append(good, "three,Mallory"))},
			reason:  "a row without a number in user_id",
		}
	default:
		return item{message: queue.Message{Client: client, Body: chunk.Encode(good)}, reason: "no id"}
	}
}
