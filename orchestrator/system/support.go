package system

import (
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/tree"
)

// decision is what is done with a key of a compose file.
type decision int

const (
	supported decision = iota // done as Compose does it
	ignored                   // left out on purpose: it changes nothing that a run is about
	refused                   // a problem: a run would not be what the file says
)

// rule is the decision for one key, or for everything below a key that ends
// in .**
type rule struct {
	path     string
	decision decision
	reason   string // why it is ignored, or what to do instead of it
}

// rules holds, with supportedKeys, a decision for every key that a compose
// file may have. A test compares them with the specification's own list, and a
// key that is in neither is refused, so that nothing new can be ignored in
// silence. Where a key is supported for some values only, the conversion
// refuses the others.
var rules = []rule{
	{"name", ignored, "things are named after the run"},
	{"version", ignored, "Compose itself ignores it"},
	{"models.**", refused, "no model runner is started"},
	{"jobs.**", refused, "make it a service with a profile"},

	{"networks.*.name", ignored, "networks are named after the run; an external one by this"},
	{"networks.*.attachable", ignored, "it matters to swarms only"},
	{"networks.*.labels.**", ignored, "labels are the run's own"},
	{"networks.*.enable_ipv4", refused, "every network has IPv4"},
	{"networks.*.ipam.driver", refused, "leave it out; only the default driver is used"},
	{"networks.*.ipam.options.**", refused, "only the default driver is used, which has no options"},
	{"volumes.*.name", ignored, "volumes are named after the run; an external one by this"},
	{"volumes.*.labels.**", ignored, "labels are the run's own"},
	{"configs.*.labels.**", ignored, "labels are for swarms"},
	{"configs.*.name", ignored, "its content is copied, not looked up by name"},
	{"configs.*.external.**", refused, "only swarms have external configs; use file"},
	{"configs.*.template_driver", refused, "templates are for swarms"},
	{"secrets.*.labels.**", ignored, "labels are for swarms"},
	{"secrets.*.name", ignored, "its content is copied, not looked up by name"},
	{"secrets.*.external.**", refused, "only swarms have external secrets; use file"},
	{"secrets.*.driver", refused, "drivers are for swarms; use file"},
	{"secrets.*.driver_opts.**", refused, "drivers are for swarms; use file"},
	{"secrets.*.template_driver", refused, "templates are for swarms"},

	{"services.*.annotations.**", ignored, "it is for tools that list containers"},
	{"services.*.attach", ignored, "every service's log is followed"},
	{"services.*.blkio_config.**", refused, "limit CPUs or memory instead, or leave it out"},
	{"services.*.build.additional_contexts.**", refused, "it needs BuildKit: build the image beforehand"},
	{"services.*.build.cache_to.**", ignored, "it changes where a cache is kept, not the image"},
	{"services.*.build.entitlements.**", refused, "it needs BuildKit: build the image beforehand"},
	{"services.*.build.isolation", refused, "it is for Windows"},
	{"services.*.build.no_cache_filter.**", ignored, "it changes what is built again, not the image"},
	{"services.*.build.privileged", refused, "build the image beforehand"},
	{"services.*.build.provenance", ignored, "attestations are not part of what runs"},
	{"services.*.build.sbom", ignored, "attestations are not part of what runs"},
	{"services.*.build.secrets.**", refused, "it needs BuildKit: build the image beforehand"},
	{"services.*.build.ssh.**", refused, "it needs BuildKit: build the image beforehand"},
	{"services.*.cgroup", refused, "every service has its own cgroup namespace as the engine sets it"},
	{"services.*.cgroup_parent", refused, "it reaches outside the run"},
	{"services.*.cpu_count", refused, "it is for Windows; use cpus"},
	{"services.*.cpu_percent", refused, "it is for Windows; use cpus"},
	{"services.*.cpu_rt_period", refused, "use cpus"},
	{"services.*.cpu_rt_runtime", refused, "use cpus"},
	{"services.*.credential_spec.**", refused, "it is for Windows"},
	{"services.*.deploy.endpoint_mode", ignored, "it is for swarms"},
	{"services.*.deploy.labels.**", ignored, "it is for swarms"},
	{"services.*.deploy.placement.**", ignored, "it is for swarms"},
	{"services.*.deploy.resources.reservations.**", refused, "use mem_reservation, or leave it out"},
	{"services.*.deploy.resources.reservations.cpus", ignored, "without a swarm it reserves nothing"},
	{"services.*.deploy.restart_policy.delay", ignored, "without a swarm the engine chooses the delay"},
	{"services.*.deploy.restart_policy.window", ignored, "without a swarm the engine chooses it"},
	{"services.*.deploy.rollback_config.**", ignored, "it is for updates"},
	{"services.*.deploy.update_config.**", ignored, "it is for updates"},
	{"services.*.develop.**", ignored, "it is for docker compose watch"},
	{"services.*.device_cgroup_rules.**", refused, "devices are outside the run"},
	{"services.*.devices.**", refused, "devices are outside the run"},
	{"services.*.expose.**", ignored, "services of one network reach every port"},
	{"services.*.external_links.**", refused, "they reach outside the run; start that container as a service"},
	{"services.*.gpus.**", refused, "devices are outside the run"},
	{"services.*.isolation", refused, "it is for Windows"},
	{"services.*.logging.**", ignored, "the run reads every log itself, with a driver that keeps all of it"},
	{"services.*.mac_address", refused, "leave it out: two runs side by side must differ"},
	{"services.*.models.**", refused, "no model runner is started"},
	{"services.*.networks.*.gw_priority", refused, "leave it out: engines before version 28 do not know it"},
	{"services.*.networks.*.interface_name", refused, "leave it out: engines before version 28 do not know it"},
	{"services.*.networks.*.mac_address", refused, "leave it out: two runs side by side must differ"},
	{"services.*.pid", refused, "it shows one container the processes of another, or of the host"},
	{"services.*.ports.[].app_protocol", ignored, "it says what is spoken and changes nothing"},
	{"services.*.ports.[].mode", ignored, "it is for swarms"},
	{"services.*.ports.[].name", ignored, "it names the port and changes nothing"},
	{"services.*.post_start.**", refused, "make it part of the service, or a service of its own"},
	{"services.*.pre_start.**", refused, "make it a service with depends_on: service_completed_successfully"},
	{"services.*.pre_stop.**", refused, "handle the stop signal in the service"},
	{"services.*.provider.**", refused, "it starts something that is no container"},
	{"services.*.pull_refresh_after", ignored, "images are pulled when they are missing"},
	{"services.*.umask", refused, "set it in the service's command"},
	{"services.*.use_api_socket", refused, "a container with the engine's socket could change other runs and the host"},
	{"services.*.userns_mode", refused, "it is set for the whole engine"},
	{"services.*.uts", refused, "use hostname"},
	{"services.*.volumes.[].bind.create_host_path", ignored, "a source that is missing is a problem in any case"},
	{"services.*.volumes.[].bind.recursive", ignored, "a copy holds everything below the folder"},
	{"services.*.volumes.[].bind.selinux", ignored, "a copy needs no relabelling"},
	{"services.*.volumes.[].consistency", ignored, "Linux engines ignore it"},
	{"services.*.volumes.[].image.**", refused, "copy the files into the image instead"},
	{"services.*.volumes.[].volume.labels.**", ignored, "labels are the run's own"},
	{"services.*.volumes.[].volume.subpath", refused, "engines before version 26 do not know it; use a volume of its own"},
	{"services.*.volumes_from.**", refused, "name the volumes in both services"},
}

