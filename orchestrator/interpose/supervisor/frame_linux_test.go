package supervisor

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// amqp builds the bytes of one direction of a connection.
type amqp []byte

func (a *amqp) frame(kind byte, number uint16, payload []byte) {
	data := binary.BigEndian.AppendUint16([]byte{kind}, number)
	data = binary.BigEndian.AppendUint32(data, uint32(len(payload)))
	*a = append(append(append(*a, data...), payload...), frameEnd)
}

// method adds a method frame with arguments: text, uint64 for a tag, uint16 for a reserved word, byte for bits.
func (a *amqp) method(number uint16, id uint32, arguments ...any) {
	payload := binary.BigEndian.AppendUint32(nil, id)
	for _, argument := range arguments {
		switch value := argument.(type) {
		case string:
			payload = append(append(payload, byte(len(value))), value...)
		case uint64:
			payload = binary.BigEndian.AppendUint64(payload, value)
		case uint16:
			payload = binary.BigEndian.AppendUint16(payload, value)
		case byte:
			payload = append(payload, value)
		}
	}
	a.frame(frameMethod, number, payload)
}

func (a *amqp) publish(number uint16, queue, body string) {
	a.method(number, basicPublish, uint16(0), "", queue, byte(0))
	a.frame(frameHeader, number, make([]byte, 14))
	a.frame(frameBody, number, []byte(body))
}

const none, multiple = byte(0), byte(1)

// conversation is what is sent and received in turns, on two channels.
func conversation() (turns []amqp, outgoing []bool) {
	add := func(out bool, build func(*amqp)) {
		var a amqp
		build(&a)
		turns, outgoing = append(turns, a), append(outgoing, out)
	}
	add(true, func(a *amqp) {
		*a = append(*a, protocolHeader...)
		a.method(1, confirmSelect, none)
		a.method(1, basicConsume, uint16(0), "red", "tag-1", none)
		a.method(2, basicConsume, uint16(0), "blue", "", none)
		a.method(2, basicConsume, uint16(0), "automatic", "tag-3", byte(2))
		a.frame(frameHeartbeat, 0, nil)
	})
	add(false, func(a *amqp) {
		a.method(2, basicConsumeOk, "made-up")
		for tag := uint64(1); tag <= 4; tag++ {
			a.method(1, basicDeliver, "tag-1", tag, none, "", "somewhere")
			a.method(2, basicDeliver, "made-up", tag, none, "", "else")
		}
		a.method(2, basicDeliver, "tag-3", uint64(9), none, "", "")
	})
	add(true, func(a *amqp) {
		a.method(1, basicAck, uint64(2), none)
		a.publish(2, "out", "not confirmed")
		a.publish(1, "out", strings.Repeat("x", 100))
		a.method(2, basicAck, uint64(3), multiple)
		a.method(1, basicNack, uint64(1), none)
		a.publish(1, "other", "y")
		a.method(1, basicAck, uint64(0), multiple)
		a.method(2, basicAck, uint64(9), none)
		a.method(1, basicGet, uint16(0), "asked", none)
		a.method(1, basicGet, uint16(0), "empty", none)
		a.method(1, basicGet, uint16(0), "again", none)
	})
	add(false, func(a *amqp) {
		a.method(1, basicGetOk, uint64(5), none, "", "", uint16(0), uint16(0))
		a.method(1, basicGetEmpty, "")
		a.method(1, basicGetOk, uint64(6), none, "", "", uint16(0), uint16(0))
		a.method(1, basicAck, uint64(1), none)
		a.method(1, basicNack, uint64(2), none)
	})
	add(true, func(a *amqp) {
		a.method(1, basicAck, uint64(5), none)
		a.method(1, basicAck, uint64(6), none)
	})
	return turns, outgoing
}

// said is what the conversation says, however it is cut.
const said = `ack [red]
publish [out] 0
publish [out] 1
ack [blue blue blue]
publish [other] 2
ack [red red]
ack []
confirmed 1 false
confirmed 2 true
ack [asked]
ack [again]`

func TestFramesAreUnderstoodHoweverTheyAreCut(t *testing.T) {
	for _, size := range []int{1, 2, 3, 7, 8, 50, 1 << 20} {
		t.Run(fmt.Sprint(size, " bytes a call"), func(t *testing.T) {
			c := newConnection()
			var heard []string
			turns, outgoing := conversation()
			for i, turn := range turns {
				for len(turn) > 0 {
					piece := turn[:min(size, len(turn))]
					turn = turn[len(piece):]
					heard = append(heard, hear(t, c, outgoing[i], piece)...)
				}
			}
			if difference := cmp.Diff(strings.Split(said, "\n"), heard); difference != "" {
				t.Error(difference)
			}
		})
	}
}

func hear(t *testing.T, c *connection, outgoing bool, data []byte) (heard []string) {
	t.Helper()
	if !outgoing {
		confirmations, err := c.receive(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, confirmation := range confirmations {
			heard = append(heard, fmt.Sprintf("confirmed %d %v", confirmation.number, confirmation.refused))
			if !confirmation.covers(c.channel(1), confirmation.number) || confirmation.covers(c.channel(2), confirmation.number) {
				t.Error("a confirmation belongs to its own channel")
			}
		}
		return heard
	}
	found, err := c.send(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range found {
		if s.kind == kindPublish {
			heard = append(heard, fmt.Sprintf("publish %v %d", s.queues, s.number))
			continue
		}
		heard = append(heard, fmt.Sprintf("ack %v", s.queues))
	}
	return heard
}

func TestBytesThatAreNoFramesAreSaidToBeNone(t *testing.T) {
	c := newConnection()
	if _, err := c.send([]byte(protocolHeader + "\x09\x00\x00\x00\x00\x00\x00")); err == nil {
		t.Error("frame type 9: no error")
	}
	c = newConnection()
	if _, err := c.receive([]byte{frameMethod, 0, 0, 0, 0, 0, 1, 'x', 'y'}); err == nil {
		t.Error("wrong end of a frame: no error")
	}
}

func FuzzFrames(f *testing.F) {
	turns, _ := conversation()
	for _, turn := range turns {
		f.Add([]byte(turn))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		c := newConnection()
		_, _ = c.send(data)
		_, _ = c.receive(data)
	})
}

func TestConfirmationsOfSeveral(t *testing.T) {
	ch := &channel{}
	for _, test := range []struct {
		confirmation confirmation
		number       uint64
		want         bool
	}{
		{confirmation{channel: ch, number: 3}, 3, true},
		{confirmation{channel: ch, number: 3}, 2, false},
		{confirmation{channel: ch, number: 3, multiple: true}, 2, true},
		{confirmation{channel: ch, number: 3, multiple: true}, 4, false},
		{confirmation{channel: ch, number: 0, multiple: true}, 4, true},
	} {
		if got := test.confirmation.covers(ch, test.number); got != test.want {
			t.Errorf("%+v covers %d: %v", test.confirmation, test.number, got)
		}
	}
}
