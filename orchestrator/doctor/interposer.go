package doctor

import (
	"context"
	"errors"
	"fmt"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// interposer says whether there is an interposer for the engine's containers,
// and what it may do in one.
func (c Case) interposer(ctx context.Context, connected Engine) []Finding {
	arch := connected.Info().Arch
	probed, err := c.Probe(ctx, connected)
	if errors.Is(err, interpose.ErrNoBinary) {
		return []Finding{{
			Subject: "interposer", Health: Fails, Text: err.Error() + "; crash points do not work, faults by time and by log line do",
			Fix: fmt.Sprintf("make build puts one for linux/%s beside killpoint", arch),
		}}
	}
	if err != nil {
		return []Finding{{
			Subject: "interposer", Health: Fails,
			Text: "it does not work in a container: " + err.Error(),
			Fix:  "crash points need Linux 5.19 or later and a seccomp profile like Docker's own; faults by time and by log line work without",
		}}
	}
	found := []Finding{{
		Subject: "interposer", Text: fmt.Sprintf("works in a container for linux/%s, which took %.1fs from its creation to its end", arch, probed.Took.Seconds()),
	}}
	if !probed.FirstProcess {
		found[0].Health, found[0].Text = Fails, "it is not the first process of its container, so that its death would not end it"
		found[0].Fix = "turn off the engine's own init: \"init\": false in its daemon.json"
	}
	if !probed.DescriptorCopy {
		found = append(found, Finding{
			Subject: "sockets", Health: Limited,
			Text: "a container is not given the capability SYS_PTRACE: crash points on AMQP messages and short reads do not work",
			Fix:  "the engine or its seccomp profile takes it away; Docker's own does not",
		})
	}
	return found
}
