// Package chunk is the message that the pipeline passes on: a chunk of a CSV
// table with an id, and the rule that puts a row into a partition. How
// messages travel is left to package queue.
package chunk

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Header is the first line of every chunk and of every partition file.
const Header = "user_id,name"

// ContentType is the AMQP content type of a chunk.
const ContentType = "text/csv"

// Row is one line of a chunk.
type Row struct {
	UserID int64
	Line   []byte // as it was sent, without its line break
}

// Chunk is one message's rows.
type Chunk struct {
	ID     string // names the delivery; two chunks with equal rows have two ids
	Client string // whose table it is; part of the partition files' names
	Rows   []Row
}

// MalformedError says why a message is no chunk. Such a message is parked, not
// tried again: it would be as malformed the next time.
type MalformedError struct{ Reason string }

func (e *MalformedError) Error() string { return "malformed chunk: " + e.Reason }

func malformed(format string, args ...any) error {
	return &MalformedError{Reason: fmt.Sprintf(format, args...)}
}

// Partition gives the partition of a user, 0 to partitions-1: the Euclidean
// remainder, so that a negative id has one too (-1 of 5 is partition 4).
func Partition(userID int64, partitions int) int {
	remainder := userID % int64(partitions)
	if remainder < 0 {
		remainder += int64(partitions)
	}
	return int(remainder)
}

// Encode is the body of a message with the given rows.
func Encode(rows []string) []byte {
	size := len(Header) + 1
	for _, row := range rows {
		size += len(row) + 1
	}
	body := make([]byte, 0, size)
	body = append(append(body, Header...), '\n')
	for _, row := range rows {
		body = append(append(body, row...), '\n')
	}
	return body
}

// Decode reads a message. The rows refer to body, which must not be changed
// while they are used. Every error is a *MalformedError.
func Decode(id, client string, body []byte) (Chunk, error) {
	return DecodeInto(nil, id, client, body)
}

// DecodeInto is Decode with the memory of rows that are not needed any more.
func DecodeInto(rows []Row, id, client string, body []byte) (Chunk, error) {
	if err := checkNames(id, client); err != nil {
		return Chunk{}, err
	}
	if !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0 {
		return Chunk{}, malformed("the body is not text")
	}
	line, rest := cutLine(body)
	if string(line) != Header {
		return Chunk{}, malformed("the body does not begin with %q", Header)
	}
	c := Chunk{ID: id, Client: client, Rows: slices.Grow(rows[:0], bytes.Count(rest, []byte{'\n'})+1)}
	for number := 2; len(rest) > 0; number++ {
		line, rest = cutLine(rest)
		userID, err := ParseRow(line)
		if err != nil {
			return Chunk{}, malformed("line %d %s", number, err)
		}
		c.Rows = append(c.Rows, Row{UserID: userID, Line: line})
	}
	if len(c.Rows) == 0 {
		return Chunk{}, malformed("there is no row under the header")
	}
	return c, nil
}

// checkNames keeps out ids that a line of a state file, and clients that a
// file name, cannot hold.
func checkNames(id, client string) error {
	if id == "" {
		return malformed("there is no id (AMQP message-id)")
	}
	if len(id) > 255 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r == 0x7f }) || !utf8.ValidString(id) {
		return malformed("the id %.40q holds blanks or control characters, or more than 255 bytes", id)
	}
	if client == "" {
		return malformed("there is no client_id header")
	}
	unfit := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}
	if len(client) > 64 || strings.ContainsFunc(client, unfit) {
		return malformed("the client_id %.40q is not made of letters, digits, - and _, or is longer than 64", client)
	}
	return nil
}

// cutLine splits off the first line, without its line break (LF or CRLF).
func cutLine(text []byte) (line, rest []byte) {
	end := bytes.IndexByte(text, '\n')
	if end < 0 {
		line = text
	} else {
		line, rest = text[:end], text[end+1:]
	}
	if last := len(line) - 1; last >= 0 && line[last] == '\r' {
		line = line[:last]
	}
	return line, rest
}

// ParseRow gives the user id of one line with the two columns of Header.
func ParseRow(line []byte) (userID int64, err error) {
	if userID, plain := parsePlain(line); plain {
		return userID, nil
	}
	return parseAny(line)
}

// plainDigits is how many digits an int64 holds, whichever they are.
const plainDigits = 18

// parsePlain reads a row as nearly all are: digits, a comma, and a name in
// which nothing has a meaning of its own. What it does not take may still be a
// row.
func parsePlain(line []byte) (userID int64, plain bool) {
	comma := 0
	for comma < len(line) && line[comma]-'0' <= 9 {
		userID = 10*userID + int64(line[comma]-'0')
		comma++
	}
	if comma == 0 || comma > plainDigits || comma == len(line) || line[comma] != ',' {
		return 0, false
	}
	for _, c := range line[comma+1:] {
		if c == ',' || c == '"' || c == '\r' {
			return 0, false
		}
	}
	return userID, true
}

func parseAny(line []byte) (userID int64, err error) {
	if bytes.IndexByte(line, '\r') >= 0 {
		return 0, errors.New("holds a line break")
	}
	first, name, found := bytes.Cut(line, []byte{','})
	switch {
	case bytes.IndexByte(line, '"') >= 0:
		fields, err := csv.NewReader(bytes.NewReader(line)).Read()
		if err != nil {
			return 0, fmt.Errorf("is not CSV: %q", shorten(line))
		}
		found, first, name = len(fields) == 2, []byte(fields[0]), nil
	case bytes.IndexByte(name, ',') >= 0:
		found = false
	}
	if !found {
		return 0, fmt.Errorf("does not have two columns: %q", shorten(line))
	}
	userID, err = strconv.ParseInt(string(first), 10, 64)
	if err != nil || first[0] == '+' {
		return 0, fmt.Errorf("has no whole number as user_id: %q", shorten(line))
	}
	return userID, nil
}

func shorten(line []byte) string {
	if len(line) > 60 {
		return string(line[:60]) + "…"
	}
	return string(line)
}
