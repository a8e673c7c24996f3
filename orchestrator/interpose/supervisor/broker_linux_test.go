package supervisor_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// brokerMessages is how many messages the test's broker delivers.
const brokerMessages = 5

// fakeBroker speaks just enough AMQP 0-9-1 for one consumer and publisher, and notes what reaches it, in order. It confirms a publish when it may.
type fakeBroker struct {
	listener net.Listener
	confirm  chan struct{} // one is taken for each confirmation; closed: always

	mu   sync.Mutex
	seen []string
}

func startBroker(t *testing.T) *fakeBroker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &fakeBroker{listener: listener, confirm: make(chan struct{})}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go b.serve(connection)
		}
	}()
	return b
}

func (b *fakeBroker) note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = append(b.seen, text)
}

func (b *fakeBroker) log() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.seen...)
}

// frame makes one frame.
func frame(kind byte, channel uint16, payload []byte) []byte {
	data := binary.BigEndian.AppendUint16([]byte{kind}, channel)
	data = binary.BigEndian.AppendUint32(data, uint32(len(payload)))
	return append(append(data, payload...), 0xce)
}

// methodFrame makes a method frame: class and number, then its arguments.
func methodFrame(channel, class, number uint16, arguments ...byte) []byte {
	payload := binary.BigEndian.AppendUint16(nil, class)
	payload = binary.BigEndian.AppendUint16(payload, number)
	return frame(1, channel, append(payload, arguments...))
}

func shortText(text string) []byte { return append([]byte{byte(len(text))}, text...) }

func longText(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

func (b *fakeBroker) serve(connection net.Conn) {
	defer connection.Close()
	header := make([]byte, 8)
	if _, err := io.ReadFull(connection, header); err != nil {
		return
	}
	start := append([]byte{0, 9, 0, 0, 0, 0}, append(longText("PLAIN"), longText("en_US")...)...)
	_, _ = connection.Write(methodFrame(0, 10, 10, start...))
	published := uint64(0)
	for {
		head := make([]byte, 7)
		if _, err := io.ReadFull(connection, head); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
		if _, err := io.ReadFull(connection, payload); err != nil {
			return
		}
		channel := binary.BigEndian.Uint16(head[1:])
		if head[0] == 3 {
			published++
			b.note("publish " + strings.TrimRight(string(payload[:len(payload)-1]), " "))
			<-b.confirm
			_, _ = connection.Write(methodFrame(channel, 60, 80, append(binary.BigEndian.AppendUint64(nil, published), 0)...))
		}
		if head[0] == 1 {
			b.answer(connection, channel, payload)
		}
	}
}

// answer answers a method; the writes go wrong only when the program is dead.
func (b *fakeBroker) answer(connection net.Conn, channel uint16, payload []byte) {
	class, number := binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:])
	switch [2]uint16{class, number} {
	case [2]uint16{10, 11}:
		_, _ = connection.Write(methodFrame(0, 10, 30, 0, 10, 0, 2, 0, 0, 0, 0))
	case [2]uint16{10, 40}:
		_, _ = connection.Write(methodFrame(0, 10, 41, 0))
	case [2]uint16{20, 10}:
		_, _ = connection.Write(methodFrame(channel, 20, 11, 0, 0, 0, 0))
	case [2]uint16{85, 10}:
		_, _ = connection.Write(methodFrame(channel, 85, 11))
	case [2]uint16{60, 20}:
		queue := payload[7 : 7+int(payload[6])]
		tag := payload[8+len(queue) : 8+len(queue)+int(payload[7+len(queue)])]
		_, _ = connection.Write(methodFrame(channel, 60, 21, shortText(string(tag))...))
		b.deliver(connection, channel, string(tag))
	case [2]uint16{60, 80}:
		b.note(fmt.Sprintf("ack %d", binary.BigEndian.Uint64(payload[4:])))
	}
}

// deliver sends every message at once, so that frames share reads. Each is longer than the first size of a socket's buffers.
func (b *fakeBroker) deliver(connection net.Conn, channel uint16, tag string) {
	var data []byte
	for i := range brokerMessages {
		name := fmt.Sprintf("message %d", i+1)
		if i == brokerMessages-1 {
			name = "last"
		}
		body := name + strings.Repeat(" ", 50_000)
		arguments := append(shortText(tag), binary.BigEndian.AppendUint64(nil, uint64(i+1))...)
		arguments = append(append(append(arguments, 0), shortText("")...), shortText("in")...)
		data = append(data, methodFrame(channel, 60, 60, arguments...)...)
		properties := binary.BigEndian.AppendUint64([]byte{0, 60, 0, 0}, uint64(len(body)))
		data = append(data, frame(2, channel, append(properties, 0, 0))...)
		data = append(data, frame(3, channel, []byte(body))...)
	}
	_, _ = connection.Write(data)
}

// amqpPoint is a point at which the program is held.
func amqpPoint(operation interpose.Operation, queue string, occurrence int, timing interpose.Timing) interpose.Point {
	return interpose.Point{ID: "point", Operation: operation, Queue: queue, Occurrence: occurrence, Timing: timing, Action: interpose.Hold}
}

