// Package record makes the records that the test programs write, so that a test can tell from the bytes alone which of them are there and how far.
package record

import (
	"bytes"
	"fmt"
)

// MaxSize bounds the length of a record.
const MaxSize = 80

// Of is the i-th record of a writer: a line of 20 to MaxSize bytes that no other record begins like.
func Of(writer, i int) []byte {
	line := fmt.Appendf(nil, "%02d:%06d:", writer, i)
	filler := 10 + (writer*31+i*17)%(MaxSize-20)
	line = append(line, bytes.Repeat([]byte{byte('a' + (writer+i)%26)}, filler)...)
	return append(line, '\n')
}

// Offset is where the i-th record of a writer stands when each writer has a region of its own for so many records.
func Offset(writer, i, records int) int64 {
	offset := int64(writer) * int64(records) * MaxSize
	for before := range i {
		offset += int64(len(Of(writer, before)))
	}
	return offset
}
