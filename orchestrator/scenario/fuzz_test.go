package scenario

import (
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzParse gives Parse any text: it never panics, every problem has a place
// in the text and a reason, what is accepted has all its keys read, and
// reading and binding it again gives the same.
func FuzzParse(f *testing.F) {
	for _, text := range goodScenarios(f) {
		f.Add([]byte(text))
	}
	for _, theme := range []string{"syntax", "keys", "values", "rules", "facts", "points"} {
		for _, test := range readCases(f, filepath.Join("testdata", theme+".txt")) {
			f.Add([]byte(test.input))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		scenario, problems := ParseBytes("fuzz.yaml", text)
		if problems != nil {
			checkSound(t, text, problems)
			if len(problems) == 0 {
				t.Error("no problem, but not nil")
			}
		}
		if scenario == nil {
			if problems == nil {
				t.Error("neither a scenario nor a problem")
			}
			return
		}
		if problems == nil {
			for _, path := range unread(string(text), scenario) {
				t.Errorf("accepted, but %s is not read", path)
			}
			for _, fault := range scenario.Faults {
				if fault.Kind == "" || fault.Service == "" || fault.Times < 1 || fault.When.Kind == "" {
					t.Errorf("accepted, but a fault is incomplete: %+v", fault)
				}
			}
		}
		again, _ := ParseBytes("fuzz.yaml", text)
		binding := Binding{Services: []string{"worker-2"}}
		first, second := scenario.Bind(binding), again.Bind(binding)
		if !reflect.DeepEqual(scenario, again) || !reflect.DeepEqual(first, second) {
			t.Error("reading it again gives something else")
		}
	})
}
