package partition_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/killpoint/killpoint/partition"
)

// A worker opens the directory once, tells what a death of its last life left
// behind, and then writes group after group. It acknowledges its messages when
// Write has returned; a message that comes again is a duplicate.
func Example() {
	dir, err := os.MkdirTemp("", "partition")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	writer, err := partition.Open(ctx, partition.Options{
		Dir:        filepath.Join(dir, "partitions"),
		StateDir:   filepath.Join(dir, "state"),
		Partitions: 2,
		Header:     "user_id,name",
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, repair := range writer.Recovery().Repaired {
		fmt.Println("repaired", repair)
	}

	chunk := partition.NewChunk("4f1c", "TEST-users")
	for user, name := range []string{"anna", "ben", "cleo"} {
		if err := chunk.Add(user%2, fmt.Appendf(nil, "%d,%s", user, name)); err != nil {
			log.Fatal(err)
		}
	}
	for range 2 { // the broker delivers the message twice
		results, err := writer.Write(ctx, []*partition.Chunk{chunk})
		if errors.Is(err, partition.ErrFailed) {
			log.Fatal(err) // close, open again, and write the group again
		}
		if err != nil {
			log.Fatal(err)
		}
		for _, result := range results {
			fmt.Printf("chunk %s: duplicate %v, partitions %v\n", result.ID, result.Duplicate, result.Partitions)
		}
	}
	if err := writer.Close(); err != nil {
		log.Fatal(err)
	}

	rows, err := os.ReadFile(filepath.Join(dir, "partitions", "TEST-users-partition-000.csv"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(rows))
	// Output:
	// chunk 4f1c: duplicate false, partitions [0 1]
	// chunk 4f1c: duplicate true, partitions []
	// user_id,name
	// 0,anna
	// 2,cleo
}

// Verify can look at a directory beside its idle writer.
func ExampleVerify() {
	dir, err := os.MkdirTemp("", "partition")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	options := partition.Options{Dir: filepath.Join(dir, "partitions"), StateDir: filepath.Join(dir, "state"), Partitions: 2}
	writer, err := partition.Open(context.Background(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer writer.Close()
	chunk := partition.NewChunk("4f1c", "TEST-users")
	if err := chunk.Add(1, []byte("7,dora")); err != nil {
		log.Fatal(err)
	}
	if _, err := writer.Write(context.Background(), []*partition.Chunk{chunk}); err != nil {
		log.Fatal(err)
	}
	report, err := partition.Verify(options)
	fmt.Println(report.Files, "file,", report.Rows, "row,", report.Chunks, "chunk:", errors.Join(err, report.Err()))
	// Output: 1 file, 1 row, 1 chunk: <nil>
}
