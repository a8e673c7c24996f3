package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is what the tags of one struct field say.
type field struct {
	key      string
	doc      string
	index    int
	value    reflect.Type
	required bool
	fallback string
	enum     []string
	form     string
	keyForm  string
	accept   string
	min, max string
}

// shape is one struct type as a mapping of YAML.
type shape struct {
	// what names it in messages: "a fault".
	what   string
	fields []field
	kindTable
	// into is the index of the field that each kind's own value goes to.
	into map[string]field
}

// names is how messages and the reference call each mapping.
var names = map[reflect.Type]string{
	reflect.TypeFor[Scenario]():     "a scenario",
	reflect.TypeFor[Facts]():        "x-killpoint",
	reflect.TypeFor[Broker]():       "broker",
	reflect.TypeFor[Done]():         "done",
	reflect.TypeFor[Verdicts]():     "verdicts",
	reflect.TypeFor[Rows]():         "rows",
	reflect.TypeFor[Explore]():      "explore",
	reflect.TypeFor[SentFile]():     "sent",
	reflect.TypeFor[Output]():       "output",
	reflect.TypeFor[Partition]():    "partition",
	reflect.TypeFor[Fault]():        "a fault",
	reflect.TypeFor[When]():         "when",
	reflect.TypeFor[Expect]():       "expect",
	reflect.TypeFor[LogExpect]():    "an entry of logs",
	reflect.TypeFor[RunExpect]():    "an entry of run",
	reflect.TypeFor[StableExpect](): "an entry of stable",
}

// shapes is the shape of every mapping of the language, made from the types
// once: a tag that does not fit its field panics in the first test.
var shapes = func() map[reflect.Type]*shape {
	made := map[reflect.Type]*shape{}
	addShape(made, reflect.TypeFor[Scenario]())
	return made
}()

func addShape(made map[reflect.Type]*shape, structure reflect.Type) {
	if made[structure] != nil {
		return
	}
	what, named := names[structure]
	if !named {
		panic(fmt.Sprintf("scenario: type %v has no entry in names", structure))
	}
	result := &shape{what: what, kindTable: kindTables[structure], into: map[string]field{}}
	made[structure] = result
	for i := range structure.NumField() {
		if field := fieldOf(structure.Field(i), i); field.key != "" {
			result.fields = append(result.fields, field)
		}
	}
	for _, kind := range result.kinds {
		result.into[kind.Name] = kindField(structure, kind)
	}
	for _, field := range result.fields {
		if inner := elementStruct(field.value); inner != nil {
			addShape(made, inner)
		}
	}
}

// fieldOf reads the tags of one field; its key is empty when it has none.
func fieldOf(from reflect.StructField, index int) field {
	key, _, _ := strings.Cut(from.Tag.Get("yaml"), ",")
	if key == "-" {
		key = ""
	}
	result := field{
		key: key, doc: from.Tag.Get("doc"), index: index, value: from.Type,
		required: from.Tag.Get("required") == "true", fallback: from.Tag.Get("default"),
		form: from.Tag.Get("form"), keyForm: from.Tag.Get("keys"), accept: from.Tag.Get("accept"),
		min: from.Tag.Get("min"), max: from.Tag.Get("max"),
	}
	if words := from.Tag.Get("enum"); words != "" {
		result.enum = strings.Split(words, ",")
	}
	for _, name := range []string{result.form, result.keyForm} {
		if _, known := forms[name]; name != "" && !known {
			panic(fmt.Sprintf("scenario: field %s: unknown form %q", from.Name, name))
		}
	}
	return result
}

// kindField gives the field that the value of a kind's own key goes to.
func kindField(structure reflect.Type, kind Kind) field {
	for i := range structure.NumField() {
		made := fieldOf(structure.Field(i), i)
		if kind.Into == structure.Field(i).Name || kind.Into == "" && made.key == kind.Name {
			made.key, made.required = kind.Name, true
			return made
		}
	}
	panic(fmt.Sprintf("scenario: kind %s: type %v has no field for its value", kind.Name, structure))
}

// elementStruct gives the struct type that a field holds one or many of, or
// nil when it holds none.
func elementStruct(value reflect.Type) reflect.Type {
	for value.Kind() == reflect.Pointer || value.Kind() == reflect.Slice {
		value = value.Elem()
	}
	if value.Kind() == reflect.Struct {
		return value
	}
	return nil
}

// field gives the field with a key, the kinds' own values apart.
func (s *shape) field(key string) (field, bool) {
	i := slices.IndexFunc(s.fields, func(f field) bool { return f.key == key })
	if i < 0 {
		return field{}, false
	}
	return s.fields[i], true
}

// kind gives the kind with a name.
func (s *shape) kind(name string) (Kind, bool) {
	i := slices.IndexFunc(s.kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return s.kinds[i], true
}

// keys gives every key that a mapping of this shape may have.
func (s *shape) keys() []string {
	var all []string
	for _, kind := range s.kinds {
		all = append(all, kind.Name)
	}
	for _, field := range s.fields {
		if !slices.Contains(all, field.key) {
			all = append(all, field.key)
		}
	}
	return all
}

// fieldsOf gives the fields that one kind takes besides its own, each with
// whether it is required there; of a shape without kinds, all of them.
func (s *shape) fieldsOf(kind Kind) []field {
	if len(s.kinds) == 0 {
		return s.fields
	}
	var taken []field
	for _, field := range s.fields {
		if slices.Contains(s.common, field.key) || kind.takes(field.key) {
			field.required = field.required || slices.Contains(kind.Required, field.key)
			taken = append(taken, field)
		}
	}
	return taken
}

// takers gives the kinds that take a key; where all of a group do, the group
// in their place.
func (s *shape) takers(key string) []string {
	split := map[string]bool{}
	for _, kind := range s.kinds {
		split[kind.Group] = split[kind.Group] || !kind.takes(key)
	}
	var takers []string
	for _, kind := range s.kinds {
		name := kind.Name
		if kind.Group != "" && !split[kind.Group] {
			name = kind.Group
		}
		if kind.takes(key) && !slices.Contains(takers, name) {
			takers = append(takers, name)
		}
	}
	return takers
}

// durationLimit bounds every duration: nobody waits longer for a test, and
// sums of them cannot overflow.
const durationLimit = Duration(24 * time.Hour)

// accepts says whether the tag accept has a word.
func (f field) accepts(word string) bool {
	return slices.Contains(strings.Split(f.accept, ","), word)
}

// bounds gives the smallest and largest whole number that a field takes.
func (f field) bounds() (low, high int) {
	low, high = 0, countLimit
	if f.min != "" {
		low = mustNumber(f.min)
	}
	if f.max != "" {
		high = mustNumber(f.max)
	}
	return low, high
}

// durationBounds is bounds for a field that holds a duration.
func (f field) durationBounds() (low, high Duration) {
	low, high = 0, durationLimit
	if f.min != "" {
		low = mustDuration(f.min)
	}
	if f.max != "" {
		high = mustDuration(f.max)
	}
	return low, high
}

// mustNumber reads a number from a tag, where a wrong one is our own mistake.
func mustNumber(text string) int {
	number, err := strconv.Atoi(text)
	if err != nil {
		panic(fmt.Sprintf("scenario: tag holds %q: %v", text, err))
	}
	return number
}

// mustDuration reads a duration from a tag.
func mustDuration(text string) Duration {
	var duration Duration
	if err := duration.UnmarshalText([]byte(text)); err != nil {
		panic(fmt.Sprintf("scenario: tag holds %q: %v", text, err))
	}
	return duration
}
