package system

import (
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// networks gives a service its places on networks, under every name that
// others may know it by.
func (l *load) networks(from types.ServiceConfig, to *Service) {
	switch from.NetworkMode {
	case "":
	case "none", "bridge":
		to.NetworkMode = from.NetworkMode
		return
	default:
		l.add(at(from, "network_mode"), "use networks; services of one network reach each other by name",
			"network_mode %s of service %s is not supported: it reaches outside its container", from.NetworkMode, from.Name)
		return
	}
	for _, name := range from.NetworksByPriority() {
		attachment := Attachment{Network: name}
		config := from.Networks[name]
		if config.ServiceNameAliasEnabled() {
			attachment.Aliases = append(attachment.Aliases, from.Name)
		}
		if from.ContainerName != "" {
			attachment.Aliases = append(attachment.Aliases, from.ContainerName)
		}
		if config != nil {
			attachment.Aliases = append(attachment.Aliases, config.Aliases...)
			attachment.IPv4, attachment.IPv6 = config.Ipv4Address, config.Ipv6Address
			attachment.LinkLocal, attachment.DriverOpts = config.LinkLocalIPs, config.DriverOpts
		}
		slices.Sort(attachment.Aliases)
		attachment.Aliases = slices.Compact(attachment.Aliases)
		to.Networks = append(to.Networks, attachment)
	}
}

// shared gives the system the networks and volumes that its services use;
// those of disabled services are not created.
func (l *load) shared() {
	networks, volumes := map[string]bool{}, map[string]bool{}
	for _, service := range l.system.Services {
		for _, attachment := range service.Networks {
			networks[attachment.Network] = true
		}
		for _, mounted := range service.Mounts {
			if mounted.Kind == MountVolume && mounted.Source != "" {
				volumes[mounted.Source] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		l.system.Networks = append(l.system.Networks, l.network(name, l.project.Networks[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(volumes)) {
		l.system.Volumes = append(l.system.Volumes, l.volume(name, l.project.Volumes[name]))
	}
}

func (l *load) network(name string, from types.NetworkConfig) Network {
	to := Network{
		Name: name, External: bool(from.External), Driver: from.Driver, DriverOpts: from.DriverOpts,
		Internal: from.Internal, EnableIPv6: from.EnableIPv6 != nil && *from.EnableIPv6,
	}
	if to.External {
		to.ExternalName = from.Name
		return to
	}
	if from.Driver != "" && from.Driver != "bridge" {
		l.add([]string{"networks", name, "driver"}, "use the bridge driver, or leave it out", "driver %s of network %s is not supported", from.Driver, name)
	}
	for _, pool := range from.Ipam.Config {
		to.Subnets = append(to.Subnets, Subnet{Subnet: pool.Subnet, Gateway: pool.Gateway, IPRange: pool.IPRange, Reserved: pool.AuxiliaryAddresses})
	}
	return to
}

func (l *load) volume(name string, from types.VolumeConfig) Volume {
	to := Volume{Name: name, External: bool(from.External), DriverOpts: from.DriverOpts}
	if to.External {
		to.ExternalName = from.Name
		return to
	}
	if from.Driver != "" && from.Driver != "local" {
		l.add([]string{"volumes", name, "driver"}, "use the local driver, or leave it out", "driver %s of volume %s is not supported", from.Driver, name)
	}
	// A volume that is a folder or a share by another name would let the run
	// change what it did not make.
	if len(from.DriverOpts) > 0 && from.DriverOpts["type"] != "tmpfs" {
		l.add([]string{"volumes", name, "driver_opts"}, "leave it out, or use type: tmpfs", "volume %s is kept outside the run (%s)", name, from.DriverOpts["device"])
	}
	return to
}
