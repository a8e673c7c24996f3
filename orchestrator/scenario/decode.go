package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Limits on what is read. They are far above any scenario that a person
// writes, and keep one that a program writes from taking the machine.
const (
	// fileLimit is the largest scenario file, in bytes.
	fileLimit = 1 << 20
	// listLimit is the most entries of one list, the faults among them.
	listLimit = 1000
	// nodeLimit is the most values that are looked at, with what anchors
	// repeat counted as often as it is repeated.
	nodeLimit = 200_000
)

// decoder reads YAML nodes into the types of the language and keeps every
// problem that it meets instead of stopping at the first.
type decoder struct {
	file      string
	lines     source
	problems  Problems
	positions map[string]Position

	// values is the node of each value by its path, so that rules that look
	// at several values can point at one of them.
	values map[string]*yaml.Node
	// open is the aliases that are being followed: one inside itself has no end.
	open  map[*yaml.Node]bool
	nodes int
}

func newDecoder(file string, lines source) *decoder {
	return &decoder{
		file: file, lines: lines,
		positions: map[string]Position{}, values: map[string]*yaml.Node{}, open: map[*yaml.Node]bool{},
	}
}

// place gives the position of a node.
func (d *decoder) place(node *yaml.Node) Position {
	return Position{File: d.file, Line: node.Line, Column: node.Column}
}

// refuse records a problem at a node.
func (d *decoder) refuse(node *yaml.Node, hint, format string, values ...any) {
	d.refuseAt(d.place(node), hint, format, values...)
}

func (d *decoder) refuseAt(position Position, hint, format string, values ...any) {
	d.problems = append(d.problems, Problem{
		Position: position, Text: fmt.Sprintf(format, values...), Hint: hint, Source: d.lines.line(position.Line),
	})
}

// value reads a node into target. Where the node is wrong it says so, leaves
// target as it is and gives false.
func (d *decoder) value(node *yaml.Node, target reflect.Value, field field, path string) bool {
	node, leave := d.follow(node)
	if node == nil {
		return false
	}
	defer leave()
	d.values[path] = node
	if !d.tagged(node) {
		return false
	}
	if target.Kind() == reflect.Pointer {
		made := reflect.New(target.Type().Elem())
		// A mapping that is partly wrong is kept: what is right in it is
		// looked at together with the rest.
		if !d.value(node, made.Elem(), field, path) && made.Elem().Kind() != reflect.Struct {
			return false
		}
		target.Set(made)
		return true
	}
	switch target.Kind() {
	case reflect.Struct:
		return d.mapping(node, target, path)
	case reflect.Slice:
		return d.list(node, target, field, path)
	case reflect.Map:
		return d.table(node, target, field, path)
	}
	return d.scalar(node, target, field)
}

// follow gives the node that an alias stands for, nil when it has no end or
// there is too much, and what to call when one is done with it.
func (d *decoder) follow(node *yaml.Node) (*yaml.Node, func()) {
	if d.nodes++; d.nodes > nodeLimit {
		if d.nodes == nodeLimit+1 {
			d.refuse(node, "anchors that repeat anchors grow quickly: write less, or in several files", "more than %d values", nodeLimit)
		}
		return nil, nil
	}
	if node.Kind != yaml.AliasNode {
		return node, func() {}
	}
	if d.open[node.Alias] {
		d.refuse(node, "an anchor cannot hold itself", "*%s stands inside &%s", node.Value, node.Value)
		return nil, nil
	}
	d.open[node.Alias] = true
	return node.Alias, func() { delete(d.open, node.Alias) }
}

// entry is one key of a mapping with its value.
type entry struct {
	key   *yaml.Node
	value *yaml.Node
}

