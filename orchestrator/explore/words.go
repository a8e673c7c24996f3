package explore

import (
	"strconv"
	"strings"
)

// count writes a number with its thousands apart.
func count(number int) string {
	digits := strconv.Itoa(number)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// plural is a number and its noun.
func plural(number int, noun string) string {
	switch {
	case number == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "h"):
		return count(number) + " " + noun + "es"
	}
	return count(number) + " " + noun + "s"
}
