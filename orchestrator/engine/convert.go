package engine

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/killpoint/killpoint/orchestrator/system"
)

// convert makes the engine's form of a container, and the single files that
// must be put into it before it starts.
func (e *Engine) convert(spec ContainerSpec) (*container.Config, *container.HostConfig, []placedFile, error) {
	service := spec.Service
	mounts, files, err := convertMounts(spec)
	if err != nil {
		return nil, nil, nil, err
	}
	config := &container.Config{
		Hostname: service.Hostname, Domainname: service.DomainName,
		User: service.User, WorkingDir: service.WorkingDir, Image: spec.Image,
		Tty: service.TTY, OpenStdin: service.StdinOpen,
		Entrypoint: first(spec.Entrypoint, service.Entrypoint), Cmd: first(spec.Command, service.Command),
		Env:        environment(service.Environment, spec.Environment),
		Labels:     merge(service.Labels, spec.Labels),
		StopSignal: service.StopSignal, StopTimeout: wholeSeconds(service.StopGracePeriod),
		Healthcheck: e.healthcheck(service.Healthcheck),
	}
	host := &container.HostConfig{
		LogConfig:     completeLog(),
		NetworkMode:   networkMode(spec),
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyMode(service.Restart.Name), MaximumRetryCount: service.Restart.MaxRetries},
		CapAdd:        append(slices.Clone(service.CapAdd), spec.CapAdd...), CapDrop: service.CapDrop,
		SecurityOpt: append(slices.Clone(service.SecurityOpt), spec.SecurityOpt...),
		DNS:         service.DNS, DNSOptions: service.DNSOptions, DNSSearch: service.DNSSearch,
		ExtraHosts: append(slices.Clone(service.ExtraHosts), spec.ExtraHosts...),
		GroupAdd:   service.GroupAdd, IpcMode: container.IpcMode(service.IPC), Privileged: service.Privileged,
		ReadonlyRootfs: service.ReadOnly, StorageOpt: service.StorageOpt, Sysctls: service.Sysctls,
		Runtime: service.Runtime, Init: service.Init, ShmSize: service.Limits.ShmSize,
		OomScoreAdj: service.Limits.OOMScoreAdjust,
		Tmpfs:       tmpfs(service.Tmpfs), Mounts: mounts,
		Resources: resources(service.Limits, service.Ulimits),
	}
	if spec.Publish {
		if config.ExposedPorts, host.PortBindings, err = ports(service.Ports); err != nil {
			return nil, nil, nil, err
		}
	}
	return config, host, files, nil
}

// completeLog is a log that can be read back by exact position: a driver that
// can be read, that never throws the oldest lines away and that rather makes
// the program wait than drop its newest. Engines may be set up otherwise.
func completeLog() container.LogConfig {
	return container.LogConfig{Type: "json-file", Config: map[string]string{
		"mode":     "blocking",
		"max-size": "1000000g", // there is no word for "no limit"
	}}
}

// first is the first of the lists that is not nil, so that an empty one
// clears what the image says.
func first(lists ...[]string) []string {
	for _, list := range lists {
		if list != nil {
			return list
		}
	}
	return nil
}

func merge(layers ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, layer := range layers {
		maps.Copy(all, layer)
	}
	return all
}

func environment(layers ...map[string]string) []string {
	all := merge(layers...)
	list := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}

// wholeSeconds rounds up: the engine keeps whole seconds, and a service must
// not be given less than its compose file says.
func wholeSeconds(d *time.Duration) *int {
	if d == nil {
		return nil
	}
	seconds := int(math.Ceil(d.Seconds()))
	return &seconds
}

func (e *Engine) healthcheck(check *system.Healthcheck) *container.HealthConfig {
	if check == nil {
		return nil
	}
	config := &container.HealthConfig{
		Test: check.Test, Interval: check.Interval, Timeout: check.Timeout,
		StartPeriod: check.StartPeriod, Retries: check.Retries,
	}
	// Older engines do not know the start interval. It only makes a healthy
	// service known earlier, so there it is left out.
	if versions.GreaterThanOrEqualTo(e.api.ClientVersion(), "1.44") {
		config.StartInterval = check.StartInterval
	}
	return config
}

func networkMode(spec ContainerSpec) container.NetworkMode {
	switch {
	case len(spec.Networks) > 0:
		return container.NetworkMode(spec.Networks[0].Network)
	case spec.Service.NetworkMode != "":
		return container.NetworkMode(spec.Service.NetworkMode)
	}
	// Never the engine's default network by accident: whatever else is on it
	// is not part of the run.
	return "none"
}

func platform(text string) *ocispec.Platform {
	if text == "" {
		return nil
	}
	parts := append(strings.SplitN(text, "/", 3), "", "")
	return &ocispec.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}

func tmpfs(list []string) map[string]string {
	all := map[string]string{}
	for _, entry := range list {
		path, options, _ := strings.Cut(entry, ":")
		all[path] = options
	}
	return all
}

