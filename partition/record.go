package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A journal record, all numbers little-endian:
//
//	 0  magic       8 bytes
//	 8  kind        1 byte, then 3 zero bytes
//	12  length      uint32, bytes of the payload
//	16  generation  uint64, of the slot that holds it
//	24  sequence    uint64, counts all records of the directory
//	32  previous    uint32, checksum of the record before it in the slot
//	36  checksum    uint32, CRC-32C of bytes 8..36 and of the payload
//	40  payload
//
// The generation tells a record from the remains of an earlier use of the
// slot, and the chain of checksums from a record that was once torn. The magic
// holds line breaks, which no row, id, prefix or header can hold, so nothing
// that a sender puts into a chunk is ever taken for the start of a record.
const recordHeaderBytes = 40

var recordMagic = []byte("\r\nKPJ1\r\n")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type recordKind uint8

const (
	checkpointRecord recordKind = 1 // the first record of a slot, and only there
	groupRecord      recordKind = 2
	settledRecord    recordKind = 3 // the checkpoint of its slot, a pending one, is durable now; no payload
)

type record struct {
	kind       recordKind
	generation uint64
	sequence   uint64
	previous   uint32
	checksum   uint32
	payload    []byte
	offset     int64 // in the slot, where parseSlot read it
}

// size is the record's length in the journal, in bytes.
func (r record) size() int64 { return recordHeaderBytes + int64(len(r.payload)) }

// startRecord reserves the header in front of a payload that is appended next.
func startRecord(buffer []byte) []byte {
	return append(buffer[:0], make([]byte, recordHeaderBytes)...)
}

// sealRecord fills in the header of a record whose payload stands behind the
// reserved bytes, and returns its checksum.
func sealRecord(buffer []byte, kind recordKind, generation, sequence uint64, previous uint32) uint32 {
	copy(buffer, recordMagic)
	binary.LittleEndian.PutUint32(buffer[8:], uint32(kind))
	binary.LittleEndian.PutUint32(buffer[12:], uint32(len(buffer)-recordHeaderBytes))
	binary.LittleEndian.PutUint64(buffer[16:], generation)
	binary.LittleEndian.PutUint64(buffer[24:], sequence)
	binary.LittleEndian.PutUint32(buffer[32:], previous)
	checksum := recordChecksum(buffer)
	binary.LittleEndian.PutUint32(buffer[36:], checksum)
	return checksum
}

func recordChecksum(whole []byte) uint32 {
	return crc32.Update(crc32.Checksum(whole[8:36], castagnoli), castagnoli, whole[recordHeaderBytes:])
}

// parseRecord reads the record at the start of data. ok is false when there is
// no whole record whose checksum holds.
func parseRecord(data []byte) (r record, ok bool) {
	if len(data) < recordHeaderBytes || !bytes.HasPrefix(data, recordMagic) {
		return record{}, false
	}
	length := uint64(binary.LittleEndian.Uint32(data[12:]))
	if length > uint64(len(data)-recordHeaderBytes) {
		return record{}, false
	}
	whole := data[:recordHeaderBytes+length]
	r = record{
		kind:       recordKind(data[8]),
		generation: binary.LittleEndian.Uint64(data[16:]),
		sequence:   binary.LittleEndian.Uint64(data[24:]),
		previous:   binary.LittleEndian.Uint32(data[32:]),
		checksum:   binary.LittleEndian.Uint32(data[36:]),
		payload:    whole[recordHeaderBytes:],
	}
	if data[9]|data[10]|data[11] != 0 || recordChecksum(whole) != r.checksum {
		return record{}, false
	}
	return r, true
}

// slotContents is what one journal file holds.
type slotContents struct {
	checkpoint *checkpoint // nil when the slot begins with no valid one
	generation uint64
	records    []record // the groups behind the checkpoint
	end        int64    // where the last valid record ends
	first      record   // the checkpoint's
	last       record   // the last valid record
	cut        bool     // a torn record of this generation stands at end
	settled    bool     // the other slot is not needed
}

// parseSlot reads a journal file. The records end at the first one that does
// not hold; a valid record of the same generation behind it means that the
// journal was damaged after it was written, because at most one record is
// ever unsynced.
func parseSlot(file string, data slotBytes) (slotContents, error) {
	first, ok, err := recordAt(data, 0)
	if err != nil || !ok || first.kind != checkpointRecord {
		return slotContents{}, err
	}
	snapshot, err := decodeCheckpoint(first.payload)
	if err != nil {
		return slotContents{generation: first.generation}, &CorruptError{File: file, Offset: 0, Reason: "checkpoint: " + err.Error()}
	}
	slot := slotContents{checkpoint: snapshot, generation: first.generation, end: first.size(), first: first, last: first, settled: !snapshot.pending}
	for {
		next, ok, err := recordAt(data, slot.end)
		if err != nil {
			return slot, err
		}
		if !ok || next.generation != slot.generation {
			break
		}
		settles := next.kind == settledRecord && !slot.settled && len(next.payload) == 0
		if next.kind != groupRecord && !settles || next.sequence != slot.last.sequence+1 || next.previous != slot.last.checksum {
			return slot, &CorruptError{File: file, Offset: slot.end, Reason: fmt.Sprintf(
				"record %d does not follow record %d", next.sequence, slot.last.sequence)}
		}
		next.payload = bytes.Clone(next.payload)
		if settles {
			slot.settled = true
		} else {
			slot.records = append(slot.records, next)
		}
		slot.last, slot.end = next, slot.end+next.size()
	}
	if data.length()-slot.end >= recordHeaderBytes {
		header, err := data.at(slot.end, recordHeaderBytes)
		if err != nil {
			return slot, err
		}
		slot.cut = bytes.HasPrefix(header, recordMagic) && binary.LittleEndian.Uint64(header[16:]) == slot.generation
	}
	at, found, err := findRecord(data, slot.end, slot.generation)
	if err != nil {
		return slot, err
	}
	if found {
		return slot, &CorruptError{File: file, Offset: slot.end, Reason: fmt.Sprintf(
			"the record here does not match its checksum, but record %d behind it, at offset %d, does, "+
				"so this is damage and not a torn write; %s",
			at.sequence, at.offset, corruptJournalHint)}
	}
	return slot, nil
}

