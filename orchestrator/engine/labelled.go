package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
)

// Thing is a container, network or volume that the engine has.
type Thing struct {
	ID      string // a volume's is its name
	Name    string
	Labels  map[string]string
	Created time.Time // the engine's clock; zero where it does not say
	State   string    // of a container: created, running, paused, exited …
}

// Things is what bears a label.
type Things struct {
	Containers []Thing
	Networks   []Thing
	Volumes    []Thing
}

// Labelled gives everything that bears a label with that value; an empty
// value stands for any.
func (e *Engine) Labelled(ctx context.Context, label, value string) (Things, error) {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	bearing := filters.NewArgs(filters.Arg("label", joinNonEmpty("=", label, value)))
	var things Things
	containers, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: bearing})
	if err != nil {
		return things, fmt.Errorf("list containers with label %s: %w", label, err)
	}
	for _, found := range containers {
		thing := Thing{ID: found.ID, Labels: found.Labels, Created: time.Unix(found.Created, 0), State: string(found.State)}
		if len(found.Names) > 0 {
			thing.Name = strings.TrimPrefix(found.Names[0], "/")
		}
		things.Containers = append(things.Containers, thing)
	}
	networks, err := e.api.NetworkList(ctx, network.ListOptions{Filters: bearing})
	if err != nil {
		return things, fmt.Errorf("list networks with label %s: %w", label, err)
	}
	for _, found := range networks {
		things.Networks = append(things.Networks, Thing{ID: found.ID, Name: found.Name, Labels: found.Labels, Created: found.Created})
	}
	volumes, err := e.api.VolumeList(ctx, volume.ListOptions{Filters: bearing})
	if err != nil {
		return things, fmt.Errorf("list volumes with label %s: %w", label, err)
	}
	for _, found := range volumes.Volumes {
		things.Volumes = append(things.Volumes, Thing{ID: found.Name, Name: found.Name, Labels: found.Labels, Created: parseTime(found.CreatedAt)})
	}
	return things, nil
}
