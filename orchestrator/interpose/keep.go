package interpose

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Keep says how many bytes of a torn write reach the file: a number, "half", or "all-but-n". The zero value keeps none.
type Keep struct {
	bytes  int64
	half   bool
	allBut bool
}

// KeepBytes keeps exactly n bytes.
func KeepBytes(n int64) Keep { return Keep{bytes: n} }

// ParseKeep reads the text form: "11", "half" or "all-but-1".
func ParseKeep(text string) (Keep, error) {
	if text == "half" {
		return Keep{half: true}, nil
	}
	digits, allBut := strings.CutPrefix(text, "all-but-")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return Keep{}, fmt.Errorf("parse keep %q: want a number of bytes, half, or all-but-1", text)
	}
	return Keep{bytes: n, allBut: allBut}, nil
}

// String is the text form that ParseKeep reads.
func (k Keep) String() string {
	switch {
	case k.half:
		return "half"
	case k.allBut:
		return "all-but-" + strconv.FormatInt(k.bytes, 10)
	}
	return strconv.FormatInt(k.bytes, 10)
}

// Of is the number of bytes kept of a write of size bytes, between 0 and size.
func (k Keep) Of(size int64) int64 {
	kept := k.bytes
	switch {
	case k.half:
		kept = size / 2
	case k.allBut:
		kept = size - k.bytes
	}
	return min(max(kept, 0), size)
}

// MarshalJSON writes a number where the keep is one, else the text form.
func (k Keep) MarshalJSON() ([]byte, error) {
	if k.half || k.allBut {
		return json.Marshal(k.String())
	}
	return json.Marshal(k.bytes)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (k *Keep) UnmarshalJSON(data []byte) error {
	parsed, err := ParseKeep(strings.Trim(string(data), `"`))
	if err == nil {
		*k = parsed
	}
	return err
}
