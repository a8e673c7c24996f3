package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

// Engine is what an agent runs trials on: explore.Machine, or a fake in tests.
type Engine interface {
	Open(context.Context, explore.Lane) (explore.Runner, error)
	// Fingerprint identifies an image; "" where the engine does not have it.
	Fingerprint(ctx context.Context, image string) (string, error)
}

// Agent runs the points of campaigns, one campaign after the other, on its own
// engine. It does what the broker's messages say: whoever may publish there
// runs containers on that engine.
type Agent struct {
	URL     string // of the broker; never printed
	Name    string
	Version string // of killpoint
	Engine  Engine
	Lanes   int
	Judge   func(*scenario.Scenario, *history.History) check.Verdict // nil: check.Judge
	// Note is told what a person must know.
	Note func(string)

	job *job
	// kept are answers to batches that were not acknowledged: where the
	// connection was lost, they are delivered again, and need not be run again.
	kept map[string]*Answer
	// refused is why it took no part in a campaign.
	refused refusal
}

type refusal struct {
	campaign, reason string
	until            time.Time
}

// job is a campaign that an agent takes part in.
type job struct {
	campaign string
	parcel   *Parcel
	lanes    *explore.Lanes
	folder   string
}

// closeTime bounds the removal of containers.
const closeTime = time.Minute

// Run works until the context ends, whose error it then gives, or until the
// engine gives trouble.
func (a *Agent) Run(ctx context.Context) error {
	defer a.leave(ctx)
	return connected(ctx, a.URL, "agent "+a.Name, a.Note, func(l *link) error { return a.listen(ctx, l) })
}

// listen works over one connection. Its lanes outlive it.
func (a *Agent) listen(ctx context.Context, l *link) error {
	own, err := l.channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return fmt.Errorf("declare queue for campaigns: %w", err)
	}
	if err := l.channel.QueueBind(own.Name, "", campaigns, false, nil); err != nil {
		return fmt.Errorf("listen for campaigns: %w", err)
	}
	messages, err := l.channel.Consume(own.Name, "", true, true, false, false, nil)
	if err != nil {
		return fmt.Errorf("listen for campaigns: %w", err)
	}
	heard := make(chan announcement)
	go func() {
		defer close(heard)
		for message := range messages {
			var hello announcement
			if err := decode(message.Body, &hello); err != nil {
				continue // of another version
			}
			select {
			case heard <- hello:
			default: // nobody listens: the next comes soon
			}
		}
	}()
	if a.job == nil {
		a.Note("waiting for a campaign")
	} else {
		a.Note("connected again")
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case reason := <-l.lost:
			return lostError(reason)
		case hello, there := <-heard:
			if !there {
				return errors.New("the broker ended the delivery of campaigns")
			}
			if err := a.serve(ctx, l, hello, heard); err != nil {
				return err
			}
		}
	}
}

// serve takes part in a campaign until it is over.
func (a *Agent) serve(ctx context.Context, l *link, hello announcement, heard <-chan announcement) error {
	if a.refused.campaign == hello.Campaign && time.Now().Before(a.refused.until) {
		return nil
	}
	q := queuesOf(hello.Campaign, hello.Generation)
	if a.job == nil || a.job.campaign != hello.Campaign {
		a.leave(ctx)
		if err := a.join(ctx, l, hello); err != nil {
			if ctx.Err() != nil || l.connection.IsClosed() {
				return err
			}
			return a.refuse(ctx, l, hello, err)
		}
		a.refused = refusal{}
		a.Note(fmt.Sprintf("taking part in %s (%s), %d runs side by side", hello.Name, hello.Campaign, a.Lanes))
	}
	// A channel of its own: closing it gives back what was not acknowledged.
	channel, err := l.connection.Channel()
	if err != nil {
		return fmt.Errorf("take batches: %w", err)
	}
	defer channel.Close()
	if err := channel.Qos(1, 0, false); err != nil {
		return fmt.Errorf("take one batch at a time: %w", err)
	}
	batches, err := channel.Consume(q.batches, "", false, false, false, false, nil)
	if isMissing(err) {
		a.over(ctx, hello)
		return nil
	}
	if err != nil {
		return fmt.Errorf("take batches: %w", err)
	}
	last := time.Now()
	look := time.NewTicker(silence / 10)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case reason := <-l.lost:
			return lostError(reason)
		case other, there := <-heard:
			switch {
			case !there:
				heard = nil // the connection is about to be lost
			case other.Campaign != hello.Campaign:
			case other.Generation != hello.Generation:
				return nil // to begin again with the new queues
			default:
				last = time.Now()
			}
		case <-look.C:
			if time.Since(last) > silence {
				a.Note(fmt.Sprintf("leaving %s, of which nothing is heard any more", hello.Name))
				a.leave(ctx)
				return nil
			}
		case message, there := <-batches:
			if !there {
				if l.connection.IsClosed() {
					return errors.New("the connection to the broker was lost")
				}
				a.over(ctx, hello)
				return nil
			}
			if err := a.do(ctx, l, q, message); err != nil {
				return err
			}
			last = time.Now()
		}
	}
}

