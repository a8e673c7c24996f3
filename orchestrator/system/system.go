// Package system makes a compose file into the services to start: plain
// values that say what each container must be like, with everything that
// Compose itself resolves (interpolation, profiles, env files, extends,
// include) already done.
//
// It refuses by name what a run would do differently from Compose, so that
// nothing in a compose file is ever ignored in silence; the decision for each
// key is in support.go. Starting the containers is left to packages engine
// and run, and what the scenario language means to package scenario.
package system

import (
	"time"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// System is the containers under test, described by one compose file.
type System struct {
	// File is the compose file as messages name it: the scenario's path to it.
	File string
	// Dir is the compose file's folder, an absolute path.
	Dir  string
	Name string

	// Services are those of the enabled profiles, sorted by name.
	Services []Service
	// Networks and Volumes are those that the services use, sorted by name.
	Networks []Network
	Volumes  []Volume

	// Facts is what the compose file's x-killpoint says; the scenario's own
	// facts are bound on top of them in the scenario itself.
	Facts *scenario.Facts
	// Warnings is what Compose itself would warn of, such as a variable that
	// is not set, and what a run must point out, such as a restart policy.
	Warnings []string
}

// Service is one service: everything that its container is created with.
type Service struct {
	Name     string
	Image    string // may be empty when there is a Build
	Build    *Build
	Platform string
	// PullPolicy is always, never, missing, build or a refresh interval as
	// Compose writes them; empty means missing.
	PullPolicy string

	// Command and Entrypoint are the image's own when nil; empty but not nil
	// clears the image's.
	Command     []string
	Entrypoint  []string
	Environment map[string]string
	Labels      map[string]string
	User        string
	WorkingDir  string
	Hostname    string
	DomainName  string
	// ContainerName is a name of the whole engine in Compose; here it becomes
	// an alias on every network, so that runs can go side by side.
	ContainerName string

	Healthcheck *Healthcheck // nil: the image's own
	DependsOn   []Dependency // sorted by service

	// NetworkMode is none, bridge, or container:ID for the networks of another
	// container; empty means Networks.
	NetworkMode string
	Networks    []Attachment // by descending priority, then by name
	ExtraHosts  []string     // host:address
	DNS         []string
	DNSOptions  []string
	DNSSearch   []string
	Ports       []Port

	Mounts []Mount
	Tmpfs  []string // path, or path:options
	Files  []File   // configs and secrets

	Restart         RestartPolicy
	StopSignal      string
	StopGracePeriod *time.Duration // nil: the engine's default of 10 s

	Init       *bool
	TTY        bool
	StdinOpen  bool
	ReadOnly   bool // the root file system
	Privileged bool

	CapAdd      []string
	CapDrop     []string
	SecurityOpt []string
	GroupAdd    []string
	Sysctls     map[string]string
	StorageOpt  map[string]string
	Ulimits     []Ulimit
	IPC         string
	Runtime     string

	Limits Limits
}

// Build says how a service's image is built.
type Build struct {
	Context          string // absolute path of a folder
	Dockerfile       string // absolute, or relative to Context; empty: Dockerfile
	DockerfileInline string
	Target           string
	Args             map[string]string
	Labels           map[string]string
	CacheFrom        []string
	ExtraHosts       []string
	Network          string
	Platform         string
	Tags             []string
	NoCache          bool
	Pull             bool
	ShmSize          int64 // bytes
	Ulimits          []Ulimit
}

// Healthcheck is a service's own health check. A nil or zero field means the
// image's, and the engine's default where the image has none.
type Healthcheck struct {
	Test          []string // CMD …, CMD-SHELL …, or NONE
	Interval      time.Duration
	Timeout       time.Duration
	StartPeriod   time.Duration
	StartInterval time.Duration
	Retries       int
}

// Condition is what a service must have come to before one that depends on
// it is started.
type Condition string

// The conditions of depends_on.
const (
	Started   Condition = "service_started"
	Healthy   Condition = "service_healthy"
	Completed Condition = "service_completed_successfully"
)

// Dependency is one entry of depends_on.
type Dependency struct {
	Service   string
	Condition Condition
	// Required false means that the dependent starts even when this fails.
	Required bool
	// Restart says that Compose restarts the dependent when it restarts the
	// dependency. A fault is not Compose's doing, so a run does not.
	Restart bool
}

// Attachment is a service's place on a network.
type Attachment struct {
	Network string // the compose file's name of it
	// Aliases hold the service's name, its container_name and the aliases
	// that the compose file gives it on this network.
	Aliases    []string
	IPv4       string
	IPv6       string
	LinkLocal  []string
	DriverOpts map[string]string
}

// MountKind says what is mounted.
type MountKind string

// The kinds of mount.
const (
	MountBind   MountKind = "bind"
	MountVolume MountKind = "volume"
	MountTmpfs  MountKind = "tmpfs"
)

// Mount is a file, folder or volume in a service's container.
type Mount struct {
	Kind MountKind
	// Source is an absolute path on this host for a bind, the compose file's
	// name for a volume, and empty for an anonymous volume or a tmpfs.
	Source   string
	Target   string // absolute path in the container
	ReadOnly bool
	// File says that a bind's source is a single file and no folder.
	File bool
	// NoCopy leaves a fresh volume empty instead of copying the image's
	// content at Target into it.
	NoCopy    bool
	TmpfsSize int64  // bytes; 0: no limit
	TmpfsMode uint32 // 0: the engine's default
}

// File is a config or secret: content that stands in the container.
type File struct {
	Target   string
	Content  []byte
	Mode     uint32
	UID, GID int
}

// Port is a port that Compose would publish on the host.
type Port struct {
	Target    uint16
	Protocol  string // tcp, udp or sctp
	Published string // a port, a range, or empty for any free port
	HostIP    string
}

// RestartPolicy is what the engine does by itself when the container exits.
type RestartPolicy struct {
	Name       string // no, always, on-failure or unless-stopped; empty means no
	MaxRetries int    // of on-failure; 0: no limit
}

// Active says whether the engine may restart the container by itself.
func (p RestartPolicy) Active() bool { return p.Name != "" && p.Name != "no" }

// Ulimit is a resource limit of a container's processes.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// Limits bound what a container may use. Zero means no limit.
type Limits struct {
	Memory            int64 // bytes
	MemoryReservation int64 // bytes
	MemorySwap        int64 // bytes, memory and swap together; -1: unlimited swap
	MemorySwappiness  *int64
	NanoCPUs          int64
	CPUShares         int64
	CPUPeriod         int64 // microseconds
	CPUQuota          int64 // microseconds
	CPUSet            string
	PIDs              int64
	ShmSize           int64 // bytes
	OOMScoreAdjust    int
	OOMKillDisable    bool
}

// Network is a network of the system.
type Network struct {
	Name string // the compose file's name of it
	// External says that the engine must have it already, as ExternalName.
	External     bool
	ExternalName string
	Driver       string // bridge or empty
	DriverOpts   map[string]string
	Internal     bool
	EnableIPv6   bool
	Subnets      []Subnet
}

// Subnet is an address range of a network.
type Subnet struct {
	Subnet, Gateway, IPRange string
	Reserved                 map[string]string
}

// Volume is a named volume of the system.
type Volume struct {
	Name         string // the compose file's name of it
	External     bool
	ExternalName string
	DriverOpts   map[string]string
}

// Externals names the networks and volumes that exist outside the run, and
// that a run could therefore hurt: "network backend", "volume data".
func (s *System) Externals() []string {
	var names []string
	for _, network := range s.Networks {
		if network.External {
			names = append(names, "network "+network.ExternalName)
		}
	}
	for _, volume := range s.Volumes {
		if volume.External {
			names = append(names, "volume "+volume.ExternalName)
		}
	}
	return names
}

// Service is the service of that name.
func (s *System) Service(name string) (*Service, bool) {
	for i := range s.Services {
		if s.Services[i].Name == name {
			return &s.Services[i], true
		}
	}
	return nil, false
}

// ServiceNames are the names of all services, sorted.
func (s *System) ServiceNames() []string {
	names := make([]string, len(s.Services))
	for i, service := range s.Services {
		names[i] = service.Name
	}
	return names
}
