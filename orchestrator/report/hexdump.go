package report

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// hexdump is some bytes of a file, line by line: where the line begins, the
// bytes in hexadecimal, and as text where they are printable. Before the byte
// at the cut stands the mark, in both.
func hexdump(some *Bytes, cut *int64, mark string) []string {
	content, err := hex.DecodeString(some.Hex)
	if err != nil {
		return nil
	}
	at := int64(-1)
	if cut != nil {
		at = *cut
	}
	end := some.From + int64(len(content))
	var lines []string
	for start := some.From; start < end; start += lineBytes {
		var codes, text strings.Builder
		next := start + lineBytes
		for place := start; place <= next; place++ {
			if place == start+lineBytes/2 {
				codes.WriteByte(' ')
			}
			// A cut behind the last byte of all stands in the line of that byte.
			if place == at && (place < min(next, end) || place == end) {
				codes.WriteString(mark)
				text.WriteString(mark)
			} else {
				codes.WriteByte(' ')
			}
			switch {
			case place == next:
			case place >= end:
				codes.WriteString("  ")
			default:
				char := content[place-some.From]
				fmt.Fprintf(&codes, "%02x", char)
				text.WriteByte(visible(char))
			}
		}
		lines = append(lines, fmt.Sprintf("%08x %s |%s|", start, codes.String(), text.String()))
	}
	return lines
}

// visible is a byte as a hexdump shows it beside the codes.
func visible(char byte) byte {
	if char < ' ' || char > '~' {
		return '.'
	}
	return char
}

// near gives the lines around the one that holds the cut, or the last ones
// when there is no cut.
func near(lines []string, some *Bytes, cut *int64, before, after int) []string {
	if len(lines) == 0 {
		return nil
	}
	line := len(lines) - 1
	if cut != nil && *cut >= some.From {
		line = min(line, int((*cut-some.From)/lineBytes))
	}
	return lines[max(0, line-before):min(len(lines), line+after+1)]
}