// over ends the part in a campaign that has ended.
func (a *Agent) over(ctx context.Context, hello announcement) {
	a.Note(fmt.Sprintf("%s is over", hello.Name))
	a.leave(ctx)
}

// refuse tells why the agent does not take part, and looks again later.
func (a *Agent) refuse(ctx context.Context, l *link, hello announcement, cause error) error {
	told := a.refused.campaign == hello.Campaign && a.refused.reason == cause.Error()
	a.refused = refusal{hello.Campaign, cause.Error(), time.Now().Add(again)}
	if told {
		return nil
	}
	a.Note(fmt.Sprintf("not taking part in %s: %v", hello.Name, cause))
	_, err := l.publish(ctx, "", queuesOf(hello.Campaign, hello.Generation).answers, Answer{Agent: a.Name, Trouble: "it does not take part: " + cause.Error()})
	return err
}

// join asks for what the campaign needs and opens lanes.
func (a *Agent) join(ctx context.Context, l *link, hello announcement) (err error) {
	switch {
	case hello.Format != format:
		return fmt.Errorf("its messages have format %d, this killpoint reads %d: use the same version on both sides", hello.Format, format)
	case hello.Killpoint != a.Version:
		return fmt.Errorf("it is run by killpoint %s, this one is %s: use the same version on both sides", hello.Killpoint, a.Version)
	}
	j := &job{campaign: hello.Campaign}
	if j.folder, err = os.MkdirTemp("", "killpoint-fleet-"); err != nil {
		return fmt.Errorf("create folder for the campaign: %w", err)
	}
	a.job, a.kept = j, map[string]*Answer{}
	defer func() {
		if err != nil {
			a.leave(ctx)
		}
	}()
	text, err := l.ask(ctx, hello.Ask, question{})
	if err != nil {
		return err
	}
	if j.parcel, err = unpack(text, hello.Campaign, j.folder); err != nil {
		return err
	}
	built, err := a.bringRecipes(ctx, l, hello.Ask)
	if err != nil {
		return err
	}
	if err := a.openLanes(ctx); err != nil {
		return err
	}
	for image, recorded := range j.parcel.Images {
		here, err := a.Engine.Fingerprint(ctx, image)
		if err != nil {
			return err
		}
		if recorded != "" && here != recorded && !built[image] {
			return fmt.Errorf("image %s of this engine is not the one that was recorded with: bring it from the coordinator's engine (docker save %[1]s | docker load)", image)
		}
	}
	return nil
}

// bringRecipes asks for what those images are built from that the engine does
// not have, or has another one of, where the compose file says how. It names
// them.
func (a *Agent) bringRecipes(ctx context.Context, l *link, ask string) (built map[string]bool, err error) {
	built = map[string]bool{}
	p := a.job.parcel
	for i := range p.System.Services {
		service := &p.System.Services[i]
		if service.Build == nil {
			continue
		}
		if service.Image != "" {
			here, err := a.Engine.Fingerprint(ctx, service.Image)
			if err != nil {
				return nil, err
			}
			// What was recorded without the image does not need it.
			if recorded := p.Images[service.Image]; recorded == "" || here == recorded {
				continue
			}
		}
		a.Note(fmt.Sprintf("building %s of %s, which this engine does not have as it was recorded with", service.Image, service.Name))
		text, err := l.ask(ctx, ask, question{Recipe: service.Name})
		if err != nil {
			return nil, err
		}
		var r recipe
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("read the recipe of %s: %w", service.Name, err)
		}
		if service.Build, err = r.unpack(filepath.Join(a.job.folder, "recipes", service.Name)); err != nil {
			return nil, err
		}
		service.PullPolicy = "build"
		built[service.Image] = true
	}
	return built, nil
}

