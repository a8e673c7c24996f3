package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"github.com/killpoint/killpoint/orchestrator/system"
)

// CreateNetwork makes a network under the engine's name for it.
func (e *Engine) CreateNetwork(ctx context.Context, name string, spec system.Network, labels map[string]string) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	options := network.CreateOptions{
		Driver: spec.Driver, Options: spec.DriverOpts, Internal: spec.Internal, Labels: labels,
	}
	if options.Driver == "" {
		options.Driver = "bridge"
	}
	if spec.EnableIPv6 {
		options.EnableIPv6 = &spec.EnableIPv6
	}
	if len(spec.Subnets) > 0 {
		options.IPAM = &network.IPAM{}
		for _, subnet := range spec.Subnets {
			options.IPAM.Config = append(options.IPAM.Config, network.IPAMConfig{
				Subnet: subnet.Subnet, Gateway: subnet.Gateway, IPRange: subnet.IPRange, AuxAddress: subnet.Reserved,
			})
		}
	}
	_, err := e.api.NetworkCreate(ctx, name, options)
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "address pool"):
		return fmt.Errorf("create network %s: the engine has no address range left, or another network has this one (docker network ls; docker network prune): %w", name, err)
	}
	return fmt.Errorf("create network %s: %w", name, createError(err))
}

// RemoveNetwork removes a network; one that is not there is no error.
func (e *Engine) RemoveNetwork(ctx context.Context, name string) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	if err := e.api.NetworkRemove(ctx, name); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove network %s: %w", name, err)
	}
	return nil
}

// Connect puts a container on a network, under the attachment's aliases.
func (e *Engine) Connect(ctx context.Context, id string, attachment system.Attachment) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	if err := e.api.NetworkConnect(ctx, attachment.Network, id, endpointSettings(attachment)); err != nil {
		return fmt.Errorf("connect container %s to network %s: %w", short(id), attachment.Network, err)
	}
	return nil
}

// Disconnect takes a container off a network. Its open connections get no
// sign of it, as when a cable is pulled.
func (e *Engine) Disconnect(ctx context.Context, id, networkName string) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	if err := e.api.NetworkDisconnect(ctx, networkName, id, false); err != nil {
		return fmt.Errorf("disconnect container %s from network %s: %w", short(id), networkName, err)
	}
	return nil
}

// CreateVolume makes a volume under the engine's name for it. The engine has
// no word for "it is there already": the caller's names must be its own.
func (e *Engine) CreateVolume(ctx context.Context, name string, spec system.Volume, labels map[string]string) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	_, err := e.api.VolumeCreate(ctx, volume.CreateOptions{Name: name, Driver: "local", DriverOpts: spec.DriverOpts, Labels: labels})
	if err != nil {
		return fmt.Errorf("create volume %s: %w", name, err)
	}
	return nil
}

// RemoveVolume removes a volume; one that is not there is no error.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	if err := e.api.VolumeRemove(ctx, name, true); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove volume %s: %w", name, err)
	}
	return nil
}

// HasNetwork and HasVolume say whether the engine has a thing of that name:
// external ones must be there before a run begins.
func (e *Engine) HasNetwork(ctx context.Context, name string) (bool, error) {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	_, err := e.api.NetworkInspect(ctx, name, network.InspectOptions{})
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up network %s: %w", name, err)
	}
	return true, nil
}

// HasVolume: see HasNetwork.
func (e *Engine) HasVolume(ctx context.Context, name string) (bool, error) {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	_, err := e.api.VolumeInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up volume %s: %w", name, err)
	}
	return true, nil
}
