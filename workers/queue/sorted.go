package queue

import (
	"cmp"
	"errors"

	"github.com/killpoint/killpoint/workers/chunk"
)

// Decoded is a delivery that is a chunk.
type Decoded struct {
	Delivery
	Chunk chunk.Chunk
}

// Sort decodes a group and parks what is malformed, so that it neither loops
// nor keeps good chunks from being worked on. The group may be acknowledged
// once every returned message has arrived. rejected is told of each parked one.
// The rows of the chunks are good until the next call.
func (s *Session) Sort(from string, group []Delivery, rejected func(id, reason string)) ([]Decoded, []*Pending, error) {
	decoded := make([]Decoded, 0, len(group))
	var parked []*Pending
	for _, d := range group {
		if len(decoded) == len(s.rows) {
			s.rows = append(s.rows, nil)
		}
		rows := &s.rows[len(decoded)]
		c, err := chunk.DecodeInto(*rows, d.ID, d.Client, d.Body)
		var malformed *chunk.MalformedError
		if errors.As(err, &malformed) {
			pending, err := s.Park(from, d, malformed.Reason)
			if err != nil {
				return nil, nil, err
			}
			parked = append(parked, pending)
			rejected(cmp.Or(d.ID, "(no id)"), malformed.Reason)
			continue
		}
		*rows = c.Rows
		decoded = append(decoded, Decoded{d, c})
	}
	return decoded, parked, nil
}

// WaitAll returns nil when all of the messages have arrived.
func WaitAll(messages []*Pending) error {
	for _, m := range messages {
		if err := m.Wait(); err != nil {
			return err
		}
	}
	return nil
}
