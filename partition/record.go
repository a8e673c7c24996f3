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
	last       record   // the last valid record
	cut        bool     // a torn record of this generation stands at end
}

// parseSlot reads a journal file. The records end at the first one that does
// not hold; a valid record of the same generation behind it means that the
// journal was damaged after it was written, because at most one record is
// ever unsynced.
func parseSlot(file string, data []byte) (slotContents, error) {
	first, ok := parseRecord(data)
	if !ok || first.kind != checkpointRecord {
		return slotContents{}, nil
	}
	snapshot, err := decodeCheckpoint(first.payload)
	if err != nil {
		return slotContents{generation: first.generation}, &CorruptError{File: file, Offset: 0, Reason: "checkpoint: " + err.Error()}
	}
	slot := slotContents{checkpoint: snapshot, generation: first.generation, end: first.size(), last: first}
	for {
		next, ok := parseRecord(data[slot.end:])
		if !ok || next.generation != slot.generation {
			break
		}
		if next.kind != groupRecord || next.sequence != slot.last.sequence+1 || next.previous != slot.last.checksum {
			return slot, &CorruptError{File: file, Offset: slot.end, Reason: fmt.Sprintf(
				"record %d does not follow record %d", next.sequence, slot.last.sequence)}
		}
		next.offset = slot.end
		slot.records = append(slot.records, next)
		slot.last, slot.end = next, slot.end+next.size()
	}
	tail := data[slot.end:]
	slot.cut = len(tail) >= recordHeaderBytes && bytes.HasPrefix(tail, recordMagic) &&
		binary.LittleEndian.Uint64(tail[16:]) == slot.generation
	if at, found := findRecord(tail, slot.generation); found {
		return slot, &CorruptError{File: file, Offset: slot.end, Reason: fmt.Sprintf(
			"the record here does not match its checksum, but record %d behind it, at offset %d, does, "+
				"so this is damage and not a torn write; %s",
			at.sequence, slot.end+at.offset, corruptJournalHint)}
	}
	return slot, nil
}

const corruptJournalHint = "restore the state directory from a copy, or see \"A damaged journal\" in docs/partition.md"

type foundRecord struct {
	offset   int64
	sequence uint64
}

// findRecord looks for a valid group record of at least that generation
// anywhere in data.
func findRecord(data []byte, generation uint64) (foundRecord, bool) {
	for offset := 0; ; {
		next := bytes.Index(data[offset:], recordMagic)
		if next < 0 {
			return foundRecord{}, false
		}
		offset += next
		if r, ok := parseRecord(data[offset:]); ok && r.kind == groupRecord && r.generation >= generation {
			return foundRecord{offset: int64(offset), sequence: r.sequence}, true
		}
		offset++
	}
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
