package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// Coordinator has the items of a campaign run by agents. It is an
// explore.Worker, and as such used by one goroutine.
type Coordinator struct {
	URL     string // of the broker; never printed
	Version string // of killpoint: agents of another one could judge differently
	// Campaign is the one that it works for, and System what is under test.
	Campaign *explore.Campaign
	System   *system.System
	// Way is how crashes are done, once Recorder has recorded.
	Way func() explore.Way
	// Recorder runs the undisturbed runs and recoveries that are recorded: what
	// points are planned from comes from one machine.
	Recorder explore.Worker
	// Fingerprint identifies an image of the engine that recorded.
	Fingerprint func(ctx context.Context, image string) (string, error)
	// Note is told what a person must know.
	Note  func(string)
	Batch int // points; 0: DefaultBatch

	parcel     []byte
	id         string // of the campaign
	generation int    // of its queues
}

// Work runs items on agents, as explore.Worker says. It waits for agents and
// for the broker as long as it takes; that there are none it says.
func (c *Coordinator) Work(ctx context.Context, items <-chan explore.Item, tell func(explore.Item, explore.Outcome)) error {
	first, more := <-items
	if !more {
		return nil
	}
	all := make(chan explore.Item)
	feeding, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer close(all)
		for item := first; ; {
			select {
			case all <- item:
			case <-feeding.Done():
				return
			}
			var more bool
			if item, more = <-items; !more {
				return
			}
		}
	}()
	if first.Record {
		return c.Recorder.Work(ctx, all, tell)
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	w := &work{
		Coordinator: c, items: all, tell: tell, prefix: rand.Text()[:8],
		pending: map[string]*place{}, sent: map[string]*sent{}, early: map[string]explore.Outcome{},
	}
	err := connected(ctx, c.URL, "coordinator of "+c.id, c.Note, func(l *link) error {
		err := w.over(ctx, l)
		if isInternal(err) {
			// A queue that was declared moments before the broker was killed may
			// never have a leader again. Others take its place.
			c.generation++
		}
		return err
	})
	if ctx.Err() != nil {
		return nil // what is not told was not run
	}
	return err
}

// prepare packs what agents need.
func (c *Coordinator) prepare(ctx context.Context) error {
	if c.parcel != nil {
		return nil
	}
	p, err := c.pack(ctx)
	if err != nil {
		return err
	}
	if c.parcel, err = json.Marshal(p); err != nil {
		return fmt.Errorf("pack the campaign: %w", err)
	}
	c.id = hashOf(c.parcel)
	return nil
}

// Close removes the queues of a campaign that nobody goes on with. Agents see
// by it that the campaign is over.
func (c *Coordinator) Close(ctx context.Context) error {
	if c.id == "" {
		return nil
	}
	l, err := dial(ctx, c.URL, "coordinator of "+c.id)
	if err != nil {
		return err
	}
	defer l.close()
	q := queuesOf(c.id, c.generation)
	for _, queue := range []string{q.batches, q.answers, q.dead} {
		if _, err := l.channel.QueueDelete(queue, false, false, false); err != nil {
			return fmt.Errorf("remove queue %s: %w", queue, err)
		}
	}
	return nil
}

// work is one call of Work, over as many connections as it takes.
type work struct {
	*Coordinator
	items <-chan explore.Item
	tell  func(explore.Item, explore.Outcome)

	prefix  string // of the names of its batches
	number  int    // of batches
	filling []explore.Item
	pending map[string]*place // points that no outcome is told of, by text
	sent    map[string]*sent  // batches with such points, by name
	// early are outcomes that an earlier coordinator did not live to take.
	early map[string]explore.Outcome

	began  bool
	agents int
	state  string // as it was noted
	// givenUp is how many points were given up in a row.
	givenUp int
}

// maxGivenUp is after how many points in a row that are given up the campaign
// is: what keeps all agents from working is not going to go by itself.
const maxGivenUp = 10

// place is where a point is on its way.
type place struct {
	item  explore.Item
	batch *sent // nil: not sent yet
}

