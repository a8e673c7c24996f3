// Command killpoint runs chaos scenarios against containers and says whether
// anything was lost.
package main

import (
	"os"

	"github.com/killpoint/killpoint/orchestrator/cli"
	"github.com/killpoint/killpoint/orchestrator/interpose/supervisor"
)

func main() {
	if supervisor.Invoked(os.Args) {
		os.Exit(supervisor.Main(os.Args[1:], os.Stdin, os.Stdout))
	}
	os.Exit(cli.Main())
}