const corruptJournalHint = "restore the state directory from a copy, or see \"A damaged journal\" in docs/partition.md"

// slotBytes are the bytes of a journal file.
type slotBytes interface {
	length() int64
	// at gives bytes that are there; they are valid until the next call.
	at(offset, length int64) ([]byte, error)
}

// recordAt reads the record at an offset. ok is false when there is no whole
// record whose checksum holds. Its payload is valid until data is used again.
func recordAt(data slotBytes, offset int64) (r record, ok bool, err error) {
	left := data.length() - offset
	if left < recordHeaderBytes {
		return record{}, false, nil
	}
	header, err := data.at(offset, recordHeaderBytes)
	if err != nil || !bytes.HasPrefix(header, recordMagic) {
		return record{}, false, err
	}
	size := recordHeaderBytes + int64(binary.LittleEndian.Uint32(header[12:]))
	if size > left {
		return record{}, false, nil
	}
	whole, err := data.at(offset, size)
	if err != nil {
		return record{}, false, err
	}
	r, ok = parseRecord(whole)
	r.offset = offset
	return r, ok, nil
}

// findRecord looks for a valid record of at least that generation, but for a
// checkpoint, anywhere from an offset on.
func findRecord(data slotBytes, offset int64, generation uint64) (found record, ok bool, err error) {
	for data.length()-offset >= recordHeaderBytes {
		window, err := data.at(offset, min(data.length()-offset, slotWindowBytes))
		if err != nil {
			return record{}, false, err
		}
		next := bytes.Index(window, recordMagic)
		if next < 0 {
			offset += int64(len(window) - len(recordMagic) + 1)
			continue
		}
		offset += int64(next)
		if newer := len(window)-next < recordHeaderBytes || binary.LittleEndian.Uint64(window[next+16:]) >= generation; newer {
			r, ok, err := recordAt(data, offset)
			if err != nil || ok && r.kind != checkpointRecord && r.generation >= generation {
				return r, ok, err
			}
		}
		offset++
	}
	return record{}, false, nil
}

const slotWindowBytes = 1 << 20

// slotFile reads a journal file through a window, so that its size costs no
// memory.
type slotFile struct {
	file   File
	size   int64
	start  int64 // of the window
	window []byte
	memory []byte
}

func (s *slotFile) length() int64 { return s.size }

func (s *slotFile) at(offset, length int64) ([]byte, error) {
	if offset < s.start || offset+length > s.start+int64(len(s.window)) {
		size := min(max(length, slotWindowBytes), s.size-offset)
		if int64(len(s.memory)) < size {
			s.memory = make([]byte, size)
		}
		s.window = nil
		if err := readFull(s.file, s.memory[:size], offset); err != nil {
			return nil, err
		}
		s.start, s.window = offset, s.memory[:size]
	}
	return s.window[offset-s.start:][:length], nil
}

// decoder reads a payload from its front; after the first failure it returns
// zeros and keeps the error.
type decoder struct {
	data []byte
	err  error
}

var errTruncated = errors.New("payload ends too early")

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.data = nil
}

func (d *decoder) number() uint64 {
	value, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.fail(errTruncated)
		return 0
	}
	d.data = d.data[n:]
	return value
}

// size reads a length or an offset in bytes.
func (d *decoder) size() int64 {
	value := d.number()
	if value > 1<<62 {
		d.fail(fmt.Errorf("size %d is out of range", value))
		return 0
	}
	return int64(value)
}

// count reads how many items follow, each of at least one byte, so that a
// damaged count cannot ask for more memory than the payload explains.
func (d *decoder) count() int {
	value := d.number()
	if value > uint64(len(d.data)) {
		d.fail(errTruncated)
		return 0
	}
	return int(value)
}

// below reads a number that indexes limit things.
func (d *decoder) below(limit int) int {
	value := d.number()
	if value >= uint64(limit) {
		d.fail(fmt.Errorf("index %d is out of range, there are %d", value, limit))
		return 0
	}
	return int(value)
}

func (d *decoder) checksum() uint32 {
	if len(d.data) < 4 {
		d.fail(errTruncated)
		return 0
	}
	value := binary.LittleEndian.Uint32(d.data)
	d.data = d.data[4:]
	return value
}

func (d *decoder) text() string { return string(d.bytes()) }

func (d *decoder) bytes() []byte {
	length := d.count()
	if length > len(d.data) {
		d.fail(errTruncated)
		return nil
	}
	value := d.data[:length]
	d.data = d.data[length:]
	return value
}

func appendText(buffer []byte, text string) []byte {
	return append(binary.AppendUvarint(buffer, uint64(len(text))), text...)
}
