package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/killpoint/killpoint/workers/chunk"
	"github.com/killpoint/killpoint/workers/queue"
	amqp "github.com/rabbitmq/amqp091-go"
)

// sent is what the test-runner's record says.
type sent struct {
	rows      map[string][]string // by chunk
	confirmed map[string]int
	again     int
	malformed []string
	done      bool
}

func (p *pipeline) sent() sent {
	p.Helper()
	text, err := os.ReadFile(p.env["SENT_FILE"])
	if err != nil {
		p.Fatal(err)
	}
	s := sent{rows: map[string][]string{}, confirmed: map[string]int{}}
	for _, raw := range bytes.Split(bytes.TrimSpace(text), []byte{'\n'}) {
		var line struct {
			Chunk, Confirmed, Reason string
			Rows                     []string
			Again, Done              bool
			Malformed                *string
		}
		if err := json.Unmarshal(raw, &line); err != nil {
			p.Fatalf("record: %v: %s", err, raw)
		}
		switch {
		case line.Again:
			s.again++
		case line.Chunk != "":
			if s.rows[line.Chunk] != nil {
				p.Errorf("the record has the first attempt of %s twice", line.Chunk)
			}
			s.rows[line.Chunk] = line.Rows
		case line.Confirmed != "":
			s.confirmed[line.Confirmed]++
		case line.Malformed != nil:
			s.malformed = append(s.malformed, line.Reason)
		case line.Done:
			s.done = true
		}
	}
	return s
}

// expectRows expects every row that was sent in its partition, once for each
// time that a chunk has it, and nothing else.
func (p *pipeline) expectRows(partitions int) {
	p.Helper()
	want := make([][]string, partitions)
	for id, rows := range p.sent().rows {
		c, err := chunk.Decode(id, "TEST", chunk.Encode(rows))
		if err != nil {
			p.Fatal(err)
		}
		for _, row := range c.Rows {
			to := chunk.Partition(row.UserID, partitions)
			want[to] = append(want[to], string(row.Line))
		}
	}
	for partition := range partitions {
		text, err := os.ReadFile(p.file(partition))
		if err != nil {
			p.Fatal(err)
		}
		got := strings.Split(string(text), "\n")
		if got[0] != chunk.Header || got[len(got)-1] != "" {
			p.Errorf("partition %d begins with %q and ends with %q", partition, got[0], got[len(got)-1])
		}
		got = got[1 : len(got)-1]
		slices.Sort(got)
		slices.Sort(want[partition])
		if !slices.Equal(got, want[partition]) {
			p.Errorf("partition %d has %d rows, want %d:\n%q\n%q", partition, len(got), len(want[partition]), got, want[partition])
		}
	}
	p.start("verify").exit(0)
}

// Everything that the test-runner can send goes through all workers.
func TestAllOfThePipeline(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{
		"ENTRY": "worker-1", "NUM_CHUNKS": "40", "NUM_PARTITIONS": "7", "DUPLICATE_EVERY": "5", "MALFORMED": "6", "MAX_GROUP": "8",
	})
	worker1, worker2, worker3 := p.start("worker-1"), p.start("worker-2"), p.start("worker-3")
	runner := p.start("test-runner")
	runner.exit(0)
	worker3.wait(48, "SUCCESS [")
	worker2.wait(48, "Completed processing chunk")

	p.expectRows(7)
	s := p.sent()
	if len(s.rows) != 40 || len(s.confirmed) != 40 || s.again != 8 || len(s.malformed) != 6 || !s.done {
		t.Errorf("the record has %d chunks, %d confirmed, %d again, %d malformed, done=%v", len(s.rows), len(s.confirmed), s.again, len(s.malformed), s.done)
	}
	for id := range s.rows {
		if worker3.count("SUCCESS ["+id+"]") == 0 {
			t.Errorf("no SUCCESS for %s", id)
		}
	}
	if n := worker3.count("FAILURE"); n > 0 {
		t.Errorf("%d failures", n)
	}
	if n := worker2.count("Worker 2: Skipping duplicate chunk"); n != 8 {
		t.Errorf("%d duplicates skipped, want 8", n)
	}
	if n := runner.count("Sent chunk"); n != 48 {
		t.Errorf("the runner says of %d chunks that they were sent, want 48", n)
	}
	// worker-1 has kept the malformed messages from worker-2.
	parked := shared.drain(t, p.env["QUEUE_0_1"]+".rejected")
	if len(parked) != 6 || worker1.count("Rejected message") != 6 {
		t.Errorf("%d messages are parked and %d logged, want 6", len(parked), worker1.count("Rejected message"))
	}
	for _, m := range parked {
		if reason, _ := m.Headers["reason"].(string); reason == "" || m.Headers["client_id"] != "TEST" {
			t.Errorf("parked with headers %v", m.Headers)
		}
	}
	for _, w := range []*process{worker1, worker2, worker3} {
		w.stop()
	}
	p.start("verify").exit(0)
}

