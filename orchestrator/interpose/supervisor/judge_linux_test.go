package supervisor_test

import (
	"bytes"
	"fmt"
	"os"

	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/interpose/supervisor/testdata/record"
)

// checkAppended judges a file to which all writers appended, by its bytes alone: all records before the planned one are there and whole, the planned bytes of one more follow, and nothing else.
func checkAppended(data []byte, point interpose.Point) error {
	next := make([]int, writers)
	for whole := 0; whole < point.Occurrence-1; whole++ {
		writer, size, err := match(data, next)
		if err != nil {
			return fmt.Errorf("record %d of %d: %w", whole+1, point.Occurrence-1, err)
		}
		next[writer]++
		data = data[size:]
	}
	return checkTorn(data, next, point)
}

// match finds the writer whose next record the data begins with.
func match(data []byte, next []int) (writer, size int, err error) {
	for writer, i := range next {
		if want := record.Of(writer, i); bytes.HasPrefix(data, want) {
			return writer, len(want), nil
		}
	}
	return 0, 0, fmt.Errorf("no writer's next record: %.40q", data)
}

// planned is how many bytes of a record, or block, of a size the point is to leave.
func planned(point interpose.Point, size int) int {
	switch point.Timing {
	case interpose.Before:
		return 0
	case interpose.After:
		return size
	}
	return int(point.Keep.Of(int64(size)))
}

// checkTorn judges what is left: the beginning of one writer's next record, of the planned length.
func checkTorn(rest []byte, next []int, point interpose.Point) error {
	for writer, i := range next {
		whole := record.Of(writer, i)
		if bytes.Equal(rest, whole[:planned(point, len(whole))]) {
			return nil
		}
	}
	return fmt.Errorf("%d bytes after the last whole record, want the start of one: %q", len(rest), rest)
}

// checkPlaced judges a file in which each writer has a region of its own.
func checkPlaced(data []byte, point interpose.Point) error {
	next := make([]int, writers)
	whole := 0
	var rest []byte
	for writer := range next {
		region := data[min(len(data), int(record.Offset(writer, 0, records))):min(len(data), int(record.Offset(writer+1, 0, records)))]
		for next[writer] < records && bytes.HasPrefix(region, record.Of(writer, next[writer])) {
			region = region[len(record.Of(writer, next[writer])):]
			next[writer]++
			whole++
		}
		rest = append(rest, bytes.TrimRight(region, "\x00")...)
	}
	want := point.Occurrence - 1
	if point.Timing == interpose.After {
		want++ // the planned record is whole, too, and cannot be told from the others
		point = interpose.Point{Timing: interpose.Before}
	}
	if whole != want {
		return fmt.Errorf("%d whole records, want %d", whole, want)
	}
	return checkTorn(rest, next, point)
}

// checkCopied judges a file that dd writes: the first bytes of its input, up to the planned one.
func checkCopied(data []byte, point interpose.Point) error {
	input, err := os.ReadFile("testdata/programs/records.c")
	if err != nil {
		return err
	}
	if len(input) < blocks*blockSize {
		return fmt.Errorf("the input has %d bytes, want %d blocks of %d", len(input), blocks, blockSize)
	}
	size := (point.Occurrence-1)*blockSize + planned(point, blockSize)
	if !bytes.Equal(data, input[:size]) {
		return fmt.Errorf("%d bytes, want the first %d of the input", len(data), size)
	}
	return nil
}
