package check

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// placer says which partition a row and a file belong to. A system without
// partitions has one, number 0, to which every row and file belongs.
type placer struct {
	column int // of the number, from 0; -1 without partitions
	fields int // of a row, by the header; 0 when there is none
	count  int
	file   *regexp.Regexp
}

func newPlacer(facts *scenario.Rows) (*placer, error) {
	header := csvFields([]byte(facts.Output.Header))
	place := &placer{column: -1, count: 1, fields: len(header)}
	if facts.Partition == nil {
		return place, nil
	}
	if place.column = slices.Index(header, facts.Partition.Column); place.column < 0 {
		return nil, fmt.Errorf("the header %q has no column %q, by which rows are partitioned", facts.Output.Header, facts.Partition.Column)
	}
	if place.count = facts.Partition.Count; place.count <= 0 {
		return nil, fmt.Errorf("the number of partitions (%s) is %d, not above 0", facts.Partition.Modulo, place.count)
	}
	pattern, err := regexp.Compile(facts.Partition.File)
	if err != nil {
		return nil, fmt.Errorf("read partition of a file: %w", err)
	}
	if pattern.NumSubexp() != 1 {
		return nil, fmt.Errorf("read partition of a file: /%s/ has %d groups, want one, the number", facts.Partition.File, pattern.NumSubexp())
	}
	place.file = pattern
	return place, nil
}

// home is the partition that a row belongs to, NoPartition when it has no
// whole number where one must be. A negative number's partition is the
// mathematical remainder, so that every number has one.
func (p *placer) home(row []byte) int {
	if p.column < 0 {
		return 0
	}
	field, ok := p.field(row)
	if !ok {
		return NoPartition
	}
	number, err := strconv.ParseInt(string(bytes.TrimSpace(field)), 10, 64)
	if err != nil {
		return NoPartition
	}
	count := int64(p.count)
	return int((number%count + count) % count)
}

// field gives the row's partition column; rows without quotes, nearly all,
// are not parsed any further than they must be.
func (p *placer) field(row []byte) ([]byte, bool) {
	if bytes.IndexByte(row, '"') >= 0 {
		fields := csvFields(row)
		if p.column >= len(fields) {
			return nil, false
		}
		return []byte(fields[p.column]), true
	}
	for range p.column {
		comma := bytes.IndexByte(row, ',')
		if comma < 0 {
			return nil, false
		}
		row = row[comma+1:]
	}
	if comma := bytes.IndexByte(row, ','); comma >= 0 {
		row = row[:comma]
	}
	return row, true
}

// malformed says whether a line cannot be a row of this system at all.
func (p *placer) malformed(line []byte) bool {
	if p.fields > 0 && len(csvFields(line)) != p.fields {
		return true
	}
	return p.home(line) == NoPartition
}

// ofFile is the partition that a file holds, NoPartition when its name says
// none; it may be beyond the number of partitions.
func (p *placer) ofFile(path string) int {
	if p.file == nil {
		return 0
	}
	groups := p.file.FindStringSubmatch(path)
	if groups == nil {
		return NoPartition
	}
	number, err := strconv.Atoi(groups[1])
	if err != nil || number < 0 {
		return NoPartition
	}
	return number
}

// csvFields splits one line; nil when it is no CSV.
func csvFields(line []byte) []string {
	if len(line) == 0 {
		return nil
	}
	reader := csv.NewReader(bytes.NewReader(line))
	reader.FieldsPerRecord = -1
	fields, err := reader.Read()
	if err != nil && !errors.Is(err, csv.ErrFieldCount) {
		return nil
	}
	return fields
}
