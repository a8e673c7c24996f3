package partition

import "fmt"

// memoryIDs keeps every id in memory. A UUID in its usual form costs 16 bytes
// and no string, which is most of what a set of ids would hold.
type memoryIDs struct {
	uuids  map[[16]byte]struct{}
	others map[string]struct{}
}

func newMemoryIDs() *memoryIDs {
	return &memoryIDs{uuids: map[[16]byte]struct{}{}, others: map[string]struct{}{}}
}

func (s *memoryIDs) has(id string) bool { return s.hasKey(keyOf(id)) }

func (s *memoryIDs) hasKey(id idKey) bool {
	if s == nil {
		return false
	}
	if id.isUUID {
		_, found := s.uuids[id.uuid]
		return found
	}
	_, found := s.others[id.text]
	return found
}

func (s *memoryIDs) add(id string) { s.addKey(keyOf(id)) }

func (s *memoryIDs) addKey(id idKey) {
	if id.isUUID {
		s.uuids[id.uuid] = struct{}{}
		return
	}
	s.others[id.text] = struct{}{}
}

func (s *memoryIDs) len() int { return len(s.uuids) + len(s.others) }

// idKey is an id in the form in which memory holds it.
type idKey struct {
	text   string
	uuid   [16]byte // the id, where it is one
	isUUID bool
}

func keyOf(id string) idKey {
	uuid, ok := packUUID(id)
	return idKey{text: id, uuid: uuid, isUUID: ok}
}

// packUUID turns the lower-case form of a UUID into its bytes. Any other
// spelling is another id, so it is not packed.
func packUUID(id string) (packed [16]byte, ok bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return packed, false
	}
	seen := byte(0)
	for i, at := range uuidDigits {
		high, low := hexDigits[id[at]], hexDigits[id[at+1]]
		packed[i] = high<<4 | low
		seen |= high | low
	}
	if seen > 0xf {
		return [16]byte{}, false
	}
	return packed, true
}

// uuidDigits is where each byte of a UUID stands in its text.
var uuidDigits = [16]uint8{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// hexDigits gives the value of a lower-case digit, and 0xff for all else.
var hexDigits = func() (values [256]byte) {
	for i := range values {
		values[i] = 0xff
	}
	for value, digit := range []byte("0123456789abcdef") {
		values[digit] = byte(value)
	}
	return values
}()

// appendID appends an entry of the id log: a length byte and the id.
func appendID(log []byte, id string) []byte {
	return append(append(log, byte(len(id))), id...)
}

// logReader reads the id log from one of its entries on.
type logReader struct {
	file   File
	path   string
	at     extent // of what was given out
	buffer []byte // that was read behind at
	memory []byte
}

func newLogReader(file File, path string, from extent) *logReader {
	return &logReader{file: file, path: path, at: from}
}

const logReadBytes = 256 << 10

// next gives the next entry's id, which is valid until the call after. end is
// how long the log is; the entry must not reach beyond it.
func (l *logReader) next(end int64) ([]byte, error) {
	if length := 1 + MaxIDBytes; len(l.buffer) < length && l.at.size+int64(len(l.buffer)) < end {
		if l.memory == nil {
			l.memory = make([]byte, logReadBytes)
		}
		kept := copy(l.memory, l.buffer)
		l.buffer = l.memory[:min(int64(len(l.memory)), end-l.at.size)]
		if err := readFull(l.file, l.buffer[kept:], l.at.size+int64(kept)); err != nil {
			return nil, fmt.Errorf("read %s: %w", l.path, err)
		}
	}
	if len(l.buffer) == 0 || l.buffer[0] == 0 || int(l.buffer[0]) >= len(l.buffer) {
		return nil, &CorruptError{File: l.path, Offset: l.at.size, Reason: "the entry is torn; " + corruptIDsHint}
	}
	entry := l.buffer[:1+int(l.buffer[0])]
	l.buffer = l.buffer[len(entry):]
	l.at = l.at.extend(entry)
	return entry[1:], nil
}

const corruptIDsHint = "restore the state directory from a copy"

// each gives every id up to an end of the log, and where its entry begins. What
// was read must match the checksum there.
func (l *logReader) each(to extent, f func(id []byte, place int64)) error {
	for l.at.size < to.size {
		place := l.at.size
		id, err := l.next(to.size)
		if err != nil {
			return err
		}
		f(id, place)
	}
	if l.at != to {
		return &CorruptError{File: l.path, Offset: 0, Reason: "the chunk ids do not match their checksum; " + corruptIDsHint}
	}
	return nil
}
