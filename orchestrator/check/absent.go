package check

import (
	"maps"
	"slices"
)

// absenceOf finds the absence that a row is in, nil when it is not absent.
func (o *oracle) absenceOf(id rowID) *absence {
	absences := o.absences[id.partition]
	at, found := slices.BinarySearchFunc(absences, id.row, func(a absence, row uint32) int {
		switch {
		case a.to <= row:
			return -1
		case a.from > row:
			return 1
		}
		return 0
	})
	if !found {
		return nil
	}
	return &absences[at]
}

// reportAbsences notes the rows that are lost: absent, required, and no part
// of a torn line either. Of a chunk that was never confirmed they may be
// absent, but only with the rest of their block.
func (o *oracle) reportAbsences() {
	lost := map[uint32]int{} // by chunk
	for _, partition := range slices.Sorted(maps.Keys(o.absences)) {
		absences := o.absences[partition]
		for i, absence := range absences {
			for row := absence.from; row < absence.to; row++ {
				if id := (rowID{partition, row}); absence.required && !o.fragments.claimed[id] {
					lost[absence.chunk]++
					o.report.lost.note(namedLine{file: -1, row: id})
				}
			}
			if len(absence.half) > 0 && !o.inPieces(partition, absences[i:]) {
				for _, line := range absence.half {
					o.report.half.note(line)
				}
			}
		}
	}
	for chunk, rows := range lost {
		o.report.lostChunks++
		if rows == int(o.sent.sizes[chunk]) {
			o.report.lostWhole++
		}
	}
}

// inPieces says whether some absent row of the first absence's block is part
// of a torn line.
func (o *oracle) inPieces(partition int, absences []absence) bool {
	for _, absence := range absences {
		if absence.chunk != absences[0].chunk {
			return false
		}
		for row := absence.from; row < absence.to; row++ {
			if o.fragments.claimed[rowID{partition, row}] {
				return true
			}
		}
	}
	return false
}
