package report

import (
	"encoding/json"
	"fmt"
	"io"
)

// WriteJSON writes the document as docs/json.md describes it.
func WriteJSON(to io.Writer, document Document) error {
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}