// entries gives the keys of a mapping in order, those of merge keys (<<) last
// and only where the mapping does not give them itself. A key that is given
// twice is a problem, and its first value counts.
func (d *decoder) entries(node *yaml.Node) []entry {
	var all []entry
	var merges []*yaml.Node
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = &yaml.Node{Kind: key.Alias.Kind, Tag: key.Alias.Tag, Value: key.Alias.Value, Line: key.Line, Column: key.Column}
		}
		switch {
		case key.Kind != yaml.ScalarNode:
			d.refuse(key, "a key is one word; check for '{', '[' and '?' before it", "a key must be text, not %s", describe(key))
		case key.ShortTag() == "!!merge":
			merges = append(merges, value)
		case seen[key.Value] > 0:
			d.refuse(key, fmt.Sprintf("it is given in line %d already: leave one of them out", seen[key.Value]), "key %q is given twice", key.Value)
		default:
			seen[key.Value] = key.Line
			all = append(all, entry{key, value})
		}
	}
	for _, merge := range merges {
		for _, merged := range d.merged(merge) {
			if seen[merged.key.Value] == 0 {
				seen[merged.key.Value] = merged.key.Line
				all = append(all, merged)
			}
		}
	}
	return all
}

// merged gives the entries that the value of a merge key stands for: a
// mapping, or a list of them of which the first that has a key gives it.
func (d *decoder) merged(node *yaml.Node) []entry {
	node, leave := d.follow(node)
	if node == nil {
		return nil
	}
	defer leave()
	switch node.Kind {
	case yaml.MappingNode:
		return d.entries(node)
	case yaml.SequenceNode:
		var all []entry
		for _, item := range node.Content {
			all = append(all, d.merged(item)...)
		}
		return all
	}
	d.refuse(node, "write << : *anchor, where &anchor marks a mapping", "<< takes a mapping, not %s", describe(node))
	return nil
}

// mapping reads a mapping into a struct, by the shape of its type.
func (d *decoder) mapping(node *yaml.Node, target reflect.Value, path string) bool {
	shape := shapes[target.Type()]
	if node.Kind != yaml.MappingNode {
		d.refuse(node, mappingHint(node, shape), "%s must be a mapping, not %s", shape.what, describe(node))
		return false
	}
	if position := target.FieldByName("Position"); position.IsValid() {
		position.Set(reflect.ValueOf(d.place(node)))
	}
	entries := d.entries(node)
	before := len(d.problems)
	kinds := d.kinds(node, shape, entries)
	if len(kinds) == 1 {
		target.FieldByName("Kind").SetString(kinds[0].Name)
	}
	given := map[string]bool{}
	for _, entry := range entries {
		given[entry.key.Value] = true
		_, isField := shape.field(entry.key.Value)
		if _, isKind := shape.kind(entry.key.Value); !isField && !isKind {
			// A key that is only misspelt is not also missing.
			given[nearest(entry.key.Value, shape.keys())] = true
		}
		field, known := d.known(shape, kinds, entry)
		if !known {
			continue
		}
		inner := join(path, entry.key.Value)
		d.positions[inner] = d.place(entry.value)
		d.value(entry.value, target.Field(field.index), field, inner)
	}
	d.complete(node, shape, kinds, given, target)
	return len(d.problems) == before
}

// kinds gives the kinds that a mapping's keys name: exactly one, or there is
// a problem. Of a shape without kinds it gives none.
func (d *decoder) kinds(node *yaml.Node, shape *shape, entries []entry) []Kind {
	if len(shape.kinds) == 0 {
		return nil
	}
	var found []Kind
	var places []*yaml.Node
	misspelt := false
	for _, entry := range entries {
		if kind, known := shape.kind(entry.key.Value); known {
			if !shape.isKeyOfAnother(entries, entry) {
				found, places = append(found, kind), append(places, entry.key)
			}
			continue
		}
		if _, known := shape.field(entry.key.Value); !known {
			_, near := shape.kind(nearest(entry.key.Value, shape.keys()))
			misspelt = misspelt || near
		}
	}
	switch {
	case len(found) == 0 && !misspelt:
		d.refuse(node, "give one of "+listed(shape.kinds), "%s does not say what it is", shape.what)
	case len(found) > 1:
		d.refuse(places[1], "keep one of them; a fault more is an entry of its own", "%s is %s and %s at once", shape.what, found[0].Name, found[1].Name)
	}
	return found
}

// isKeyOfAnother says whether an entry that is named like a kind is a key of
// another kind instead: restart is a fault, and beside kill it is a delay.
func (s *shape) isKeyOfAnother(entries []entry, of entry) bool {
	name := of.key.Value
	field, isField := s.field(name)
	if !isField || field.key == s.into[name].key && field.index == s.into[name].index {
		return false
	}
	return slices.ContainsFunc(entries, func(other entry) bool {
		kind, isKind := s.kind(other.key.Value)
		return isKind && kind.Name != name && (kind.takes(name) || field.looksRight(of.value))
	})
}