// supportedKeys are done as Compose does them: the keys, by what they stand
// in. A star is a name that people choose, [] an item of a list.
var supportedKeys = []struct{ in, keys string }{
	{"", "configs include networks secrets services volumes"},
	{"configs", "*"},
	{"configs.*", "content environment file"},
	{"include.[]", "env_file path project_directory"},
	{"networks", "*"},
	{"networks.*", "driver driver_opts enable_ipv6 external internal ipam"},
	{"networks.*.driver_opts", "*"},
	{"networks.*.external", "name"},
	{"networks.*.ipam", "config"},
	{"networks.*.ipam.config.[]", "aux_addresses gateway ip_range subnet"},
	{"networks.*.ipam.config.[].aux_addresses", "*"},
	{"secrets", "*"},
	{"secrets.*", "environment file"},
	{"services", "*"},
	{"services.*", `
		build cap_add cap_drop command configs container_name cpu_period cpu_quota cpu_shares cpus
		cpuset depends_on deploy dns dns_opt dns_search domainname entrypoint env_file environment
		extends extra_hosts group_add healthcheck hostname image init ipc label_file labels links
		mem_limit mem_reservation mem_swappiness memswap_limit network_mode networks
		oom_kill_disable oom_score_adj pids_limit platform ports privileged profiles pull_policy
		read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period
		stop_signal storage_opt sysctls tmpfs tty ulimits user volumes working_dir`},
	{"services.*.build", `
		args cache_from context dockerfile dockerfile_inline extra_hosts labels network no_cache
		platforms pull shm_size tags target ulimits`},
	{"services.*.build.args", "*"},
	{"services.*.build.extra_hosts", "*"},
	{"services.*.build.labels", "*"},
	{"services.*.build.ulimits", "*"},
	{"services.*.build.ulimits.*", "hard soft"},
	{"services.*.configs.[]", "gid mode source target uid"},
	{"services.*.depends_on", "*"},
	{"services.*.depends_on.*", "condition required restart"},
	{"services.*.deploy", "mode replicas resources restart_policy"},
	{"services.*.deploy.resources", "limits reservations"},
	{"services.*.deploy.resources.reservations", "memory"},
	{"services.*.deploy.resources.limits", "cpus memory pids"},
	{"services.*.deploy.restart_policy", "condition max_attempts"},
	{"services.*.env_file.[]", "format path required"},
	{"services.*.environment", "*"},
	{"services.*.extends", "file service"},
	{"services.*.extra_hosts", "*"},
	{"services.*.healthcheck", "disable interval retries start_interval start_period test timeout"},
	{"services.*.labels", "*"},
	{"services.*.networks", "*"},
	{"services.*.networks.*", "aliases driver_opts ipv4_address ipv6_address link_local_ips priority use_service_name_alias"},
	{"services.*.networks.*.driver_opts", "*"},
	{"services.*.ports.[]", "host_ip protocol published target"},
	{"services.*.secrets.[]", "gid mode source target uid"},
	{"services.*.sysctls", "*"},
	{"services.*.ulimits", "*"},
	{"services.*.ulimits.*", "hard soft"},
	{"services.*.volumes.[]", "bind read_only source target tmpfs type volume"},
	{"services.*.volumes.[].bind", "propagation"},
	{"services.*.volumes.[].tmpfs", "mode size"},
	{"services.*.volumes.[].volume", "nocopy"},
	{"volumes", "*"},
	{"volumes.*", "driver driver_opts external"},
	{"volumes.*.driver_opts", "*"},
	{"volumes.*.external", "name"},
}

