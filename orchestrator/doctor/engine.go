package doctor

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/engine"
)

// connection is whether there is an engine that this user may use.
func connection(connected Engine, err error) Finding {
	found := Finding{Subject: "engine"}
	switch {
	case err == nil:
		info := connected.Info()
		found.Text = fmt.Sprintf("Docker Engine %s, API %s, %d CPUs, %s of memory, at %s",
			info.Engine, info.API, info.CPUs, gigabytes(info.Memory), connected.Host())
		return found
	case errors.Is(err, engine.ErrTooOld):
		found.Fix = "update it to Engine 20.10 or later"
	case strings.Contains(err.Error(), "permission denied"):
		found.Fix = "let this user use its socket: sudo usermod -aG docker $USER, and log in anew; or run a rootless engine"
	case errors.Is(err, engine.ErrUnreachable):
		found.Fix = "start it (systemctl start docker, or Docker Desktop), or point DOCKER_HOST at one that runs"
	default:
		found.Fix = "see what docker version says; docker context ls shows where engines are looked for"
	}
	found.Health, found.Text = Fails, err.Error()
	return found
}

// slowDrivers are storage drivers with which every write of a container's own
// files is slow.
var slowDrivers = []string{"fuse-overlayfs", "vfs", "devicemapper"}

func storage(info engine.Info) Finding {
	found := Finding{Subject: "storage", Text: info.StorageDriver}
	if slices.Contains(slowDrivers, info.StorageDriver) {
		found.Health = Limited
		found.Text += ": containers start slowly, and writes to their own files are slow"
		found.Fix = "keep the data under test on a volume, and measure no times of system calls elsewhere; overlay2 is faster"
	}
	return found
}

// What crash points need of the kernel, and what makes them cheaper.
var (
	neededKernel = [2]int{5, 19} // the wait for the interposer that a signal does not restart
	quickKernel  = [2]int{6, 6}  // a switch to the interposer and back on one CPU
)

var kernelVersion = regexp.MustCompile(`^(\d+)\.(\d+)`)

// kernel judges by the version; what it really allows is for the interposer
// to try.
func kernel(info engine.Info) Finding {
	found := Finding{Subject: "kernel", Text: "Linux " + info.Kernel + ", " + info.Arch}
	match := kernelVersion.FindStringSubmatch(info.Kernel)
	if match == nil {
		return found
	}
	major, _ := strconv.Atoi(match[1])
	minor, _ := strconv.Atoi(match[2])
	version := [2]int{major, minor}
	switch {
	case older(version, neededKernel):
		found.Health = Fails
		found.Text += ": crash points do not work; faults by time and by log line do"
		found.Fix = "use an engine on Linux 5.19 or later"
	case older(version, quickKernel):
		found.Health = Limited
		found.Text += ": a trapped call costs about three times what it does from Linux 6.6 on"
	}
	return found
}

func older(version, than [2]int) bool {
	return version[0] < than[0] || version[0] == than[0] && version[1] < than[1]
}

func cgroups(info engine.Info) Finding {
	found := Finding{Subject: "cgroups", Text: "version " + info.CgroupVersion + ", " + info.CgroupDriver}
	if info.CgroupDriver == "none" {
		found.Health = Limited
		found.Text = "the engine has no say over them: pause and limits of memory or CPU do not work"
		found.Fix = "use cgroup version 2 with systemd, which gives a rootless engine its own; or an engine that runs as root"
	}
	return found
}

// security names what changes the containers' rights.
func security(info engine.Info) Finding {
	found := Finding{Subject: "security"}
	var words []string
	profile := false
	for _, option := range info.SecurityOptions {
		name, rest, _ := strings.Cut(strings.TrimPrefix(option, "name="), ",")
		switch name {
		case "seccomp":
			profile = true
			if value := strings.TrimPrefix(rest, "profile="); value != "" && value != "default" && value != "builtin" {
				words = append(words, "seccomp profile "+value)
				found.Health = Limited
				found.Fix = "the profile is not Docker's own: what the interposer may do shows below"
				continue
			}
		case "rootless":
			words = append(words, "rootless")
			continue
		case "userns":
			words = append(words, "user namespaces")
			continue
		}
		words = append(words, name)
	}
	found.Text = strings.Join(words, ", ")
	if !profile {
		found.Text = strings.TrimPrefix(found.Text+", no seccomp", ", ")
	}
	return found
}