func TestHoldAtFramesOfABroker(t *testing.T) {
	untilFirstAck := []string{"publish message 1", "ack 1"}
	tests := map[string]struct {
		point interpose.Point
		want  []string // what the broker has seen
	}{
		"before a publish": {amqpPoint(interpose.Publish, "out", 2, interpose.Before), untilFirstAck},
		"after a publish":  {amqpPoint(interpose.Publish, "out", 2, interpose.After), append(untilFirstAck, "publish message 2")},
		"before an ack":    {amqpPoint(interpose.Ack, "in", 2, interpose.Before), append(untilFirstAck, "publish message 2")},
		"after an ack":     {amqpPoint(interpose.Ack, "in", 2, interpose.After), append(untilFirstAck, "publish message 2", "ack 2")},
		"any queue":        {amqpPoint(interpose.Ack, "", 1, interpose.After), untilFirstAck},
	}
	for name, test := range tests {
		for _, style := range [][]string{nil, {"blocking"}} {
			t.Run(strings.Join(append([]string{name}, style...), " "), func(t *testing.T) {
				broker := startBroker(t)
				close(broker.confirm)
				p := start(t, newPlan(test.point), append([]string{target, "forward", broker.listener.Addr().String()}, style...)...)
				event := p.await(interpose.Reached)
				if event.Inexact != "" || !event.Held {
					t.Errorf("unexpected event %+v", event)
				}
				p.kill()
				waitFor(t, fmt.Sprintf("the broker has seen %q", test.want), func() bool { return len(broker.log()) >= len(test.want) })
				if difference := cmp.Diff(test.want, broker.log()); difference != "" {
					t.Error(difference)
				}
			})
		}
	}
}

func TestAfterAPublishMeansAfterTheConfirmation(t *testing.T) {
	broker := startBroker(t)
	p := start(t, newPlan(amqpPoint(interpose.Publish, "out", 1, interpose.After)), target, "forward", broker.listener.Addr().String())
	waitFor(t, "the broker has the message", func() bool { return len(broker.log()) == 1 })
	p.await(interpose.Started)
	select {
	case event := <-p.client.Events():
		t.Fatalf("event before the confirmation: %+v", event)
	case <-time.After(100 * time.Millisecond):
	}
	broker.confirm <- struct{}{}
	if event := p.await(interpose.Reached); event.Queue != "out" || event.Occurrence != 1 {
		t.Errorf("unexpected event %+v", event)
	}
}

func TestAProgramUnderFramesRunsAsWithout(t *testing.T) {
	for _, timing := range []interpose.Timing{interpose.Before, interpose.After} {
		broker := startBroker(t)
		close(broker.confirm)
		points := []interpose.Point{amqpPoint(interpose.Publish, "out", 2, timing), amqpPoint(interpose.Ack, "in", 3, timing)}
		plan := newPlan(points...)
		plan.Record = &interpose.Record{Operations: []interpose.Operation{interpose.Publish, interpose.Ack}}
		p := start(t, plan, target, "forward", broker.listener.Addr().String())
		for range points {
			p.await(interpose.Reached)
			if err := p.client.Release(withTimeout(t)); err != nil {
				t.Fatal(err)
			}
		}
		if event := p.await(interpose.Exited); event.Code != 0 {
			t.Errorf("exit code %d: %s", event.Code, p.errors())
		}
		if got := len(broker.log()); got != 2*brokerMessages && got != 2*brokerMessages-1 {
			t.Errorf("the broker has seen %d publishes and acks: %q", got, broker.log())
		}
		var recorded []string
		for _, event := range p.seen {
			if event.Kind == interpose.Op {
				recorded = append(recorded, fmt.Sprintf("%s %s %d", event.Operation, event.Queue, event.Occurrence))
			}
		}
		if want := "publish out 5"; len(recorded) != 2*brokerMessages || recorded[2*brokerMessages-2] != want {
			t.Errorf("recorded %q", recorded)
		}
	}
}

func TestFailOfAPublish(t *testing.T) {
	broker := startBroker(t)
	close(broker.confirm)
	point := interpose.Point{ID: "reset", Operation: interpose.Publish, Queue: "out", Occurrence: 2, Action: interpose.Fail, Errno: "ECONNRESET"}
	p := start(t, newPlan(point), target, "forward", broker.listener.Addr().String())
	event := p.await(interpose.Exited)
	p.exitCode()
	if event.Code == 0 || !strings.Contains(p.errors(), "connection reset by peer") {
		t.Errorf("exit code %d: %q", event.Code, p.errors())
	}
	if difference := cmp.Diff([]string{"publish message 1", "ack 1"}, broker.log()); difference != "" {
		t.Error(difference)
	}
}

func TestConnectionsThatCannotBeFollowedAreSaidToBe(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Read(make([]byte, 64))
			connection.Close()
		}
	}()
	for name, test := range map[string]struct{ bytes, want string }{
		"TLS":      {"16030102000100", "TLS"},
		"AMQP 1.0": {hex.EncodeToString([]byte("AMQP\x03\x01\x00\x00")), "another version"},
		"broken":   {hex.EncodeToString([]byte("AMQP\x00\x00\x09\x01garbage")), "not AMQP 0-9-1 frames"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, newPlan(amqpPoint(interpose.Publish, "", 1, interpose.Before)), target, "greet", listener.Addr().String(), test.bytes)
			if event := p.await(interpose.Coverage); !strings.Contains(event.Message, test.want) {
				t.Errorf("got %q, want %q in it", event.Message, test.want)
			}
			if code := p.exitCode(); code != 0 {
				t.Errorf("exit code %d: %s", code, p.errors())
			}
		})
	}
}
