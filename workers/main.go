// Command worker is every service of the partition-writes pipeline.
package main

import (
	"context"
	"os"

	"github.com/killpoint/killpoint/workers/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}
