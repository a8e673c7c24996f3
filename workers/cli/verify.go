package cli

import (
	"context"
	"fmt"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/workers/config"
	"github.com/killpoint/killpoint/workers/worker2"
)

// verify compares what worker-2 has written with what it has recorded.
func verify(r *config.Reader) func(context.Context, func(string, ...any)) error {
	files := worker2.ReadFiles(r)
	return func(_ context.Context, log func(string, ...any)) error {
		report, err := partition.Verify(files)
		if err != nil {
			return fmt.Errorf("verify partitions: %w", err)
		}
		if err := report.Err(); err != nil {
			return err
		}
		log("%d chunks, %d rows and %d bytes in %d partition files: state and partitions agree", report.Chunks, report.Rows, report.Bytes, report.Files)
		return nil
	}
}
