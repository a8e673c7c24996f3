package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Schema is the JSON Schema (draft 7, which the YAML editors know best) of a
// scenario file, from the same types and tables that Parse reads by. It
// refuses what a schema can: relations between values and the services of the
// system are left to Parse and Bind.
func Schema() []byte {
	root := reflect.TypeFor[Scenario]()
	definitions := map[string]any{}
	for structure, shape := range shapes {
		if structure != root {
			definitions[structure.Name()] = shapeSchema(structure, shape)
		}
	}
	schema := shapeSchema(root, shapes[root])
	schema["$schema"] = "http://json-schema.org/draft-07/schema#"
	schema["title"] = "Killpoint scenario"
	schema["description"] = "A system, the faults done to it and what is expected of it afterwards."
	schema["definitions"] = definitions
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		panic(fmt.Sprintf("scenario: encode schema: %v", err))
	}
	return text.Bytes()
}

// schemaRules is what a schema can say of relations between keys. The same
// relations stand in rules.go for Parse, and a test holds the two together.
var schemaRules = map[reflect.Type]map[string]any{
	reflect.TypeFor[LogExpect](): {
		"anyOf": []any{requires("contains"), requires("matches")},
		"not":   map[string]any{"allOf": []any{requires("times"), map[string]any{"anyOf": []any{requires("at-least"), requires("at-most")}}}},
	},
	reflect.TypeFor[Done](): {"minProperties": 1},
	reflect.TypeFor[Broker](): {
		"if":   map[string]any{"properties": map[string]any{"share": constant(true)}, "required": []string{"share"}},
		"then": requires("url_env"),
	},
}

// kindRules is schemaRules for single kinds of faults and triggers; Parse has
// the same in pointrules.go.
var kindRules = map[string][]any{
	string(Write): {not("allOf", "keep", "timing")},
	string(Kill): {map[string]any{
		"if":   requires("lose-unsynced"),
		"then": properties("when", not("anyOf", otherTriggers()...), "signal", constant(sigkill)),
	}},
	string(Fail):  beforeCall(),
	string(Delay): beforeCall(),
	string(Short): append(beforeCall(), properties("when", has("anyOf", string(Read), string(Write))), map[string]any{
		"if":   properties("when", requires(string(Write))),
		"then": properties("bytes", map[string]any{"not": constant(0)}),
	}),
}

// beforeCall is the rules for a fault that is done to a call.
func beforeCall() []any {
	return []any{
		properties("when", not("anyOf", append(otherTriggers(), "keep")...)),
		properties("when", properties("timing", constant(TimingBefore))),
	}
}

// otherTriggers is the key of every trigger that is no crash point.
func otherTriggers() []string {
	var keys []string
	for _, kind := range TriggerKinds {
		if kind.Group != pointGroup {
			keys = append(keys, kind.Name)
		}
	}
	return keys
}

// has asks for keys: anyOf them, or allOf them.
func has(which string, keys ...string) map[string]any {
	var each []any
	for _, key := range keys {
		each = append(each, requires(key))
	}
	return map[string]any{which: each}
}

func not(which string, keys ...string) map[string]any {
	return map[string]any{"not": has(which, keys...)}
}

func constant(value any) map[string]any { return map[string]any{"const": value} }

// properties says of keys, each followed by its schema, what they hold where
// they are given.
func properties(pairs ...any) map[string]any {
	made := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		made[pairs[i].(string)] = pairs[i+1]
	}
	return map[string]any{"properties": made}
}

func requires(key string) map[string]any { return map[string]any{"required": []string{key}} }

// shapeSchema is the schema of one mapping; where it has kinds, of exactly
// one of them.
func shapeSchema(structure reflect.Type, shape *shape) map[string]any {
	if len(shape.kinds) > 0 {
		var kinds []any
		for _, kind := range shape.kinds {
			own := shape.into[kind.Name]
			schema := objectSchema(append([]field{own}, shape.fieldsOf(kind)...))
			schema["title"] = kind.Name
			schema["description"] = kind.Doc
			if rules := kindRules[kind.Name]; rules != nil {
				schema["allOf"] = rules
			}
			kinds = append(kinds, schema)
		}
		return map[string]any{"oneOf": kinds}
	}
	schema := objectSchema(shape.fields)
	for key, rule := range schemaRules[structure] {
		schema[key] = rule
	}
	return schema
}

func objectSchema(fields []field) map[string]any {
	properties := map[string]any{}
	required := []string{}
	for _, field := range fields {
		schema := valueSchema(field.value, field)
		schema["description"] = field.doc
		if field.fallback != "" {
			schema["default"] = defaultValue(field)
		}
		properties[field.key] = schema
		if field.required {
			required = append(required, field.key)
		}
	}
	slices.Sort(required)
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

// durationPattern is what time.ParseDuration takes, without a sign.
const durationPattern = `^(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`

// valueSchema is the schema of one value.
func valueSchema(value reflect.Type, of field) map[string]any {
	switch {
	case value == reflect.TypeFor[Duration]():
		return map[string]any{"type": []string{"string", "integer"}, "pattern": durationPattern, "maximum": 0, "minimum": 0}
	case value.Kind() == reflect.Pointer:
		return valueSchema(value.Elem(), of)
	case value.Kind() == reflect.Struct:
		// draft 7 ignores what stands beside a $ref, and a description will.
		return map[string]any{"allOf": []any{map[string]any{"$ref": "#/definitions/" + value.Name()}}}
	case value.Kind() == reflect.Slice:
		return listSchema(value, of)
	case value.Kind() == reflect.Map:
		return map[string]any{
			"type":                 "object",
			"propertyNames":        map[string]any{"pattern": forms[of.keyForm].pattern},
			"additionalProperties": valueSchema(value.Elem(), of),
		}
	case value.Kind() == reflect.Int:
		low, high := of.bounds()
		return map[string]any{"type": "integer", "minimum": low, "maximum": high}
	case value.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	}
	return textSchema(of)
}

func listSchema(value reflect.Type, of field) map[string]any {
	list := map[string]any{"type": "array", "items": valueSchema(value.Elem(), of), "maxItems": listLimit}
	if !of.accepts("shell") {
		return list
	}
	list["minItems"] = 1
	return map[string]any{"anyOf": []any{list, map[string]any{"type": "string", "pattern": `\S`}}}
}

func textSchema(of field) map[string]any {
	schema := map[string]any{"type": "string"}
	if of.accepts("scalar") {
		schema["type"] = []string{"string", "number", "boolean"}
		if of.form != "" {
			// It has a form, and those that numbers have want whole ones.
			schema["type"], schema["minimum"], schema["maximum"] = []string{"string", "integer"}, forms[of.form].least, countLimit
		}
	}
	if len(of.enum) > 0 {
		schema["enum"] = of.enum
		return schema
	}
	if !of.accepts("empty") {
		schema["minLength"] = 1
	}
	if shape := forms[of.form]; len(shape.words) > 0 {
		schema["enum"] = shape.words
	} else if shape.pattern != "" {
		schema["pattern"] = shape.pattern
	}
	return schema
}

// defaultValue is a field's default as JSON has it.
func defaultValue(of field) any {
	if of.value.Kind() == reflect.Int {
		return mustNumber(of.fallback)
	}
	return strings.TrimSpace(of.fallback)
}