// What is malformed between good chunks of one group is parked, and the good
// ones are written.
func TestMalformedMessagesAtWorker2(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{"MALFORMED": "9", "NUM_PARTITIONS": "2"})
	p.start("test-runner").exit(0)
	worker2, worker3 := p.start("worker-2"), p.start("worker-3")
	worker3.wait(20, "SUCCESS [")
	worker2.wait(9, "Worker 2: Rejected message")
	worker2.wait(3, "Rejected message (no id): there is no id")
	worker2.wait(20, "Completed processing chunk")
	p.expectRows(2)
	worker2.stop()
	if parked := shared.drain(t, p.env["QUEUE_1_2"]+".rejected"); len(parked) != 9 {
		t.Errorf("%d messages are parked, want 9", len(parked))
	}
	if left := shared.drain(t, p.env["QUEUE_1_2"]); len(left) != 0 {
		t.Errorf("%d messages are left", len(left))
	}
}

// While the broker confirms what worker-2 forwarded of one group, the next one
// is written; yet groups are acknowledged one after the other, and each once
// all of it is confirmed.
func TestGroupsOverlap(t *testing.T) {
	const chunks = 100
	p := newPipeline(t, shared, map[string]string{"NUM_CHUNKS": fmt.Sprint(chunks), "MAX_GROUP": "4"})
	p.start("test-runner").exit(0) // all of them wait
	worker2 := p.start("worker-2")
	worker2.wait(chunks, "Completed processing chunk")
	worker2.stop()
	var begun, completed []string
	overlaps := 0
	for _, line := range worker2.all() {
		if id, is := strings.CutPrefix(line, "Worker 2: Processing chunk "); is {
			begun = append(begun, id)
		} else if id, is := strings.CutPrefix(line, "Worker 2: Completed processing chunk "); is {
			completed = append(completed, id)
		} else {
			continue
		}
		switch open := len(begun) - len(completed); {
		case open > 8:
			t.Fatalf("%d chunks are under way, want at most two groups of 4", open)
		case open > 4:
			overlaps++
		}
	}
	if !slices.Equal(begun, completed) {
		t.Errorf("completed in the order %q, want %q", completed, begun)
	}
	if overlaps == 0 {
		t.Error("no group was begun before the one before it was acknowledged")
	}
}

// A group that cannot be worked on is delivered again; the one before, which
// is done, is not.
func TestFailedGroupLeavesTheOneBeforeAcknowledged(t *testing.T) {
	p := newPipeline(t, shared, nil)
	from, channel, done := p.env["QUEUE_1_2"], shared.channel(t), 0
	trouble := errors.New("no space left")
	err := queue.New(queue.Options{URL: shared.url(), Log: t.Logf}).Run(t.Context(), []string{from}, func(s *queue.Session) error {
		for range 4 {
			if err := channel.Publish("", from, false, false, amqp.Publishing{}); err != nil {
				return err
			}
		}
		return s.Each(t.Context(), from, 2, func() {}, func(group []queue.Delivery) (queue.Left, error) {
			if done > 0 {
				return queue.Left{}, trouble
			}
			done = len(group)
			for { // until the others have come
				if waiting, err := s.Waiting(from); waiting == 0 || err != nil {
					return queue.Left{}, err
				}
			}
		})
	})
	if !errors.Is(err, trouble) {
		t.Fatalf("got %v, want %v", err, trouble)
	}
	left := 0
	for end := time.Now().Add(10 * time.Second); left < 4-done && time.Now().Before(end); { // the broker takes them back in its own time
		left += len(shared.drain(t, from))
	}
	if left != 4-done {
		t.Errorf("%d messages are left of 4, of which %d were done", left, done)
	}
}

