package scenario

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

const (
	keepPattern = `^(half|all-but-[1-9][0-9]*|0|[1-9][0-9]*)$`
	half        = "half"
	allBut      = "all-but-"
)

var keepText = regexp.MustCompile(keepPattern)

// checkKeep takes what can be left of a write that is torn: 11, half or
// all-but-1.
func checkKeep(text string) (wrong, hint string) {
	digits := strings.TrimPrefix(text, allBut)
	count, err := strconv.Atoi(digits)
	if keepText.MatchString(text) && (text == half || err == nil && count <= countLimit) {
		return "", ""
	}
	switch {
	case text == allBut+"0", text == "all":
		return fmt.Sprintf("%s tears nothing", text), "write timing: after, for when all of it was written"
	case err == nil && count > countLimit:
		return fmt.Sprintf("%s is too much", text), fmt.Sprintf("at most %d bytes", countLimit)
	}
	return quote(text) + " is not a part of a write", "write a number of bytes, half, or all-but-1 (2, 3, …)"
}