// known gives the field that a key stands for, and says what is wrong with
// one that stands for none or that the mapping's kind does not take.
func (d *decoder) known(shape *shape, kinds []Kind, entry entry) (field, bool) {
	key := entry.key.Value
	if slices.ContainsFunc(kinds, func(kind Kind) bool { return kind.Name == key }) {
		return shape.into[key], true
	}
	field, known := shape.field(key)
	switch {
	case !known:
		d.refuse(entry.key, unknownHint(key, shape, kinds), "unknown key %q in %s", key, shape.what)
		return field, false
	case len(kinds) == 0, slices.Contains(shape.common, key):
		return field, true
	case slices.ContainsFunc(kinds, func(kind Kind) bool { return kind.takes(key) }):
		return field, true
	}
	takers := shape.takers(key)
	d.refuse(entry.key, "leave it out", "%q belongs to %s; %s does not take it", key, conjoin(takers, "and"), kinds[0].Name)
	return field, false
}

// complete refuses a mapping without a key that it needs, and gives every key
// that is left out its default.
func (d *decoder) complete(node *yaml.Node, shape *shape, kinds []Kind, given map[string]bool, target reflect.Value) {
	if len(shape.kinds) > 0 && len(kinds) != 1 {
		return
	}
	var kind Kind
	if len(kinds) == 1 {
		kind = kinds[0]
	}
	for _, field := range shape.fieldsOf(kind) {
		switch {
		case given[field.key]:
		case field.required:
			what := shape.what
			if kind.Name != "" {
				what = kind.Name
			}
			d.refuse(node, fmt.Sprintf("%s: %s", field.key, field.doc), "%s needs %q", what, field.key)
		case field.fallback != "":
			setDefault(target.Field(field.index), field)
		}
	}
}

// setDefault puts a field's default into it.
func setDefault(target reflect.Value, field field) {
	switch {
	case target.Type() == reflect.TypeFor[Duration]():
		target.SetInt(int64(mustDuration(field.fallback)))
	case target.Kind() == reflect.Int:
		target.SetInt(int64(mustNumber(field.fallback)))
	case target.Kind() == reflect.String:
		target.SetString(field.fallback)
	default:
		panic(fmt.Sprintf("scenario: field %s: a %v cannot have a default", field.key, target.Type()))
	}
}

// list reads a list of texts or of mappings. One text in the place of a
// command is for the shell.
func (d *decoder) list(node *yaml.Node, target reflect.Value, field field, path string) bool {
	if field.accepts("shell") && node.Kind == yaml.ScalarNode {
		return d.shell(node, target, field)
	}
	if node.Kind != yaml.SequenceNode {
		d.refuse(node, listHint(node, field), "%s must be a list, not %s", field.key, describe(node))
		return false
	}
	if len(node.Content) > listLimit {
		d.refuse(node, "split the scenario", "%s has %d entries, at most %d are taken", field.key, len(node.Content), listLimit)
		return false
	}
	if field.accepts("shell") && (len(node.Content) == 0 || node.Content[0].Value == "" && node.Content[0].Kind == yaml.ScalarNode) {
		d.refuse(node, "give the program and its arguments", "%s names no program", field.key)
		return false
	}
	complete := true
	made := reflect.MakeSlice(target.Type(), len(node.Content), len(node.Content))
	for i, item := range node.Content {
		inner := fmt.Sprintf("%s[%d]", path, i)
		d.positions[inner] = d.place(item)
		complete = d.value(item, made.Index(i), field, inner) && complete
	}
	target.Set(made)
	return complete
}

// shell reads one text in the place of a command: it is for the shell.
func (d *decoder) shell(node *yaml.Node, target reflect.Value, field field) bool {
	text, ok := d.text(node, field)
	if ok && strings.TrimSpace(text) == "" {
		d.refuse(node, "give the program and its arguments", "%s is empty", field.key)
		return false
	}
	if ok {
		target.Set(reflect.ValueOf([]string{"/bin/sh", "-c", text}))
	}
	return ok
}

