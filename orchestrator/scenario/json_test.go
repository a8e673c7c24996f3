package scenario

import (
	"encoding/json"
	"testing"
)

func encodeJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decodeJSON reads into target what value is as JSON.
func decodeJSON(t *testing.T, value, target any) {
	t.Helper()
	if err := json.Unmarshal([]byte(encodeJSON(t, value)), target); err != nil {
		t.Fatal(err)
	}
}
