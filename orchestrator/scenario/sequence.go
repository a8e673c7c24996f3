package scenario

import (
	"errors"
	"fmt"
	"strings"
)

// Sequence is several crash points in the order in which they are come to:
// a crash, and a crash during the recovery from it. One alone is a sequence
// too.
type Sequence []Point

// sequenceLimit bounds a sequence, as faults bound a scenario.
const sequenceLimit = 100

// Then stands between the texts of two points of a sequence.
const Then = ":then:"

// String gives the sequence in its text form, which ParseSequence reads and
// which a shell takes as one word without quotes:
//
//	worker-2:write:/data/a.csv:7:+11:then:worker-2:read:/data/a.csv:1:before:i2
func (s Sequence) String() string {
	texts := make([]string, len(s))
	for i, point := range s {
		texts[i] = point.String()
	}
	return strings.Join(texts, Then)
}

// ParseSequence reads what Sequence.String wrote: one crash point, or several.
func ParseSequence(text string) (Sequence, error) {
	var sequence Sequence
	rest := text
	for {
		one, more, found := cutPoint(rest)
		point, err := ParsePoint(one)
		if err != nil {
			return nil, err
		}
		sequence = append(sequence, point)
		if !found {
			return sequence, nil
		}
		if len(sequence) == sequenceLimit {
			return nil, fmt.Errorf("read crash points: more than %d in a row", sequenceLimit)
		}
		if more == "" {
			return nil, fmt.Errorf("read crash points %q: %w", text, errors.New("nothing comes after then"))
		}
		rest = more
	}
}

// cutPoint takes the first point off a sequence's text. The word then is
// looked for behind the parts that every point has: a queue may be called so.
func cutPoint(text string) (point, rest string, found bool) {
	at := 0
	for range pointParts {
		next := strings.IndexByte(text[at:], ':')
		if next < 0 {
			return text, "", false
		}
		at += next + 1
	}
	// Behind the last of them stands what only some points have, or then.
	behind := at - 1
	if next := strings.Index(text[behind:], Then); next >= 0 {
		return text[:behind+next], text[behind+next+len(Then):], true
	}
	return text, "", false
}

// Kills gives the faults that crash a service at each of the points in turn.
func (s Sequence) Kills() []Fault {
	faults := make([]Fault, len(s))
	for i, point := range s {
		faults[i] = point.Kill()
	}
	return faults
}

// Units is the unit of work that the last of the crashes comes in, where the
// sequence is of a chain: each life handles a unit, and each crash but the last
// one makes one life more.
func (s Sequence) Units() int { return max(s[len(s)-1].Incarnation-len(s)+1, 1) }
