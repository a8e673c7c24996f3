package scenario

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// LossKind says by what rule a power cut takes un-synced changes.
type LossKind string

// The kinds of loss. The changes that are not synced at a crash point have an
// order, in which they were made; Number counts in it from 1.
const (
	LoseAll    LossKind = "all"
	LoseNone   LossKind = "none"
	LoseDrop   LossKind = "drop"   // the n-th change alone
	LoseKeep   LossKind = "keep"   // every change but the n-th
	LosePrefix LossKind = "prefix" // every change after the first n
	LoseSeed   LossKind = "seed"   // a subset drawn by the seed n
)

// Loss is what a power cut takes of what was not synced: lose-unsynced, taken
// apart.
type Loss struct {
	Kind LossKind
	// Number is the n of drop, keep and prefix, and the seed.
	Number int
}

// lossPattern is what editors check of lose-unsynced.
const lossPattern = `^(all|none|(drop|keep|prefix)-[1-9][0-9]*|0|[1-9][0-9]*)$`

var lossText = regexp.MustCompile(lossPattern)

// ParseLoss reads a value of lose-unsynced: all, none, drop-3, keep-3,
// prefix-3 or a seed.
func ParseLoss(text string) (Loss, error) {
	if wrong, hint := checkLoss(text); wrong != "" {
		return Loss{}, fmt.Errorf("%s: %s", wrong, hint)
	}
	kind, digits, numbered := strings.Cut(text, "-")
	if !numbered {
		kind, digits = string(LoseSeed), text
	}
	if text == string(LoseAll) || text == string(LoseNone) {
		return Loss{Kind: LossKind(text)}, nil
	}
	number, err := strconv.Atoi(digits)
	if err != nil {
		return Loss{}, fmt.Errorf("read number of %q: %w", text, err)
	}
	return Loss{Kind: LossKind(kind), Number: number}, nil
}

// String gives the loss as lose-unsynced says it.
func (l Loss) String() string {
	switch l.Kind {
	case LoseDrop, LoseKeep, LosePrefix:
		return fmt.Sprintf("%s-%d", l.Kind, l.Number)
	case LoseSeed:
		return strconv.Itoa(l.Number)
	}
	return string(l.Kind)
}

// phrase is the loss in a sentence about a fault.
func (l Loss) phrase() string {
	switch l.Kind {
	case LoseAll:
		return "losing all that was not synced"
	case LoseNone:
		return "losing nothing that was not synced"
	case LoseDrop:
		return fmt.Sprintf("losing the %s un-synced change alone", ordinal(l.Number))
	case LoseKeep:
		return fmt.Sprintf("losing every un-synced change but the %s", ordinal(l.Number))
	case LosePrefix:
		if l.Number == 1 {
			return "losing every un-synced change after the first"
		}
		return fmt.Sprintf("losing every un-synced change after the first %d", l.Number)
	}
	return fmt.Sprintf("losing some of what was not synced (seed %d)", l.Number)
}

// checkLoss takes what a power cut may do to what was not synced.
func checkLoss(text string) (wrong, hint string) {
	if lossText.MatchString(text) {
		_, digits, numbered := strings.Cut(text, "-")
		if !numbered {
			digits = text
		}
		count, err := strconv.Atoi(digits)
		if text == string(LoseAll) || text == string(LoseNone) || err == nil && count <= countLimit {
			return "", ""
		}
	}
	return quote(text) + " does not say what is lost",
		fmt.Sprintf("write all, none, drop-n, keep-n, prefix-n, or a seed for a subset: whole numbers up to %d, n from 1", countLimit)
}