// allRules is rules and supportedKeys in one form.
var allRules = func() []rule {
	all := slices.Clone(rules)
	for _, group := range supportedKeys {
		for _, key := range strings.Fields(group.keys) {
			all = append(all, rule{path: strings.TrimPrefix(group.in+"."+key, "."), decision: supported})
		}
	}
	return all
}()

// ruleFor gives the most exact rule for a path such as services.*.ports: one
// for the very path beats one for everything below a longer or shorter part.
func ruleFor(path string) (rule, bool) {
	var best rule
	found := false
	for _, candidate := range allRules {
		prefix, subtree := strings.CutSuffix(candidate.path, ".**")
		matches := path == prefix || subtree && strings.HasPrefix(path, prefix+".")
		if !matches {
			continue
		}
		bestPrefix, bestSubtree := strings.CutSuffix(best.path, ".**")
		if !found || len(prefix) > len(bestPrefix) || len(prefix) == len(bestPrefix) && bestSubtree && !subtree {
			best, found = candidate, true
		}
	}
	return best, found
}

// acceptedPaths is every key of the specification that is not refused: the
// loader reports all others that it meets. Where the specification says of a
// key no more than that names stand below it, any name is accepted.
func acceptedPaths() []tree.Path {
	var accepted []tree.Path
	paths := schema.AttributePaths()
	for i, path := range paths {
		found, ok := ruleFor(string(path))
		if !ok || found.decision == refused {
			continue
		}
		accepted = append(accepted, path)
		// The list is sorted, so what stands below a key follows it, apart
		// from keys of which it is only the beginning of the name.
		below := slices.ContainsFunc(paths[i+1:], func(other tree.Path) bool { return strings.HasPrefix(string(other), string(path)+".") })
		if !below {
			accepted = append(accepted, path.Next(tree.PathMatchAll))
		}
	}
	return accepted
}
