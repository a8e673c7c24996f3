package partition

import (
	"encoding/hex"
	"fmt"
)

// idSet remembers which chunks were written. It is small so that a bounded
// index on disk can take the place of the memory.
type idSet interface {
	has(id string) bool
	add(id string)
	len() int
}

// memoryIDs keeps every id in memory. A UUID in its usual form costs 16 bytes
// and no string, which is most of what a set of ids would hold.
type memoryIDs struct {
	uuids  map[[16]byte]struct{}
	others map[string]struct{}
}

func newMemoryIDs() *memoryIDs {
	return &memoryIDs{uuids: map[[16]byte]struct{}{}, others: map[string]struct{}{}}
}

func (s *memoryIDs) has(id string) bool {
	if uuid, ok := packUUID(id); ok {
		_, found := s.uuids[uuid]
		return found
	}
	_, found := s.others[id]
	return found
}

func (s *memoryIDs) add(id string) {
	if uuid, ok := packUUID(id); ok {
		s.uuids[uuid] = struct{}{}
		return
	}
	s.others[id] = struct{}{}
}

func (s *memoryIDs) len() int { return len(s.uuids) + len(s.others) }

// packUUID turns the lower-case form of a UUID into its bytes. Any other
// spelling is another id, so it is not packed.
func packUUID(id string) (packed [16]byte, ok bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return packed, false
	}
	var digits [32]byte
	n := 0
	for i := range len(id) {
		switch c := id[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
			if n == len(digits) {
				return packed, false
			}
			digits[n] = c
			n++
		case c != '-':
			return packed, false
		}
	}
	if n != len(digits) {
		return packed, false
	}
	_, err := hex.Decode(packed[:], digits[:])
	return packed, err == nil
}

// appendID appends an entry of the id log: a length byte and the id.
func appendID(log []byte, id string) []byte {
	return append(append(log, byte(len(id))), id...)
}

// eachID calls f for every entry of an id log. A torn or empty entry is an
// error, because the log's length and checksum were recorded after it was
// synced.
func eachID(log []byte, f func(id string)) error {
	for at := 0; at < len(log); {
		length := int(log[at])
		if length == 0 || at+1+length > len(log) {
			return fmt.Errorf("entry at offset %d is torn", at)
		}
		f(string(log[at+1 : at+1+length]))
		at += 1 + length
	}
	return nil
}