// sent is a batch on its way.
type sent struct {
	Batch
	number  int
	left    int
	trouble string // what the last agent said that could not finish it
}

// session is the work over one connection.
type session struct {
	*work
	*link
	q                        queues
	hello                    announcement
	answers, dead, questions <-chan amqp.Delivery
	done                     []func() // to be called at its end
}

// over works over one connection until everything is told, or the context ends.
func (w *work) over(ctx context.Context, l *link) error {
	s := &session{work: w, link: l, q: queuesOf(w.id, w.generation)}
	defer func() {
		for _, done := range s.done {
			done()
		}
	}()
	if err := s.open(ctx); err != nil {
		return err
	}
	beat := time.NewTicker(pulse)
	defer beat.Stop()
	for w.items != nil || len(w.pending) > 0 {
		if over, err := s.next(ctx, beat.C); over || err != nil {
			return err
		}
	}
	return nil
}

// open declares the queues, takes what waits in them and publishes anew what is
// on its way.
func (s *session) open(ctx context.Context) (err error) {
	if err := s.declare(s.q); err != nil {
		return err
	}
	// Whoever takes the dead batches is the campaign's only coordinator.
	if s.dead, err = s.channel.Consume(s.q.dead, "", false, true, false, false, nil); err != nil {
		return fmt.Errorf("another coordinator is at work on this campaign, or died without the broker's notice: %w", err)
	}
	if err := s.takeEarly(); err != nil {
		return err
	}
	if s.answers, err = s.channel.Consume(s.q.answers, "", false, false, false, false, nil); err != nil {
		return fmt.Errorf("take answers: %w", err)
	}
	ask, err := s.channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return fmt.Errorf("declare queue for questions: %w", err)
	}
	if s.questions, err = s.channel.Consume(ask.Name, "", true, true, false, false, nil); err != nil {
		return fmt.Errorf("take questions: %w", err)
	}
	// What the broker still has of batches, and what it lost, is of no concern:
	// all that has no outcome is published anew.
	if _, err := s.channel.QueuePurge(s.q.batches, false); err != nil {
		return fmt.Errorf("empty queue %s: %w", s.q.batches, err)
	}
	inOrder := slices.SortedFunc(maps.Values(s.sent), func(a, b *sent) int { return a.number - b.number })
	for _, batch := range inOrder {
		if err := s.publishBatch(ctx, batch); err != nil {
			return err
		}
	}
	s.state = ""
	s.hello = announcement{
		Format: format, Killpoint: s.Version, Campaign: s.id, Ask: ask.Name, Generation: s.generation,
		Name: fmt.Sprintf("%s of %s", s.Campaign.Target, s.Campaign.Scenario.Name),
	}
	return s.announce(ctx)
}

// next does the next thing that there is to do. It is over when the context has
// ended.
func (s *session) next(ctx context.Context, beat <-chan time.Time) (over bool, err error) {
	var more <-chan explore.Item
	if len(s.sent) < s.window() {
		more = s.items
	}
	select {
	case <-ctx.Done():
		// What waits is left undone; what agents hold stays for --resume.
		_, err := s.channel.QueuePurge(s.q.batches, false)
		return true, err
	case reason := <-s.lost:
		return false, lostError(reason)
	case item, there := <-more:
		return false, s.take(ctx, item, there)
	case message, there := <-s.answers:
		if !there {
			return false, errors.New("the broker ended the delivery of answers")
		}
		return false, s.hear(ctx, message)
	case message, there := <-s.dead:
		if !there {
			return false, errors.New("the broker ended the delivery of dead batches")
		}
		return false, s.giveUp(ctx, message)
	case message, there := <-s.questions:
		if !there {
			return false, errors.New("the broker ended the delivery of questions")
		}
		return false, s.answer(ctx, message)
	case <-beat:
		return false, s.announce(ctx)
	}
}

// window is how many batches are on their way at a time: one that each agent
// holds, and one for it to go on with. More would only be done in vain by
// agents whose coordinator was interrupted.
func (w *work) window() int { return max(2*w.agents, 2) }