// A malformed message goes to where it can be looked at, just as it came.
func TestParkedMessageIsWhole(t *testing.T) {
	p := newPipeline(t, shared, nil)
	worker2 := p.start("worker-2")
	worker2.wait(1, "Ready")
	err := shared.channel(t).Publish("", p.env["QUEUE_1_2"], false, false, amqp.Publishing{
		MessageId: "strange", ContentType: "application/x-strange", Body: []byte("\xff\x00strange"),
		Headers: amqp.Table{"client_id": "TEST", "other": "kept", "reason": "an old one"},
	})
	if err != nil {
		t.Fatal(err)
	}
	worker2.wait(1, "Worker 2: Rejected message strange: the body is not text")
	worker2.stop()
	parked := shared.drain(t, p.env["QUEUE_1_2"]+".rejected")
	if len(parked) != 1 {
		t.Fatalf("%d messages are parked, want 1", len(parked))
	}
	m := parked[0]
	if string(m.Body) != "\xff\x00strange" || m.MessageId != "strange" || m.ContentType != "application/x-strange" ||
		m.Headers["other"] != "kept" || m.Headers["reason"] != "the body is not text" {
		t.Errorf("parked as %+v", m)
	}
}

// worker-2 is killed after rows were written, and again, and goes on each time.
func TestWorker2IsKilled(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{"NUM_CHUNKS": "150", "MAX_GROUP": "2", "WINDOW": "4", "RATE": "100"})
	worker3 := p.start("worker-3")
	worker3.wait(1, "Ready")
	runner := p.start("test-runner")
	for range 3 {
		worker2 := p.start("worker-2")
		worker2.wait(12, "Worker 2: Wrote partition")
		worker2.kill()
	}
	worker2 := p.start("worker-2")
	runner.exit(0)
	for id := range p.sent().rows {
		worker3.wait(1, "SUCCESS ["+id+"]")
	}
	if worker3.count("FAILURE") > 0 {
		t.Error("there are failures")
	}
	p.expectRows(5)
	worker2.stop()
	if left := shared.drain(t, p.env["QUEUE_1_2"]); len(left) != 0 {
		t.Errorf("%d messages are left", len(left))
	}
}

// A chunk whose rows were written by an earlier life is not written again, but
// forwarded, since the earlier life may have died before it did that.
func TestWrittenChunkIsForwardedAgain(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{"NUM_CHUNKS": "3", "DUPLICATE_EVERY": "1"})
	p.start("test-runner").exit(0)
	worker2 := p.start("worker-2")
	worker2.wait(6, "Completed processing chunk")
	worker2.stop()
	if forwarded := shared.drain(t, p.env["QUEUE_2_3"]); len(forwarded) != 6 {
		t.Errorf("%d messages are forwarded, want 6", len(forwarded))
	}
	// Another life gets everything once more.
	if err := os.Remove(p.env["SENT_FILE"]); err != nil {
		t.Fatal(err)
	}
	p.start("test-runner").exit(0)
	worker2 = p.start("worker-2")
	worker2.wait(6, "Completed processing chunk")
	if n := worker2.count("Skipping duplicate chunk"); n != 6 {
		t.Errorf("%d chunks skipped, want 6", n)
	}
	if n := worker2.count("Wrote partition"); n != 0 {
		t.Errorf("%d partitions written again", n)
	}
	worker2.stop()
	if forwarded := shared.drain(t, p.env["QUEUE_2_3"]); len(forwarded) != 6 {
		t.Errorf("%d messages are forwarded by the second life, want 6", len(forwarded))
	}
	p.expectRows(5)
}

