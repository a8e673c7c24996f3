package engine

import (
	"context"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/system"
)

func TestLabelled(t *testing.T) {
	ctx, e := with(t)
	const label = "kpe.leftover"
	mine := merge(labels(), map[string]string{label: session, "kpe.owner": "me"})
	network, volume := name("net"), name("vol")
	if err := e.CreateNetwork(ctx, network, system.Network{}, mine); err != nil {
		t.Fatal(err)
	}
	defer e.RemoveNetwork(context.Background(), network)
	if err := e.CreateVolume(ctx, volume, system.Volume{}, mine); err != nil {
		t.Fatal(err)
	}
	defer e.RemoveVolume(context.Background(), volume)
	container := name("c")
	id := start(t, func(spec *ContainerSpec) { spec.Name, spec.Labels = container, mine }, "wait")
	start(t, nil, "wait") // without the label

	for _, value := range []string{session, ""} {
		things, err := e.Labelled(ctx, label, value)
		if err != nil {
			t.Fatal(err)
		}
		for what, found := range map[string][]Thing{container: things.Containers, network: things.Networks, volume: things.Volumes} {
			if len(found) != 1 || found[0].Name != what || found[0].Labels["kpe.owner"] != "me" || time.Since(found[0].Created).Abs() > time.Hour {
				t.Errorf("value %q: %+v, want only %s", value, found, what)
			}
		}
		if things.Containers[0].ID != id || things.Containers[0].State != "running" {
			t.Errorf("container %+v", things.Containers[0])
		}
	}
	if things, err := e.Labelled(ctx, label, "another"); err != nil || len(things.Containers)+len(things.Networks)+len(things.Volumes) != 0 {
		t.Errorf("another value: %+v, error %v", things, err)
	}
}