// takeEarly reads the answers that were waiting. They are acknowledged at the
// end, when their outcomes were told. It is done once: later, what is waiting
// are answers to this coordinator's own batches.
func (s *session) takeEarly() error {
	if s.began {
		return nil
	}
	holding, err := s.connection.Channel()
	if err != nil {
		return fmt.Errorf("take answers: %w", err)
	}
	last := uint64(0)
	for {
		message, more, err := holding.Get(s.q.answers, false)
		if err != nil {
			return fmt.Errorf("take answers: %w", err)
		}
		if !more {
			break
		}
		last = message.DeliveryTag
		var answer Answer
		if err := decode(message.Body, &answer); err != nil {
			s.Note("an answer cannot be read: " + err.Error())
			continue
		}
		for _, outcome := range answer.Outcomes {
			s.early[outcome.Point] = outcome
		}
	}
	s.began = true
	s.done = append(s.done, func() {
		if last > 0 && s.items == nil && len(s.pending) == 0 {
			_ = holding.Ack(last, true) // else they come again, and are known
		}
	})
	return nil
}

// take takes an item in, and publishes a batch when it is full or the last.
func (s *session) take(ctx context.Context, item explore.Item, there bool) error {
	if !there {
		s.items = nil
		return s.publishFilled(ctx)
	}
	text := item.Text(s.Campaign.Target)
	if outcome, known := s.early[text]; known {
		delete(s.early, text)
		s.tell(item, outcome)
		return nil
	}
	s.pending[text] = &place{item: item}
	s.filling = append(s.filling, item)
	if len(s.filling) < cmp.Or(s.Batch, DefaultBatch) {
		return nil
	}
	return s.publishFilled(ctx)
}

func (s *session) publishFilled(ctx context.Context) error {
	if len(s.filling) == 0 {
		return nil
	}
	batch := s.batch(s.filling)
	s.filling = nil
	return s.publishBatch(ctx, batch)
}

// batch makes a batch. It is on its way from now on: where publishing it
// fails, it is published over the next connection.
func (w *work) batch(items []explore.Item) *sent {
	w.number++
	made := &sent{number: w.number, left: len(items), Batch: Batch{
		ID: fmt.Sprintf("%s-%d", w.prefix, w.number), Timeout: time.Duration(w.Campaign.Trials().Scenario.Timeout), Items: items,
	}}
	w.sent[made.ID] = made
	for i := range items {
		w.pending[items[i].Text(w.Campaign.Target)].batch = made
	}
	return made
}

func (s *session) publishBatch(ctx context.Context, batch *sent) error {
	// Those of its points that were told meanwhile are left out.
	left := batch.Batch
	left.Items = slices.DeleteFunc(slices.Clone(left.Items), func(item explore.Item) bool {
		where := s.pending[item.Text(s.Campaign.Target)]
		return where == nil || where.batch != batch
	})
	routed, err := s.publish(ctx, "", s.q.batches, left)
	if err == nil && !routed {
		err = fmt.Errorf("queue %s is gone", s.q.batches)
	}
	return err
}

// hear takes an answer. What it tells is in the journal before the broker may
// forget it.
func (s *session) hear(ctx context.Context, message amqp.Delivery) error {
	var answer Answer
	if err := decode(message.Body, &answer); err != nil {
		s.Note("an answer cannot be read: " + err.Error())
		return message.Ack(false)
	}
	if answer.Trouble != "" {
		s.Note(fmt.Sprintf("agent %s: %s", answer.Agent, answer.Trouble))
		if batch := s.sent[answer.Batch]; batch != nil {
			batch.trouble = fmt.Sprintf("agent %s: %s", answer.Agent, answer.Trouble)
		}
	}
	for _, outcome := range answer.Outcomes {
		s.tellOnce(outcome)
		s.givenUp = 0
	}
	if ctx.Err() != nil {
		return nil // it may not have been written down
	}
	return message.Ack(false)
}