// SIGTERM: the chunks in hand are finished, the others stay in the queue.
func TestWorker2IsStopped(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{"NUM_CHUNKS": "400", "MAX_GROUP": "4"})
	worker2 := p.start("worker-2")
	runner := p.start("test-runner")
	worker2.wait(3, "Completed processing chunk")
	worker2.stop()
	runner.exit(0)
	begun, completed := worker2.count("Processing chunk"), worker2.count("Completed processing chunk")
	if begun != completed || completed == 400 {
		t.Errorf("%d chunks begun, %d completed; want all of those begun, and not all 400", begun, completed)
	}
	left, forwarded := shared.drain(t, p.env["QUEUE_1_2"]), shared.drain(t, p.env["QUEUE_2_3"])
	if len(left) != 400-completed || len(forwarded) != completed {
		t.Errorf("%d messages are left and %d forwarded of 400, %d completed", len(left), len(forwarded), completed)
	}
	p.start("verify").exit(0)
}

// The test-runner is killed and run again: nothing is missing, and the record
// says all that was attempted.
func TestTestRunnerIsKilled(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{"NUM_CHUNKS": "60", "RATE": "50"})
	worker2, worker3 := p.start("worker-2"), p.start("worker-3")
	runner := p.start("test-runner")
	runner.wait(10, "Sent chunk")
	runner.kill()
	if s := p.sent(); s.done || len(s.rows) == 60 {
		t.Fatalf("the runner was done before it was killed: %d chunks", len(s.rows))
	}
	p.start("test-runner").exit(0)
	for id := range p.sent().rows {
		worker3.wait(1, "SUCCESS ["+id+"]")
	}
	s := p.sent()
	if !s.done || len(s.rows) != 60 || len(s.confirmed) != 60 {
		t.Errorf("done=%v, %d chunks, %d confirmed", s.done, len(s.rows), len(s.confirmed))
	}
	p.expectRows(5)
	worker2.stop()
}

// The window holds the sender up while nobody takes what it sends.
func TestWindow(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{"NUM_CHUNKS": "12", "WINDOW": "5"})
	runner := p.start("test-runner")
	runner.wait(5, "Sent chunk")
	channel := shared.channel(t)
	for watched := time.Now(); time.Since(watched) < 300*time.Millisecond; {
		state, err := channel.QueueDeclarePassive(p.env["QUEUE_1_2"], false, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if state.Messages != 5 {
			t.Fatalf("%d messages wait, want the window's 5", state.Messages)
		}
	}
	worker2 := p.start("worker-2")
	runner.exit(0)
	worker2.wait(12, "Completed processing chunk")
}

// Fed one by one, each chunk is sent when the one before was judged, and a death
// of any worker neither loses the word nor waits for it for ever. Second
// deliveries and malformed messages do not stop the feed either.
func TestFeedOne(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{
		"FEED": "one", "MAX_GROUP": "1", "NUM_CHUNKS": "60", "DUPLICATE_EVERY": "4", "MALFORMED": "4",
	})
	runner := p.start("test-runner")
	runner.wait(1, "Sent chunk")
	worker2, worker3 := p.start("worker-2"), p.start("worker-3")
	for killed := range 4 {
		worker3.wait(3, "SUCCESS [")
		if killed%2 == 0 {
			worker3.kill()
			worker3 = p.start("worker-3")
		} else {
			worker2.kill()
			worker2 = p.start("worker-2")
		}
	}
	runner.exit(0)
	if s := p.sent(); len(s.rows) != 60 || len(s.confirmed) != 60 || !s.done {
		t.Errorf("%d chunks, %d confirmed, done = %v", len(s.rows), len(s.confirmed), s.done)
	}
	if runner.count("Sent chunk") != 75 {
		t.Errorf("the runner says of %d chunks that they were sent, want 60 and 15 again", runner.count("Sent chunk"))
	}
	if n := worker3.count("FAILURE"); n > 0 {
		t.Errorf("%d failures", n)
	}
	p.expectRows(5)
}