// table reads a mapping whose keys are the user's own.
func (d *decoder) table(node *yaml.Node, target reflect.Value, field field, path string) bool {
	if node.Kind != yaml.MappingNode {
		hint := nothingHint(node)
		if hint == "" {
			hint = fmt.Sprintf("write %s: {NAME: value}", field.key)
		}
		d.refuse(node, hint, "%s must be a mapping, not %s", field.key, describe(node))
		return false
	}
	complete := true
	made := reflect.MakeMap(target.Type())
	for _, entry := range d.entries(node) {
		if wrong, hint := checkForm(field.keyForm, entry.key.Value); wrong != "" {
			d.refuse(entry.key, hint, "%s: %s", field.key, wrong)
			complete = false
			continue
		}
		inner := join(path, entry.key.Value)
		d.positions[inner] = d.place(entry.value)
		value := reflect.New(target.Type().Elem()).Elem()
		of := field
		of.key = inner
		if d.value(entry.value, value, of, inner) {
			made.SetMapIndex(reflect.ValueOf(entry.key.Value), value)
		} else {
			complete = false
		}
	}
	target.Set(made)
	return complete
}

// tagged refuses a node with a YAML tag that would make it something else.
func (d *decoder) tagged(node *yaml.Node) bool {
	if node.Style&yaml.TaggedStyle == 0 || slices.Contains([]string{"!!str", "!!int", "!!bool", "!!map", "!!seq"}, node.ShortTag()) {
		return true
	}
	d.refuse(node, "write the value itself", "tag %s is not supported", node.Tag)
	return false
}

// join puts a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// listed names all kinds.
func listed(kinds []Kind) string {
	var all []string
	for _, kind := range kinds {
		all = append(all, kind.Name)
	}
	return conjoin(all, "or")
}

// conjoin joins words as a sentence does: a, b and c.
func conjoin(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + last + " " + words[len(words)-1]
}

// describe says what a node is, as a person would.
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch node.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + node.Value
	case "!!bool":
		return "the boolean " + node.Value
	case "!!timestamp":
		return "the date " + node.Value
	}
	return "text"
}

// nothingHint says what to do about a key without a value; most often what
// should be in it is not indented.
func nothingHint(node *yaml.Node) string {
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" {
		return "what belongs to it must be indented below it; leave the key out when there is nothing"
	}
	return ""
}

// mappingHint says how to write a mapping where something else stands.
func mappingHint(node *yaml.Node, shape *shape) string {
	switch {
	case nothingHint(node) != "":
		return nothingHint(node)
	case len(shape.kinds) > 0:
		return "write it like " + shape.kinds[0].Example
	case node.Kind == yaml.SequenceNode:
		return "leave out the '-' or '[' before its keys"
	}
	return "its keys: " + strings.Join(shape.keys(), ", ")
}

// listHint says how to write a list where something else stands.
func listHint(node *yaml.Node, field field) string {
	switch {
	case nothingHint(node) != "":
		return nothingHint(node)
	case node.Kind == yaml.ScalarNode && field.form != "" && !strings.ContainsAny(node.Value, "\r\n"):
		return fmt.Sprintf("write %s: [%s]", field.key, node.Value)
	}
	return "begin each entry with '- '"
}

// unknownHint says what an unknown key may have been meant to be, or where a
// key of that name belongs.
func unknownHint(key string, in *shape, kinds []Kind) string {
	var taken []string
	for _, kind := range kinds {
		for _, field := range in.fieldsOf(kind) {
			taken = append(taken, field.key)
		}
	}
	if len(kinds) == 0 {
		taken = in.keys()
	}
	if near := nearest(key, taken); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if homes := homesOf(key); len(homes) > 0 {
		return fmt.Sprintf("%q is a key of %s", key, conjoin(homes, "and"))
	}
	if near := nearest(key, in.keys()); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "it takes " + conjoin(taken, "and")
}

// homesOf gives the mappings that have a key, by name.
func homesOf(key string) []string {
	var homes []string
	for _, shape := range shapes {
		if slices.Contains(shape.keys(), key) {
			homes = append(homes, shape.what)
		}
	}
	slices.Sort(homes)
	return homes
}
