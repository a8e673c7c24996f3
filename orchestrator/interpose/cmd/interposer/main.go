// The interposer as a program of its own: a few megabytes to copy into each container, instead of the whole of killpoint.
package main

import (
	"os"

	"github.com/killpoint/killpoint/orchestrator/interpose/supervisor"
)

func main() {
	os.Exit(supervisor.Main(os.Args[1:], os.Stdin, os.Stdout))
}