func resources(limits system.Limits, ulimits []system.Ulimit) container.Resources {
	converted := container.Resources{
		Memory: limits.Memory, MemoryReservation: limits.MemoryReservation,
		MemorySwap: limits.MemorySwap, MemorySwappiness: limits.MemorySwappiness,
		NanoCPUs: limits.NanoCPUs, CPUShares: limits.CPUShares,
		CPUPeriod: limits.CPUPeriod, CPUQuota: limits.CPUQuota, CpusetCpus: limits.CPUSet,
		Ulimits: convertUlimits(ulimits),
	}
	if limits.PIDs != 0 {
		converted.PidsLimit = &limits.PIDs
	}
	if limits.OOMKillDisable {
		converted.OomKillDisable = &limits.OOMKillDisable
	}
	return converted
}

func convertUlimits(ulimits []system.Ulimit) []*container.Ulimit {
	var converted []*container.Ulimit
	for _, ulimit := range ulimits {
		converted = append(converted, &units.Ulimit{Name: ulimit.Name, Soft: ulimit.Soft, Hard: ulimit.Hard})
	}
	return converted
}

func ports(list []system.Port) (nat.PortSet, nat.PortMap, error) {
	exposed, bound := nat.PortSet{}, nat.PortMap{}
	for _, port := range list {
		protocol := port.Protocol
		if protocol == "" {
			protocol = "tcp"
		}
		target, err := nat.NewPort(protocol, strconv.Itoa(int(port.Target)))
		if err != nil {
			return nil, nil, fmt.Errorf("publish port %d: %w", port.Target, err)
		}
		exposed[target] = struct{}{}
		bound[target] = append(bound[target], nat.PortBinding{HostIP: port.HostIP, HostPort: port.Published})
	}
	return exposed, bound, nil
}

// convertMounts decides what each mount becomes: a bind mount of a folder is
// the volume with its copy, one of a single file becomes a file that is put
// into the container, unless the real thing was asked for.
func convertMounts(spec ContainerSpec) ([]mount.Mount, []placedFile, error) {
	var mounts []mount.Mount
	var files []placedFile
	for _, wanted := range spec.Service.Mounts {
		switch {
		case wanted.Kind == system.MountBind && !spec.BindRW && wanted.File:
			if !spec.Service.ReadOnly {
				files = append(files, placedFile{target: wanted.Target, source: wanted.Source})
				continue
			}
			// Nothing can be put on a read-only root. A read-only mount of
			// the real file does it no harm; a writable one would.
			if !wanted.ReadOnly {
				return nil, nil, fmt.Errorf("copy %s to %s: a read-only root file system cannot be given a writable copy of one file: bind its folder, make the bind read-only, or use --bind-rw",
					wanted.Source, wanted.Target)
			}
			mounts = append(mounts, convertMount(spec, wanted))
		case wanted.Kind == system.MountBind && !spec.BindRW:
			volume := spec.Copies[wanted.Source]
			if volume == "" {
				return nil, nil, fmt.Errorf("mount %s: there is no copy of that folder", wanted.Source)
			}
			// The image's content must not shine through a bind mount.
			mounts = append(mounts, mount.Mount{
				Type: mount.TypeVolume, Source: volume, Target: wanted.Target, ReadOnly: wanted.ReadOnly,
				VolumeOptions: &mount.VolumeOptions{NoCopy: true},
			})
		case wanted.Kind == system.MountVolume && wanted.Source != "" && spec.Volumes[wanted.Source] == "":
			return nil, nil, fmt.Errorf("mount volume %s: no such volume was created", wanted.Source)
		default:
			mounts = append(mounts, convertMount(spec, wanted))
		}
	}
	for _, file := range spec.Service.Files {
		files = append(files, placedFile{target: file.Target, content: file.Content, mode: fs.FileMode(file.Mode), uid: file.UID, gid: file.GID})
	}
	if spec.Service.ReadOnly && len(spec.Service.Files) > 0 {
		return nil, nil, fmt.Errorf("put %s in place: a read-only root file system cannot be given configs or secrets", files[len(files)-1].target)
	}
	return mounts, files, nil
}

func convertMount(spec ContainerSpec, wanted system.Mount) mount.Mount {
	converted := mount.Mount{Target: wanted.Target, ReadOnly: wanted.ReadOnly}
	switch wanted.Kind {
	case system.MountBind:
		converted.Type, converted.Source = mount.TypeBind, wanted.Source
	case system.MountTmpfs:
		converted.Type = mount.TypeTmpfs
		if wanted.TmpfsSize != 0 || wanted.TmpfsMode != 0 {
			converted.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: wanted.TmpfsSize, Mode: os.FileMode(wanted.TmpfsMode)}
		}
	default:
		converted.Type, converted.Source = mount.TypeVolume, spec.Volumes[wanted.Source]
		if wanted.NoCopy {
			converted.VolumeOptions = &mount.VolumeOptions{NoCopy: true}
		}
	}
	return converted
}
