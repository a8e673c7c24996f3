package run

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// createNetworks makes the networks that the services are on.
func (g *group) createNetworks(ctx context.Context, services []*service) error {
	defer g.recorder.Span(history.SpanContainers, "networks")()
	for _, network := range g.system.Networks {
		used := slices.ContainsFunc(services, func(s *service) bool {
			return slices.ContainsFunc(s.spec.Networks, func(a system.Attachment) bool { return a.Network == network.Name })
		})
		if !used {
			continue
		}
		name := network.ExternalName
		if !network.External {
			name = g.name(network.Name)
			making, err := g.making(ctx, &g.made.Networks, name)
			if err != nil {
				return err
			}
			if err := g.engine.CreateNetwork(making, name, network, g.labels); err != nil {
				return fmt.Errorf("create network %s: %w", network.Name, err)
			}
		}
		g.mu.Lock()
		g.networks[network.Name] = name
		g.mu.Unlock()
	}
	return nil
}

// attachments is the service's place on each network, by the engine's names.
func (s *service) attachments() []system.Attachment {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	attachments := slices.Clone(s.spec.Networks)
	for index := range attachments {
		attachments[index].Network = s.networks[attachments[index].Network]
	}
	return attachments
}

// createVolumes makes the named volumes that the services mount.
func (g *group) createVolumes(ctx context.Context, services []*service) error {
	for _, volume := range g.system.Volumes {
		used := slices.ContainsFunc(services, func(s *service) bool {
			return slices.ContainsFunc(s.spec.Mounts, func(m system.Mount) bool {
				return m.Kind == system.MountVolume && m.Source == volume.Name
			})
		})
		if volume.External || !used {
			continue
		}
		name := g.name(volume.Name)
		making, err := g.making(ctx, &g.made.Volumes, name)
		if err != nil {
			return err
		}
		if err := g.engine.CreateVolume(making, name, volume, g.labels); err != nil {
			return fmt.Errorf("create volume %s: %w", volume.Name, err)
		}
	}
	return nil
}

// volumeNames is what each named volume is called on the engine.
func (s *service) volumeNames() map[string]string {
	names := map[string]string{}
	s.group.mu.Lock()
	id := cmp.Or(s.group.volumes, s.group.id)
	s.group.mu.Unlock()
	for _, volume := range s.system.Volumes {
		names[volume.Name] = thingName(id, volume.Name)
		if volume.External {
			names[volume.Name] = volume.ExternalName
		}
	}
	return names
}

// copyBinds makes the throw-away copy of each host folder that the service
// mounts. Services that mount the same folder share one copy, as they would
// share the folder.
func (s *service) copyBinds(ctx context.Context, image string) error {
	if s.options.BindRW {
		return nil
	}
	s.copying.Lock()
	defer s.copying.Unlock()
	for _, mount := range s.spec.Mounts {
		if mount.Kind != system.MountBind || mount.File || s.copiedBinds()[mount.Source] != "" {
			continue
		}
		name := s.name("bind-" + strconv.Itoa(len(s.copies)+1))
		making, err := s.making(ctx, &s.made.Volumes, name)
		if err != nil {
			return err
		}
		if err := s.engine.CreateVolume(making, name, system.Volume{Name: name}, s.labels); err != nil {
			return fmt.Errorf("create volume for the copy of %s: %w", mount.Source, err)
		}
		fill := engine.FillSpec{Volume: name, Source: mount.Source, Image: image, Name: name + "-fill", Labels: s.labels}
		if making, err = s.making(ctx, &s.made.Containers, fill.Name); err != nil {
			return err
		}
		if err := s.engine.FillVolume(making, fill); err != nil {
			return fmt.Errorf("copy %s, which %s mounts: %w", mount.Source, s.spec.Name, err)
		}
		s.group.mu.Lock()
		s.copies[mount.Source] = name
		s.group.mu.Unlock()
	}
	return nil
}

// copiedBinds is the volume that holds the copy of each host folder.
func (s *service) copiedBinds() map[string]string {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	copies := map[string]string{}
	for source, volume := range s.copies {
		copies[source] = volume
	}
	return copies
}
