package scenario

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gopkg.in/yaml.v3"
)

// scalar reads one word, number or text into target.
func (d *decoder) scalar(node *yaml.Node, target reflect.Value, field field) bool {
	switch {
	case target.Type() == reflect.TypeFor[Duration]():
		duration, ok := d.duration(node, field)
		if ok {
			target.SetInt(int64(duration))
		}
		return ok
	case target.Kind() == reflect.String:
		text, ok := d.text(node, field)
		if ok {
			target.SetString(text)
		}
		return ok
	case target.Kind() == reflect.Int:
		number, ok := d.number(node, field)
		if ok {
			target.SetInt(int64(number))
		}
		return ok
	case target.Kind() == reflect.Bool:
		if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!bool" {
			d.refuse(node, "write true or false, without quotes", "%s must be true or false, not %s", field.key, shown(node))
			return false
		}
		target.SetBool(strings.EqualFold(node.Value, "true"))
		return true
	}
	panic(fmt.Sprintf("scenario: field %s: a %v cannot be read", field.key, target.Type()))
}

// text reads a text in the field's form. Numbers and booleans are taken only
// where the field says so, as they are written: elsewhere a text that looks
// like one is a mistake more often than it is meant.
func (d *decoder) text(node *yaml.Node, field field) (string, bool) {
	if !d.isText(node, field) {
		return "", false
	}
	text := node.Value
	if text == "" && !field.accepts("empty") {
		d.refuse(node, emptyHint(field), "%s is empty", field.key)
		return "", false
	}
	if len(field.enum) > 0 && !slices.Contains(field.enum, text) {
		d.refuse(node, didYouMean(text, field.enum, "it takes"), "%s cannot be %s", field.key, quote(text))
		return "", false
	}
	if wrong, hint := checkForm(field.form, text); wrong != "" {
		d.refuse(node, hint, "%s: %s", field.key, wrong)
		return "", false
	}
	return text, true
}

// emptyHint says what to do about a text that is empty and must not be.
func emptyHint(field field) string {
	if field.required && field.form != "" {
		return "it takes " + forms[field.form].doc
	}
	return "leave the key out when there is nothing to say"
}

// isText says whether a node is what the field takes as a text, and refuses
// it when not.
func (d *decoder) isText(node *yaml.Node, field field) bool {
	var hint string
	switch {
	case node.Kind != yaml.ScalarNode:
		hint = "it takes one value: check for '[', '{' and what is indented below it"
	case node.ShortTag() == "!!null":
		hint = "give a value, or leave the key out"
		if field.accepts("empty") {
			hint = "write '' for an empty value"
		}
	case node.ShortTag() == "!!str", field.accepts("scalar"):
		return true
	default:
		hint = fmt.Sprintf("put it in quotes: '%s'", node.Value)
	}
	d.refuse(node, hint, "%s must be text, not %s", field.key, describe(node))
	return false
}

// number reads a whole number within the field's bounds.
func (d *decoder) number(node *yaml.Node, field field) (int, bool) {
	whole := node.Kind == yaml.ScalarNode && wholeNumber.MatchString(node.Value) && node.ShortTag() != "!!str"
	if !whole {
		d.refuse(node, numberHint(node), "%s must be a whole number, not %s", field.key, shown(node))
		return 0, false
	}
	number, err := strconv.Atoi(node.Value)
	low, high := field.bounds()
	if err != nil || number < low || number > high {
		d.refuse(node, fmt.Sprintf("give a number from %d to %d", low, high), "%s cannot be %s", field.key, node.Value)
		return 0, false
	}
	return number, true
}

// wholeNumber is how one writes a number: what else YAML takes for one (0x10,
// 1_000, 010) people read in different ways.
var wholeNumber = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)

func numberHint(node *yaml.Node) string {
	if _, err := strconv.Atoi(node.Value); err == nil && node.Kind == yaml.ScalarNode && node.ShortTag() == "!!str" {
		return "leave out the quotes"
	}
	return "write digits only"
}

// duration reads a duration within the field's bounds.
func (d *decoder) duration(node *yaml.Node, field field) (Duration, bool) {
	if node.Kind != yaml.ScalarNode || node.ShortTag() == "!!null" {
		d.refuse(node, "write a number with a unit, such as 200ms, 5s or 1m", "%s must be a duration, not %s", field.key, describe(node))
		return 0, false
	}
	parsed, err := time.ParseDuration(node.Value)
	if err != nil {
		hint := "write a number with a unit, such as 200ms, 5s or 1m"
		if _, plain := strconv.ParseFloat(node.Value, 64); plain == nil {
			hint = fmt.Sprintf("it has no unit: write %sms or %ss", node.Value, node.Value)
		}
		d.refuse(node, hint, "%s: %s is not a duration", field.key, quote(node.Value))
		return 0, false
	}
	low, high := field.durationBounds()
	if duration := Duration(parsed); duration < low || duration > high {
		d.refuse(node, fmt.Sprintf("give a duration from %s to %s", low, high), "%s cannot be %s", field.key, duration)
		return 0, false
	}
	return Duration(parsed), true
}

// looksRight says whether a node is a duration where the field is one. It
// tells a key from a kind of the same name.
func (f field) looksRight(node *yaml.Node) bool {
	value := f.value
	if value.Kind() == reflect.Pointer {
		value = value.Elem()
	}
	_, err := time.ParseDuration(node.Value)
	return value == reflect.TypeFor[Duration]() && err == nil
}

// quote puts a text in quotes as it stands where that can be read, so that
// the backslashes of a pattern are not doubled.
func quote(text string) string {
	for _, character := range text {
		if character == '"' || !unicode.IsPrint(character) {
			return strconv.Quote(text)
		}
	}
	return `"` + text + `"`
}

// checkForm says what is wrong with a text for a form; an empty form takes
// any text.
func checkForm(name, text string) (wrong, hint string) {
	if name == "" {
		return "", ""
	}
	if text == "" {
		return "is empty", "it takes " + forms[name].doc
	}
	return forms[name].check(text)
}

// shown describes a node and, when it is a text, quotes it.
func shown(node *yaml.Node) string {
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!str" {
		return "the text " + quote(node.Value)
	}
	return describe(node)
}
