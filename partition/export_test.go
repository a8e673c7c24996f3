package partition

// ParseSlot lets the fuzz test at the journal's parser: it parses a slot and
// decodes every group in it, as recovery does.
func ParseSlot(data []byte) (groups int, end int64, err error) {
	slot, err := parseSlot("fuzzed", memorySlot(data))
	if err != nil || slot.checkpoint == nil {
		return 0, slot.end, err
	}
	for _, r := range slot.records {
		if _, err := decodeGroup(r.payload, max(slot.checkpoint.partitions, 1)); err != nil {
			return 0, slot.end, err
		}
	}
	return len(slot.records), slot.end, nil
}

type memorySlot []byte

func (s memorySlot) length() int64 { return int64(len(s)) }

func (s memorySlot) at(offset, length int64) ([]byte, error) { return s[offset:][:length], nil }

// DecodeCheckpoint and DecodeGroup let the fuzz test at the payloads, which a
// checksum shields from it otherwise.
func DecodeCheckpoint(payload []byte) ([]byte, error) {
	c, err := decodeCheckpoint(payload)
	if err != nil {
		return nil, err
	}
	return c.encode(nil), nil
}

// DecodeGroup returns the sizes of what was decoded.
func DecodeGroup(payload []byte, partitions int) (ids int, files int, data int, err error) {
	g, err := decodeGroup(payload, partitions)
	if err != nil {
		return 0, 0, 0, err
	}
	for _, f := range g.files {
		data += len(f.data)
		for _, s := range f.segments {
			if s.chunk >= len(g.ids) || s.start < f.start || s.end > f.end || s.end < s.start {
				panic("a segment is outside its file or names no chunk")
			}
		}
		if int64(len(f.data)) != f.end-f.start || f.partition >= partitions {
			panic("a file is not what its table says")
		}
	}
	return len(g.ids), len(g.files), data, nil
}

// Records returns the offsets and payloads of the records at the front of a
// slot, the checkpoint first.
func Records(data []byte) (offsets []int, payloads [][]byte) {
	for at := 0; ; {
		r, ok := parseRecord(data[at:])
		if !ok {
			return offsets, payloads
		}
		offsets, payloads = append(offsets, at), append(payloads, r.payload)
		at += int(r.size())
	}
}

// PackUUID and ParseFileName are pure functions with inverses to test.
var (
	PackUUID      = packUUID
	ParseFileName = parseFileName
	FileName      = fileName
)

// IndexEvery makes a segment of the index of so many ids, not of 131072.
func IndexEvery(o Options, ids int) Options {
	o.indexIDs = ids
	return o
}

// Beside lets a test decide when the work is done that else a goroutine of its
// own does: launch is given it, and wait comes back when it is done.
func Beside(o Options, launch func(work func()) (wait func())) Options {
	o.Sequential, o.launch = false, launch
	return o
}
