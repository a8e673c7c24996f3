package scenario

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// schemaNote marks a case that is wrong in a way that a schema cannot say.
const schemaNote = "not in schema"

// compiledSchema is what an editor makes of Schema.
func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("scenario.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("scenario.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// plainYAML gives a text as the values that a schema looks at; false when it
// is no YAML that can be made into JSON.
func plainYAML(text string) (any, bool) {
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return nil, false
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, false
	}
	plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	return plain, err == nil
}

// TestSchemaRefusesWhatParseRefuses gives every bad file of testdata to the
// schema too. The cases that it cannot tell are marked, and the mark must be
// true.
func TestSchemaRefusesWhatParseRefuses(t *testing.T) {
	schema := compiledSchema(t)
	refused := 0
	for _, theme := range []string{"keys", "values", "facts", "points"} {
		for _, test := range readCases(t, filepath.Join("testdata", theme+".txt")) {
			plain, readable := plainYAML(test.input)
			if !readable {
				if test.marks != schemaNote {
					t.Errorf("%s: %s: cannot be given to a schema, and is not marked so", theme, test.name)
				}
				continue
			}
			err := schema.Validate(plain)
			if accepted, expected := err == nil, test.marks == schemaNote; accepted != expected {
				t.Errorf("%s: %s: schema accepts it: %v, marked so: %v (%v)", theme, test.name, accepted, expected, err)
			}
			if err != nil {
				refused++
			}
		}
	}
	if refused < 40 {
		t.Errorf("the schema refused %d cases only", refused)
	}
}

// TestSchemaAcceptsWhatParseAccepts gives it every good file that there is.
func TestSchemaAcceptsWhatParseAccepts(t *testing.T) {
	schema := compiledSchema(t)
	for name, text := range goodScenarios(t) {
		plain, readable := plainYAML(text)
		if !readable {
			t.Errorf("%s: cannot be given to a schema", name)
			continue
		}
		if err := schema.Validate(plain); err != nil {
			t.Errorf("%s: the schema refuses it: %v", name, err)
		}
	}
}

// TestSchemaDescribesEveryKey looks at every property: an editor shows its
// description.
func TestSchemaDescribesEveryKey(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	properties := 0
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch value := value.(type) {
		case map[string]any:
			inner, _ := value["properties"].(map[string]any)
			for key, property := range inner {
				property, _ := property.(map[string]any)
				properties++
				if property["description"] == "" || property["description"] == nil {
					t.Errorf("%s.%s has no description", path, key)
				}
			}
			for key, inner := range value {
				// These are rules about keys that are described elsewhere.
				if !slices.Contains([]string{"allOf", "if", "then", "not"}, key) {
					walk(path+"."+key, inner)
				}
			}
		case []any:
			for _, inner := range value {
				walk(path, inner)
			}
		}
	}
	walk("", schema)
	if properties < 60 {
		t.Errorf("found %d properties only", properties)
	}
}

// TestKindsHoldTogether holds the tables of kinds, the types and the examples
// to each other: every kind parses from its example and prints itself, every
// key that it takes exists, and every key of the types belongs to some kind.
func TestKindsHoldTogether(t *testing.T) {
	for structure, table := range kindTables {
		shape := shapes[structure]
		var taken []string
		for i, kind := range table.kinds {
			taken = append(taken, kind.Name)
			taken = append(taken, kind.Keys...)
			for _, key := range slices.Concat(kind.Keys, kind.Required, table.common) {
				if _, known := shape.field(key); !known {
					t.Errorf("%s takes %q, which no field of %v has", kind.Name, key, structure)
				}
			}
			for _, key := range kind.Required {
				if !kind.takes(key) {
					t.Errorf("%s requires %q and does not take it", kind.Name, key)
				}
			}
			if slices.ContainsFunc(table.kinds[:i], func(other Kind) bool { return other.Name == kind.Name }) {
				t.Errorf("%s stands twice in its table", kind.Name)
			}
			if kind.Doc == "" {
				t.Errorf("%s has no doc", kind.Name)
			}
		}
		for _, field := range shape.fields {
			if !slices.Contains(taken, field.key) && !slices.Contains(table.common, field.key) {
				t.Errorf("no kind takes the key %q of %v", field.key, structure)
			}
		}
	}
}

// TestKindExamples parses the example of every kind, and expects the fault or
// trigger to be of that kind, to print itself, and to hold every key that the
// example gives.
func TestKindExamples(t *testing.T) {
	for _, kind := range FaultKinds {
		scenario, problems := ParseBytes("example.yaml", []byte("system: a.yaml\nfaults:\n  - "+kind.Example+"\n"))
		if problems != nil {
			t.Errorf("example of %s:\n%v", kind.Name, problems)
			continue
		}
		fault := scenario.Faults[0]
		if string(fault.Kind) != kind.Name || fault.Service != "worker-2" {
			t.Errorf("example of %s is read as %s %s", kind.Name, fault.Kind, fault.Service)
		}
		if !strings.HasPrefix(fault.String(), kind.Name+" worker-2") {
			t.Errorf("%s prints itself as %q", kind.Name, fault)
		}
		keepsKeys(t, kind, reflect.ValueOf(fault), "faults[0]", scenario)
	}
	for _, kind := range TriggerKinds {
		scenario, problems := ParseBytes("example.yaml", []byte("system: a.yaml\nfaults:\n  - {kill: a, when: "+kind.Example+"}\n"))
		if problems != nil {
			t.Errorf("example of %s:\n%v", kind.Name, problems)
			continue
		}
		when := scenario.Faults[0].When
		if string(when.Kind) != kind.Name {
			t.Errorf("example of %s is read as %s", kind.Name, when.Kind)
		}
		if text := when.String(); text == "when "+kind.Name || text == "" {
			t.Errorf("%s prints itself as %q: text.go does not know it", kind.Name, text)
		}
		keepsKeys(t, kind, reflect.ValueOf(when), "faults[0].when", scenario)
	}
}

// keepsKeys checks that what an example says is in the value that was read.
func keepsKeys(t *testing.T, kind Kind, value reflect.Value, path string, scenario *Scenario) {
	t.Helper()
	shape := shapes[value.Type()]
	for _, field := range shape.fields {
		if _, given := scenario.Positions[path+"."+field.key]; given && field.key != kind.Name && value.Field(field.index).IsZero() {
			t.Errorf("example of %s gives %s, which is lost", kind.Name, field.key)
		}
	}
}