// tellOnce tells an outcome, unless it was told before: a batch whose agent
// died late is run twice.
func (w *work) tellOnce(outcome explore.Outcome) {
	where := w.pending[outcome.Point]
	if where == nil {
		return
	}
	delete(w.pending, outcome.Point)
	if where.batch != nil {
		if where.batch.left--; where.batch.left == 0 {
			delete(w.sent, where.batch.ID)
		}
	}
	w.tell(where.item, outcome)
}

// giveUp takes a batch that was delivered too often. Its points are tried one
// by one, since most of them will have done nothing; a point that was alone is
// given up.
func (s *session) giveUp(ctx context.Context, message amqp.Delivery) error {
	var dead Batch
	if err := decode(message.Body, &dead); err != nil {
		s.Note("a dead batch cannot be read: " + err.Error())
		return message.Ack(false)
	}
	batch := s.sent[dead.ID]
	if batch == nil {
		return message.Ack(false) // answered, or of an earlier coordinator
	}
	var left []explore.Item
	for _, item := range batch.Items {
		if where := s.pending[item.Text(s.Campaign.Target)]; where != nil && where.batch == batch {
			left = append(left, item)
		}
	}
	if len(batch.Items) == 1 {
		reason := fmt.Sprintf("given up: %d agents, one after the other, took it and did not come to its end", deliveryLimit+1)
		if batch.trouble != "" {
			reason += "; the last trouble was of " + batch.trouble
		}
		s.tellOnce(explore.Outcome{Point: left[0].Text(s.Campaign.Target), Status: explore.Broken, Reason: reason, Attempts: deliveryLimit + 1})
		if s.givenUp++; s.givenUp == maxGivenUp {
			return final{errors.New("one point after the other is " + reason)}
		}
	} else {
		s.Note(fmt.Sprintf("a batch of %d points was delivered %d times and not finished: they are tried one by one", len(batch.Items), deliveryLimit+1))
		delete(s.sent, batch.ID)
		var alone []*sent
		for i := range left {
			alone = append(alone, s.batch(left[i:i+1]))
		}
		for _, one := range alone {
			if err := s.publishBatch(ctx, one); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return message.Ack(false)
}

// question is what an agent asks: for the parcel, or for the recipe of a
// service's image.
type question struct {
	Recipe string `json:"recipe,omitempty"` // a service
}

// The headers of what is sent in parts.
const (
	headerLast  = "last"
	headerError = "error"
)

// answer sends an agent what it asks for, in parts.
func (s *session) answer(ctx context.Context, message amqp.Delivery) error {
	var asked question
	content := s.parcel
	err := decode(message.Body, &asked)
	if err == nil && asked.Recipe != "" {
		var found *recipe
		if found, err = s.recipe(ctx, asked.Recipe); err == nil {
			content, err = json.Marshal(found)
		}
	}
	if err == nil {
		content, err = compress(content)
	}
	if err != nil {
		_, err = s.publishBody(ctx, "", message.ReplyTo, nil, amqp.Table{headerError: err.Error(), headerLast: true})
		return err
	}
	for part := range slices.Chunk(content, partLimit) {
		content = content[len(part):]
		routed, err := s.publishBody(ctx, "", message.ReplyTo, part, amqp.Table{headerLast: len(content) == 0})
		if err != nil || !routed { // an agent that is gone wants nothing
			return err
		}
	}
	return nil
}

// announce tells agents of the campaign, and the person of agents.
func (s *session) announce(ctx context.Context) error {
	heard, err := s.publish(ctx, campaigns, "", s.hello)
	if err != nil {
		return err
	}
	queue, err := s.channel.QueueDeclarePassive(s.q.batches, true, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("look at queue %s: %w", s.q.batches, err)
	}
	s.agents = queue.Consumers
	state := fmt.Sprintf("agents at work: %d", s.agents)
	switch {
	case !heard && s.agents == 0:
		state = "no agent is there: start some with killpoint agent, on machines with an engine"
	case s.agents == 0:
		state = "no agent is at work yet: one is there and prepares, or works for another campaign"
	}
	if state != s.state {
		s.Note(state)
		s.state = state
	}
	return nil
}
