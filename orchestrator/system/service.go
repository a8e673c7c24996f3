package system

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// service makes one of the loader's services into ours, and reports the
// values that we do not do.
func (l *load) service(from types.ServiceConfig) Service {
	to := Service{
		Name: from.Name, Image: from.Image, Build: l.build(from), Platform: from.Platform, PullPolicy: from.PullPolicy,
		Command: from.Command, Entrypoint: from.Entrypoint,
		Environment: environment(from.Environment), Labels: from.Labels,
		User: from.User, WorkingDir: from.WorkingDir, Hostname: from.Hostname, DomainName: from.DomainName,
		ContainerName: from.ContainerName, Healthcheck: healthcheck(from.HealthCheck), DependsOn: l.dependencies(from.DependsOn),
		DNS: from.DNS, DNSOptions: from.DNSOpts, DNSSearch: from.DNSSearch,
		Tmpfs: from.Tmpfs, Restart: l.restartPolicy(from),
		StopSignal: from.StopSignal, StopGracePeriod: duration(from.StopGracePeriod),
		Init: from.Init, TTY: from.Tty, StdinOpen: from.StdinOpen, ReadOnly: from.ReadOnly, Privileged: from.Privileged,
		CapAdd: from.CapAdd, CapDrop: from.CapDrop, SecurityOpt: from.SecurityOpt, GroupAdd: from.GroupAdd,
		Sysctls: from.Sysctls, StorageOpt: from.StorageOpt, Ulimits: ulimits(from.Ulimits), Runtime: from.Runtime,
		Limits: limits(from),
	}
	to.ExtraHosts = from.ExtraHosts.AsList(":")
	slices.Sort(to.ExtraHosts)
	l.checkScale(from)
	l.checkLinks(from)
	l.ipc(from, &to)
	l.networks(from, &to)
	l.ports(from, &to)
	l.mounts(from, &to)
	l.files(from, &to)
	if to.Restart.Active() {
		l.system.Warnings = append(l.system.Warnings, fmt.Sprintf(
			"service %s has the restart policy %s: the engine may start it again by itself when it exits", from.Name, to.Restart.Name))
	}
	return to
}

// at is the path of a service's key in the compose file.
func at(service types.ServiceConfig, keys ...string) []string {
	return append([]string{"services", service.Name}, keys...)
}

func (l *load) build(from types.ServiceConfig) *Build {
	b := from.Build
	if b == nil {
		return nil
	}
	if strings.Contains(b.Context, "://") || strings.HasPrefix(b.Context, "git@") {
		l.add(at(from, "build"), "clone it and give its folder", "build context %s of service %s is not a folder on this machine", b.Context, from.Name)
	}
	if len(b.Platforms) > 1 {
		l.add(at(from, "build", "platforms"), "name one", "service %s is built for %d platforms", from.Name, len(b.Platforms))
	}
	platform := from.Platform
	if len(b.Platforms) == 1 {
		platform = b.Platforms[0]
	}
	hosts := b.ExtraHosts.AsList(":")
	slices.Sort(hosts)
	return &Build{
		Context: b.Context, Dockerfile: b.Dockerfile, DockerfileInline: b.DockerfileInline, Target: b.Target,
		Args: environment(b.Args), Labels: b.Labels, CacheFrom: b.CacheFrom, ExtraHosts: hosts, Network: b.Network,
		Platform: platform, Tags: b.Tags, NoCache: b.NoCache, Pull: b.Pull, ShmSize: int64(b.ShmSize), Ulimits: ulimits(b.Ulimits),
	}
}

func healthcheck(from *types.HealthCheckConfig) *Healthcheck {
	if from == nil {
		return nil
	}
	to := &Healthcheck{
		Test: from.Test, Interval: value(from.Interval), Timeout: value(from.Timeout),
		StartPeriod: value(from.StartPeriod), StartInterval: value(from.StartInterval),
	}
	if from.Retries != nil {
		to.Retries = int(*from.Retries)
	}
	if from.Disable {
		to.Test = []string{"NONE"}
	}
	return to
}

func value(d *types.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return time.Duration(*d)
}

func duration(d *types.Duration) *time.Duration {
	if d == nil {
		return nil
	}
	converted := time.Duration(*d)
	return &converted
}

// dependencies leaves out services of profiles that are not enabled: the
// loader has made sure that those are not required.
func (l *load) dependencies(from types.DependsOnConfig) []Dependency {
	var list []Dependency
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if _, enabled := l.project.Services[name]; !enabled {
			continue
		}
		list = append(list, Dependency{
			Service: name, Condition: Condition(from[name].Condition), Required: from[name].Required, Restart: from[name].Restart,
		})
	}
	return list
}

