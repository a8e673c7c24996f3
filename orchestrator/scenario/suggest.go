package scenario

import (
	"fmt"
	"slices"
	"strings"
)

// didYouMean gives a hint that names the known word nearest to a wrong one;
// where none is near, it lists them, as what kind of word is missing.
func didYouMean(wrong string, known []string, what string) string {
	if near := nearest(wrong, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %s", what, strings.Join(known, ", "))
}

// meant is what people call things that have one name here.
var meant = map[string]string{
	"fdatasync": "fsync", "open": "create", "link": "create", "symlink": "create", "move": "rename",
	"delete": "unlink", "remove": "unlink", "rmdir": "unlink", "publish": "amqp", "ack": "amqp", "error": "errno",
}

// nearest gives the known word that wrong was most likely meant to be, or "".
// Words that differ only in case, dashes and underscores are the same word.
func nearest(wrong string, known []string) string {
	if word := meant[plain(wrong)]; slices.Contains(known, word) {
		return word
	}
	best, bestDistance := "", 0
	for _, word := range known {
		if word == wrong {
			continue
		}
		if plain(word) == plain(wrong) {
			return word
		}
		distance := editDistance(plain(wrong), plain(word))
		if distance > max(1, min(len(wrong), len(word))/3) {
			continue
		}
		if best == "" || distance < bestDistance {
			best, bestDistance = word, distance
		}
	}
	return best
}

// Nearest is the one of some names that a wrong one was most likely meant to
// be, or "" when none is near.
func Nearest(wrong string, names []string) string { return nearest(wrong, names) }

// plain leaves out what people get wrong without meaning another word.
func plain(word string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(word))
}

// wordLimit bounds the words that are compared: the cost is quadratic, and
// nobody mistypes one key as a page of text.
const wordLimit = 64

// editDistance counts the insertions, deletions, substitutions and swaps of
// neighbours that make a into b (optimal string alignment).
func editDistance(a, b string) int {
	if len(a) > wordLimit || len(b) > wordLimit {
		return max(len(a), len(b))
	}
	var table [wordLimit + 1][wordLimit + 1]int
	for i := range len(a) + 1 {
		table[i][0] = i
	}
	for j := range len(b) + 1 {
		table[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			table[i][j] = min(table[i-1][j]+1, table[i][j-1]+1, table[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				table[i][j] = min(table[i][j], table[i-2][j-2]+1)
			}
		}
	}
	return table[len(a)][len(b)]
}