// openLanes opens runners for the campaign.
func (a *Agent) openLanes(ctx context.Context) error {
	p := a.job.parcel
	lane := explore.Lane{Loaded: suite.Loaded{Scenario: p.Scenario, System: p.System}, Target: p.Target, Model: p.Model, Way: p.Way}
	runners, err := explore.OpenLanes(ctx, a.Lanes, func(ctx context.Context) (explore.Runner, error) { return a.Engine.Open(ctx, lane) })
	if err != nil {
		return err
	}
	a.job.lanes = &explore.Lanes{Runners: runners}
	return nil
}

// closeLanes removes containers, even when the context has ended.
func (a *Agent) closeLanes(ctx context.Context) {
	if a.job.lanes == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	if err := a.job.lanes.Close(ctx); err != nil {
		a.Note(err.Error())
	}
	a.job.lanes = nil
}

// leave ends the part in a campaign.
func (a *Agent) leave(ctx context.Context) {
	if a.job == nil {
		return
	}
	a.closeLanes(ctx)
	if err := os.RemoveAll(a.job.folder); err != nil {
		a.Note(err.Error())
	}
	a.job = nil
}

// do runs a batch, hands its answer in, and only then lets go of it.
func (a *Agent) do(ctx context.Context, l *link, q queues, message amqp.Delivery) error {
	var batch Batch
	if err := decode(message.Body, &batch); err != nil {
		a.Note(err.Error())
		return message.Reject(false) // to the dead ones
	}
	answer := a.kept[batch.ID]
	if answer == nil {
		var err error
		if answer, err = a.run(ctx, &batch); err != nil {
			return err
		}
	}
	if answer.Trouble == "" {
		a.kept[batch.ID] = answer
	}
	if _, err := l.publish(ctx, "", q.answers, answer); err != nil {
		return err
	}
	if answer.Trouble == "" {
		if err := message.Ack(false); err != nil {
			return err
		}
		delete(a.kept, batch.ID)
		return nil
	}
	// What an engine in trouble did not do, another one may.
	if err := message.Nack(false, true); err != nil {
		return err
	}
	a.Note(answer.Trouble + "; starting anew")
	a.closeLanes(ctx)
	if err := a.openLanes(ctx); err != nil {
		return final{err}
	}
	return nil
}

// run runs the items of a batch. Those that are broken are no outcomes: that is
// this engine's trouble, and others may have none.
func (a *Agent) run(ctx context.Context, batch *Batch) (*Answer, error) {
	p := a.job.parcel
	sc := *p.Scenario
	sc.Timeout = scenario.Duration(batch.Timeout)
	a.job.lanes.Trials = &explore.Trials{Scenario: &sc, Target: p.Target, Recording: p.Recording, Judge: a.Judge}
	items := make(chan explore.Item, len(batch.Items))
	for _, item := range batch.Items {
		items <- item
	}
	close(items)
	answer := &Answer{Batch: batch.ID, Agent: a.Name}
	err := a.job.lanes.Work(ctx, items, func(_ explore.Item, outcome explore.Outcome) {
		if outcome.Status == explore.Broken {
			answer.Trouble = outcome.Reason
			return
		}
		answer.Outcomes = append(answer.Outcomes, outcome)
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		answer.Trouble = err.Error()
	}
	return answer, nil
}

// ask asks the coordinator and waits for all parts of what it says.
func (l *link) ask(ctx context.Context, queue string, what question) ([]byte, error) {
	const replies = "amq.rabbitmq.reply-to"
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	channel, err := l.connection.Channel()
	if err != nil {
		return nil, fmt.Errorf("ask the coordinator: %w", err)
	}
	defer channel.Close()
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	parts, err := channel.Consume(replies, "", true, true, false, false, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the coordinator: %w", err)
	}
	body, err := encode(what)
	if err != nil {
		return nil, err
	}
	if err := channel.PublishWithContext(ctx, "", queue, true, false, amqp.Publishing{ReplyTo: replies, Body: body}); err != nil {
		return nil, fmt.Errorf("ask the coordinator: %w", err)
	}
	var content []byte
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("ask the coordinator: no answer came: %w", ctx.Err())
		case <-returns:
			return nil, errors.New("ask the coordinator: it is gone")
		case part, there := <-parts:
			if !there {
				return nil, errors.New("ask the coordinator: the connection to the broker was lost")
			}
			if text, wrong := part.Headers[headerError].(string); wrong {
				return nil, fmt.Errorf("ask the coordinator: %s", text)
			}
			content = append(content, part.Body...)
			if last, _ := part.Headers[headerLast].(bool); last {
				return decompress(content)
			}
		}
	}
}

// askTime is the longest that an agent waits for the whole of an answer.
const askTime = 2 * time.Minute