// restartPolicy reads restart, or what Compose takes in its place.
func (l *load) restartPolicy(from types.ServiceConfig) RestartPolicy {
	if from.Restart != "" {
		name, count, _ := strings.Cut(from.Restart, ":")
		policy := RestartPolicy{Name: name}
		if !slices.Contains([]string{"no", "always", "on-failure", "unless-stopped"}, name) {
			l.add(at(from, "restart"), "use no, always, on-failure, on-failure:3 or unless-stopped", "service %s has an unknown restart policy %q", from.Name, from.Restart)
		}
		if count != "" {
			retries, err := strconv.Atoi(count)
			if err != nil || name != "on-failure" {
				l.add(at(from, "restart"), "a number of retries goes with on-failure:3 only", "service %s has an unknown restart policy %q", from.Name, from.Restart)
			}
			policy.MaxRetries = retries
		}
		return policy
	}
	if from.Deploy == nil || from.Deploy.RestartPolicy == nil {
		return RestartPolicy{}
	}
	deployed := from.Deploy.RestartPolicy
	policy := RestartPolicy{Name: map[string]string{"": "always", "any": "always", "none": "no", "on-failure": "on-failure"}[deployed.Condition]}
	if policy.Name == "" {
		l.add(at(from, "deploy", "restart_policy", "condition"), "use none, on-failure or any", "service %s has an unknown restart condition %q", from.Name, deployed.Condition)
	}
	if deployed.MaxAttempts != nil && policy.Name == "on-failure" {
		policy.MaxRetries = int(*deployed.MaxAttempts)
	}
	return policy
}

func ulimits(from map[string]*types.UlimitsConfig) []Ulimit {
	var list []Ulimit
	for _, name := range slices.Sorted(maps.Keys(from)) {
		limit := Ulimit{Name: name, Soft: int64(from[name].Soft), Hard: int64(from[name].Hard)}
		if from[name].Single != 0 {
			limit.Soft, limit.Hard = int64(from[name].Single), int64(from[name].Single)
		}
		list = append(list, limit)
	}
	return list
}

// limits takes the service's own keys first and those of deploy, which mean
// the same, where they are not set.
func limits(from types.ServiceConfig) Limits {
	to := Limits{
		Memory: int64(from.MemLimit), MemoryReservation: int64(from.MemReservation), MemorySwap: int64(from.MemSwapLimit),
		NanoCPUs: nanoCPUs(from.CPUS), CPUShares: from.CPUShares, CPUPeriod: from.CPUPeriod, CPUQuota: from.CPUQuota,
		CPUSet: from.CPUSet, PIDs: from.PidsLimit, ShmSize: int64(from.ShmSize),
		OOMScoreAdjust: int(from.OomScoreAdj), OOMKillDisable: from.OomKillDisable,
	}
	if from.MemSwappiness != 0 {
		swappiness := int64(from.MemSwappiness)
		to.MemorySwappiness = &swappiness
	}
	if from.Deploy != nil {
		if limited := from.Deploy.Resources.Limits; limited != nil {
			to.Memory = cmp.Or(to.Memory, int64(limited.MemoryBytes))
			to.NanoCPUs = cmp.Or(to.NanoCPUs, nanoCPUs(limited.NanoCPUs.Value()))
			to.PIDs = cmp.Or(to.PIDs, limited.Pids)
		}
		if reserved := from.Deploy.Resources.Reservations; reserved != nil {
			to.MemoryReservation = cmp.Or(to.MemoryReservation, int64(reserved.MemoryBytes))
		}
	}
	return to
}

// nanoCPUs rounds to thousandths: the loader keeps CPUs as a 32-bit float,
// whose 0.3 is not three tenths.
func nanoCPUs(cpus float32) int64 {
	const milli = 1_000_000
	return int64(float64(cpus)*1000+0.5) * milli
}

func (l *load) checkScale(from types.ServiceConfig) {
	key := []string{"scale"}
	if from.Scale == nil || from.Deploy != nil && from.Deploy.Replicas != nil {
		key = []string{"deploy", "replicas"}
	}
	if _, _, depth := l.written.find(at(from, key...)...); depth < len(at(from, key...)) {
		key = []string{"scale"}
	}
	if scale := from.GetScale(); scale != 1 {
		l.add(at(from, key...), "write further instances out as services of their own (extends saves repetition)",
			"service %s has %d replicas; killpoint runs one container for each service", from.Name, scale)
	}
	if from.Deploy != nil && from.Deploy.Mode != "" && from.Deploy.Mode != "replicated" {
		l.add(at(from, "deploy", "mode"), "killpoint runs one container for each service", "deploy.mode %s of service %s is not supported", from.Deploy.Mode, from.Name)
	}
}

// checkLinks lets links pass that add nothing to a network, where every
// service is found by its name anyway.
func (l *load) checkLinks(from types.ServiceConfig) {
	for i, link := range from.Links {
		if target, alias, renamed := strings.Cut(link, ":"); renamed && alias != target {
			l.add(at(from, "links", strconv.Itoa(i)), fmt.Sprintf("give service %s the alias %s on a network instead", target, alias),
				"link %s of service %s is not supported", link, from.Name)
		}
	}
}

func (l *load) ipc(from types.ServiceConfig, to *Service) {
	switch from.Ipc {
	case "", "none", "private", "shareable":
		to.IPC = from.Ipc
	default:
		l.add(at(from, "ipc"), "leave it out, or use private, shareable or none", "ipc %s of service %s is not supported: it reaches outside its container", from.Ipc, from.Name)
	}
}

func (l *load) ports(from types.ServiceConfig, to *Service) {
	for i, port := range from.Ports {
		if port.Target == 0 || port.Target > 65535 {
			l.add(at(from, "ports", strconv.Itoa(i)), "", "service %s publishes port %d, which is none", from.Name, port.Target)
			continue
		}
		to.Ports = append(to.Ports, Port{Target: uint16(port.Target), Protocol: port.Protocol, Published: port.Published, HostIP: port.HostIP})
	}
}