// Nothing is sent while the chunk before was not judged.
func TestFeedOneWaits(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{"FEED": "one", "NUM_CHUNKS": "3"})
	worker2 := p.start("worker-2")
	runner := p.start("test-runner")
	worker2.wait(1, "Completed processing chunk")
	channel := shared.channel(t)
	say := func(id string) {
		if err := channel.Publish("", p.env["QUEUE_3_DONE"], false, false, amqp.Publishing{MessageId: id}); err != nil {
			t.Fatal(err)
		}
	}
	first := shared.drain(t, p.env["QUEUE_2_3"])[0].MessageId
	say("another")
	for watched := time.Now(); time.Since(watched) < 200*time.Millisecond; {
		if n := len(p.sent().rows); n != 1 {
			t.Fatalf("%d chunks are sent, and none was judged", n)
		}
	}
	say(first)
	worker2.wait(2, "Completed processing chunk")
	say(first) // once more, as after a death
	second := shared.drain(t, p.env["QUEUE_2_3"])[0].MessageId
	say(second)
	worker2.wait(3, "Completed processing chunk")
	say(shared.drain(t, p.env["QUEUE_2_3"])[0].MessageId)
	runner.exit(0)
}

// A connection that is lost while a chunk is waited for has it sent again, and
// recorded as confirmed once.
func TestFeedOneIsConnectedAgain(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{"FEED": "one", "NUM_CHUNKS": "4"})
	runner := p.start("test-runner")
	runner.wait(1, "Sent chunk")
	if _, err := shared.channel(t).QueueDelete(p.env["QUEUE_3_DONE"], false, false, false); err != nil {
		t.Fatal(err)
	}
	runner.wait(1, "queue "+p.env["QUEUE_3_DONE"]+" was deleted")
	runner.wait(2, "Connected to")
	p.start("worker-2")
	p.start("worker-3")
	runner.exit(0)
	s := p.sent()
	if len(s.rows) != 4 || s.again != 1 || runner.count("Sent chunk") != 4 || runner.count("Sent 4 chunks, 40 rows") != 1 {
		t.Errorf("%d chunks, %d again, %d told", len(s.rows), s.again, runner.count("Sent chunk"))
	}
	for id, n := range s.confirmed {
		if n != 1 {
			t.Errorf("%s is confirmed %d times", id, n)
		}
	}
	p.expectRows(5)
}

// Stopped before it is done, the test-runner says so.
func TestTestRunnerIsStopped(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{"NUM_CHUNKS": "1000", "RATE": "50"})
	runner := p.start("test-runner")
	runner.wait(2, "Sent chunk")
	runner.signal(syscall.SIGTERM)
	runner.exit(1)
	runner.wait(1, "stopped before everything was confirmed")
}

// A queue that is deleted under the workers is made again.
func TestQueueIsDeleted(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{"NUM_CHUNKS": "1", "ENTRY": "worker-1"})
	worker1, worker2 := p.start("worker-1"), p.start("worker-2")
	worker1.wait(1, "Ready")
	worker2.wait(1, "Ready")
	channel := shared.channel(t)
	if _, err := channel.QueueDelete(p.env["QUEUE_2_3"], false, false, false); err != nil {
		t.Fatal(err)
	}
	p.start("test-runner").exit(0)
	worker2.wait(1, "queue "+p.env["QUEUE_2_3"]+" is gone")
	worker2.wait(2, "Ready")
	worker2.wait(1, "Skipping duplicate chunk")
	worker2.wait(1, "Completed processing chunk")
	if _, err := channel.QueueDelete(p.env["QUEUE_1_2"], false, false, false); err != nil {
		t.Fatal(err)
	}
	worker2.wait(1, "queue "+p.env["QUEUE_1_2"]+" was deleted")
	worker2.wait(3, "Ready")
	worker2.stop()
	if forwarded := shared.drain(t, p.env["QUEUE_2_3"]); len(forwarded) != 1 {
		t.Errorf("%d messages are forwarded, want 1", len(forwarded))
	}
	p.expectRows1Chunk()
}

