// Command killpoint runs chaos scenarios against containers and says whether
// anything was lost.
package main

import (
	"os"

	"github.com/killpoint/killpoint/orchestrator/cli"
)

func main() { os.Exit(cli.Main()) }
