package draft

import (
	"regexp"
	"strings"
)

// plain is text that YAML takes for text without quotes, also in braces.
var plain = regexp.MustCompile(`^(\.\./)*[A-Za-z_/][A-Za-z0-9_./-]*$`)

// otherwise is what looks plain and means something else to YAML.
var otherwise = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|null|y|n)$`)

// Scalar writes a text as YAML, with quotes where it needs them.
func Scalar(text string) string {
	if plain.MatchString(text) && !otherwise.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// prose writes a sentence as YAML.
func prose(text string) string {
	if strings.Contains(text, ": ") || strings.Contains(text, " #") {
		return Scalar(text)
	}
	return text
}

func list(texts []string) string {
	written := make([]string, len(texts))
	for i, text := range texts {
		written[i] = Scalar(text)
	}
	return "[" + strings.Join(written, ", ") + "]"
}

// and lists names as a sentence does.
func and(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
