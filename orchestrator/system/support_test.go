package system

import (
	"reflect"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/types"
)

// TestEveryKeyIsDecided holds the table against the specification, so that a
// key which a newer loader knows cannot be ignored in silence.
func TestEveryKeyIsDecided(t *testing.T) {
	known := map[string]bool{}
	for _, path := range schema.AttributePaths() {
		known[string(path)] = true
		decided, ok := ruleFor(string(path))
		if !ok {
			t.Errorf("no decision for %s", path)
		}
		if ok && decided.decision != supported && decided.reason == "" {
			t.Errorf("no reason for the decision on %s", path)
		}
	}
	for _, rule := range allRules {
		if path := strings.TrimSuffix(rule.path, ".**"); !known[path] && path != "services.*.pull_refresh_after" {
			t.Errorf("decision for %s, which the specification does not know", rule.path)
		}
	}
}

// TestEveryFieldIsDecided does the same for the fields that the loader fills
// in: a key may be in its types before it is in its schema.
func TestEveryFieldIsDecided(t *testing.T) {
	// These fields have no key of their own in a compose file of today.
	legacy := map[string]bool{
		"services.*.name": true, "services.*.dockerfile": true, "services.*.net": true, "services.*.log_driver": true,
		"services.*.log_opt": true, "services.*.volume_driver": true, "volumes.*.#extensions": true,
	}
	for prefix, value := range map[string]any{
		"services.*":                   types.ServiceConfig{},
		"services.*.build":             types.BuildConfig{},
		"services.*.healthcheck":       types.HealthCheckConfig{},
		"services.*.deploy":            types.DeployConfig{},
		"services.*.networks.*":        types.ServiceNetworkConfig{},
		"services.*.ports.[]":          types.ServicePortConfig{},
		"services.*.volumes.[]":        types.ServiceVolumeConfig{},
		"services.*.volumes.[].bind":   types.ServiceVolumeBind{},
		"services.*.volumes.[].volume": types.ServiceVolumeVolume{},
		"services.*.volumes.[].tmpfs":  types.ServiceVolumeTmpfs{},
		"services.*.depends_on.*":      types.ServiceDependency{},
		"networks.*":                   types.NetworkConfig{},
		"volumes.*":                    types.VolumeConfig{},
	} {
		for _, key := range yamlKeys(reflect.TypeOf(value)) {
			path := prefix + "." + key
			if _, ok := ruleFor(path); !ok && !legacy[path] {
				t.Errorf("no decision for %s", path)
			}
		}
	}
}

func yamlKeys(of reflect.Type) []string {
	var keys []string
	for i := range of.NumField() {
		field := of.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case field.Anonymous:
			keys = append(keys, yamlKeys(field.Type)...)
		case name == "-" || name == "#extensions" || strings.Contains(options, "inline"):
		default:
			keys = append(keys, name)
		}
	}
	return keys
}
