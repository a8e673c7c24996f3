package proof

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// overlay is the form that the compiler's -overlay flag takes: the file to
// read in place of each one.
type overlay struct {
	Replace map[string]string
}

// Build compiles the worker with the variant's changes into the file binary.
// Root is the project's root; scratch is a folder for the changed sources.
func (v Variant) Build(ctx context.Context, root, scratch, binary string) error {
	replaced := overlay{Replace: map[string]string{}}
	for index, change := range v.Changes {
		original := filepath.Join(root, change.File)
		source := original
		if changed := replaced.Replace[original]; changed != "" {
			source = changed // a second change to one file
		}
		text, err := os.ReadFile(source)
		if err != nil {
			return fmt.Errorf("change %s: %w", change.File, err)
		}
		if n := strings.Count(string(text), change.Old); n != 1 {
			return fmt.Errorf("change %s: the text to replace stands there %d times, want once: the variant must follow the code:\n%s", change.File, n, change.Old)
		}
		changed := filepath.Join(scratch, fmt.Sprintf("%d-%s", index, filepath.Base(change.File)))
		if err := os.WriteFile(changed, []byte(strings.Replace(string(text), change.Old, change.New, 1)), 0o644); err != nil {
			return fmt.Errorf("change %s: %w", change.File, err)
		}
		replaced.Replace[original] = changed
	}
	listing, err := json.Marshal(replaced)
	if err != nil {
		return fmt.Errorf("write overlay: %w", err)
	}
	overlayFile := filepath.Join(scratch, "overlay.json")
	if err := os.WriteFile(overlayFile, listing, 0o644); err != nil {
		return fmt.Errorf("write overlay: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-overlay", overlayFile, "-o", binary, "./workers")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build variant %s: %w\n%s", v.Name, err, output)
	}
	return nil
}