// expectRows1Chunk expects the rows of one chunk, which need not fill every
// partition.
func (p *pipeline) expectRows1Chunk() {
	p.Helper()
	rows := 0
	for partition := range 5 {
		text, err := os.ReadFile(p.file(partition))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			p.Fatal(err)
		}
		rows += bytes.Count(text, []byte{'\n'}) - 1
	}
	if rows != 10 {
		p.Errorf("%d rows are there, want 10", rows)
	}
}

// The broker is killed in the middle of the work and comes back.
func TestBrokerIsKilled(t *testing.T) {
	if short() {
		t.Skip("-short: no broker")
	}
	own, remove, err := startBroker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	p := newPipeline(t, own, map[string]string{"NUM_CHUNKS": "400", "RATE": "100", "QUEUE_DURABLE": "true", "ENTRY": "worker-1", "VERIFY_TIMEOUT": "5s"})
	workers := []*process{p.start("worker-1"), p.start("worker-2"), p.start("worker-3")}
	runner := p.start("test-runner")
	workers[2].wait(20, "SUCCESS [")
	if err := docker("kill", own.name); err != nil {
		t.Fatal(err)
	}
	for _, w := range append(workers, runner) {
		w.wait(1, "trying again in")
	}
	if err := docker("start", own.name); err != nil {
		t.Fatal(err)
	}
	runner.exit(0)
	for id := range p.sent().rows {
		workers[2].wait(1, "SUCCESS ["+id+"]")
	}
	if workers[2].count("FAILURE") > 0 {
		t.Error("there are failures")
	}
	p.expectRows(5)
	for _, w := range workers {
		w.stop()
	}
}

// Workers start before the broker does, and stop while they wait for it.
func TestNoBroker(t *testing.T) {
	p := newPipeline(t, shared, map[string]string{"RABBITMQ_URL": "amqp://kp:kp@127.0.0.1:1/"})
	for _, command := range []string{"worker-1", "worker-2", "worker-3"} {
		w := p.start(command)
		w.wait(2, "connect to 127.0.0.1:1")
		w.stop()
	}
}

func TestBrokerRefuses(t *testing.T) {
	p := newPipeline(t, shared, nil)
	w := p.start("worker-1", fmt.Sprintf("RABBITMQ_URL=amqp://kp:wrong@127.0.0.1:%d/", shared.port))
	w.exit(1)
	w.wait(1, "RABBITMQ_DEFAULT_USER")

	other := p.start("worker-1", fmt.Sprintf("RABBITMQ_URL=amqp://kp:kp@127.0.0.1:%d/nowhere", shared.port))
	other.wait(1, "virtual host")
	other.stop()

	first := p.start("worker-1")
	first.wait(1, "Ready")
	durable := p.start("worker-2", "QUEUE_DURABLE=true")
	durable.exit(1)
	durable.wait(1, "give every worker the same QUEUE_DURABLE")
	first.stop()
}

// A directory keeps its number of partitions.
func TestOtherPartitionCount(t *testing.T) {
	p := newPipeline(t, shared, nil)
	first := p.start("worker-2")
	first.wait(1, "Ready")
	first.stop()
	second := p.start("worker-2", "NUM_PARTITIONS=6")
	second.exit(2)
	second.wait(1, "NUM_PARTITIONS=6")
}

// Two writers on one directory: the second one says what is wrong.
func TestSecondWriter(t *testing.T) {
	p := newPipeline(t, shared, nil)
	first := p.start("worker-2")
	first.wait(1, "Ready")
	second := p.start("worker-2")
	second.exit(1)
	second.wait(1, "another writer")
	first.stop()
}
