package system

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// project writes files into a folder of their own and makes it the current
// one, so that messages name the files as the test wrote them.
func project(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const plainScenario = "name: test\nsystem: compose.yaml\n"

// load parses scenario.yaml of the current folder and loads its system.
func loadScenario(t *testing.T, environ ...string) (*System, scenario.Problems) {
	t.Helper()
	sc, problems := scenario.Parse("scenario.yaml")
	if len(problems) > 0 {
		t.Fatalf("parse scenario: %v", problems)
	}
	return Load(context.Background(), sc, environ)
}

func loadCompose(t *testing.T, compose string, environ ...string) (*System, scenario.Problems) {
	t.Helper()
	project(t, map[string]string{"scenario.yaml": plainScenario, "compose.yaml": compose})
	return loadScenario(t, environ...)
}

func mustLoad(t *testing.T, environ ...string) *System {
	t.Helper()
	loaded, problems := loadScenario(t, environ...)
	if len(problems) > 0 {
		t.Fatalf("load: %v", problems)
	}
	return loaded
}

func TestServiceTakesOverEverythingSupported(t *testing.T) {
	project(t, map[string]string{
		"scenario.yaml": plainScenario, "conf/app.conf": "x", "token.txt": "secret", "data/keep": "",
		"compose.yaml": `
services:
  app:
    image: example/app:1
    build:
      context: ./conf
      dockerfile: Build.dockerfile
      target: final
      args: {COLOUR: red}
      labels: {a: b}
      network: host
      shm_size: 64m
      platforms: [linux/amd64]
      tags: ["other:1"]
      no_cache: true
      pull: true
      cache_from: ["cached:1"]
      extra_hosts: ["h:1.2.3.4"]
      ulimits: {nofile: 10}
    platform: linux/amd64
    pull_policy: never
    command: run --fast "two words"
    entrypoint: ["/entry", "point"]
    environment: {A: "1", B: two}
    labels: {team: red}
    user: "1000:1000"
    working_dir: /somewhere
    hostname: apphost
    domainname: example.test
    container_name: the-app
    healthcheck: {test: ["CMD", "check"], interval: 1s, timeout: 2s, start_period: 3s, start_interval: 100ms, retries: 4}
    depends_on:
      db: {condition: service_healthy, restart: true}
      job: {condition: service_completed_successfully, required: false}
    networks:
      back: {aliases: [b, a], ipv4_address: 10.99.0.7, priority: 1}
      front: {priority: 10}
    extra_hosts: ["one:10.0.0.1"]
    dns: 10.0.0.2
    dns_opt: [ndots:1]
    dns_search: [example.test]
    ports: ["8080:80", "127.0.0.1:9000:9000/udp", "53"]
    volumes:
      - ./conf/app.conf:/etc/app.conf:ro
      - ./data:/data
      - named:/named
      - /anonymous
      - {type: volume, source: named, target: /again, read_only: true, volume: {nocopy: true}}
      - {type: tmpfs, target: /scratch, tmpfs: {size: 1m, mode: 0o1777}}
    tmpfs: ["/tmp:size=1m"]
    configs: [{source: settings, target: /etc/settings, mode: 0o400, uid: "5", gid: "6"}]
    secrets: [token]
    restart: on-failure:3
    stop_signal: SIGINT
    stop_grace_period: 1500ms
    init: true
    tty: true
    stdin_open: true
    read_only: false
    privileged: true
    cap_add: [SYS_PTRACE]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    group_add: ["7"]
    sysctls: {net.core.somaxconn: "10"}
    storage_opt: {size: 1G}
    ulimits: {nproc: 100, nofile: {soft: 10, hard: 20}}
    ipc: shareable
    runtime: runc
    mem_limit: 64m
    mem_reservation: 32m
    memswap_limit: 128m
    mem_swappiness: 10
    cpus: 0.3
    cpu_shares: 512
    cpuset: "0"
    pids_limit: 50
    shm_size: 16m
    oom_score_adj: 5
    oom_kill_disable: true
  db: {image: db, networks: [back]}
  job: {image: job, networks: [back]}
networks:
  back: {internal: true, driver: bridge, driver_opts: {x: y}, enable_ipv6: true, ipam: {config: [{subnet: 10.99.0.0/24, gateway: 10.99.0.1, ip_range: 10.99.0.128/25, aux_addresses: {router: 10.99.0.2}}]}}
  front: {}
  unused: {}
volumes:
  named: {}
  unused: {}
configs: {settings: {content: "a=b"}}
secrets: {token: {file: ./token.txt}}
`})
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	grace, yes, swappiness := 1500*time.Millisecond, true, int64(10)
	want := Service{
		Name: "app", Image: "example/app:1",
		Build: &Build{
			Context: filepath.Join(dir, "conf"), Dockerfile: "Build.dockerfile", Target: "final", Args: map[string]string{"COLOUR": "red"},
			Labels: map[string]string{"a": "b"}, CacheFrom: []string{"cached:1"}, ExtraHosts: []string{"h:1.2.3.4"}, Network: "host",
			Platform: "linux/amd64", Tags: []string{"other:1"}, NoCache: true, Pull: true, ShmSize: 64 << 20, Ulimits: []Ulimit{{"nofile", 10, 10}},
		},
		Platform: "linux/amd64", PullPolicy: "never",
		Command: []string{"run", "--fast", "two words"}, Entrypoint: []string{"/entry", "point"},
		Environment: map[string]string{"A": "1", "B": "two"}, Labels: map[string]string{"team": "red"},
		User: "1000:1000", WorkingDir: "/somewhere", Hostname: "apphost", DomainName: "example.test", ContainerName: "the-app",
		Healthcheck: &Healthcheck{Test: []string{"CMD", "check"}, Interval: time.Second, Timeout: 2 * time.Second, StartPeriod: 3 * time.Second, StartInterval: 100 * time.Millisecond, Retries: 4},
		DependsOn:   []Dependency{{"db", Healthy, true, true}, {"job", Completed, false, false}},
		Networks: []Attachment{
			{Network: "front", Aliases: []string{"app", "the-app"}},
			{Network: "back", Aliases: []string{"a", "app", "b", "the-app"}, IPv4: "10.99.0.7"},
		},
		ExtraHosts: []string{"one:10.0.0.1"}, DNS: []string{"10.0.0.2"}, DNSOptions: []string{"ndots:1"}, DNSSearch: []string{"example.test"},
		Ports: []Port{{80, "tcp", "8080", ""}, {9000, "udp", "9000", "127.0.0.1"}, {53, "tcp", "", ""}},
		Mounts: []Mount{
			{Kind: MountBind, Source: filepath.Join(dir, "conf/app.conf"), Target: "/etc/app.conf", ReadOnly: true, File: true},
			{Kind: MountBind, Source: filepath.Join(dir, "data"), Target: "/data"},
			{Kind: MountVolume, Source: "named", Target: "/named"},
			{Kind: MountVolume, Target: "/anonymous"},
			{Kind: MountVolume, Source: "named", Target: "/again", ReadOnly: true, NoCopy: true},
			{Kind: MountTmpfs, Target: "/scratch", TmpfsSize: 1 << 20, TmpfsMode: 0o1777},
		},
		Tmpfs: []string{"/tmp:size=1m"},
		Files: []File{
			{Target: "/etc/settings", Content: []byte("a=b"), Mode: 0o400, UID: 5, GID: 6},
			{Target: "/run/secrets/token", Content: []byte("secret"), Mode: 0o444},
		},
		Restart: RestartPolicy{"on-failure", 3}, StopSignal: "SIGINT", StopGracePeriod: &grace,
		Init: &yes, TTY: true, StdinOpen: true, Privileged: true,
		CapAdd: []string{"SYS_PTRACE"}, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges:true"}, GroupAdd: []string{"7"},
		Sysctls: map[string]string{"net.core.somaxconn": "10"}, StorageOpt: map[string]string{"size": "1G"},
		Ulimits: []Ulimit{{"nofile", 10, 20}, {"nproc", 100, 100}}, IPC: "shareable", Runtime: "runc",
		Limits: Limits{
			Memory: 64 << 20, MemoryReservation: 32 << 20, MemorySwap: 128 << 20, MemorySwappiness: &swappiness, NanoCPUs: 300_000_000,
			CPUShares: 512, CPUSet: "0", PIDs: 50, ShmSize: 16 << 20, OOMScoreAdjust: 5, OOMKillDisable: true,
		},
	}
	loaded := mustLoad(t)
	got, _ := loaded.Service("app")
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}
	wantNetworks := []Network{
		{Name: "back", Driver: "bridge", DriverOpts: map[string]string{"x": "y"}, Internal: true, EnableIPv6: true,
			Subnets: []Subnet{{Subnet: "10.99.0.0/24", Gateway: "10.99.0.1", IPRange: "10.99.0.128/25", Reserved: map[string]string{"router": "10.99.0.2"}}}},
		{Name: "front"},
	}
	if diff := cmp.Diff(wantNetworks, loaded.Networks); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Volume{{Name: "named"}}, loaded.Volumes); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"service app has the restart policy on-failure: the engine may start it again by itself when it exits"}, loaded.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestDeployIsReadAsComposeReadsIt(t *testing.T) {
	loaded, problems := loadCompose(t, `
services:
  app:
    image: a
    deploy:
      replicas: 1
      labels: {x: y}
      placement: {constraints: [node.role==manager]}
      resources: {limits: {cpus: "0.5", memory: 10m, pids: 9}, reservations: {memory: 5m}}
      restart_policy: {condition: on-failure, max_attempts: 2, delay: 1s}
`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	app := loaded.Services[0]
	if diff := cmp.Diff(Limits{Memory: 10 << 20, MemoryReservation: 5 << 20, NanoCPUs: 500_000_000, PIDs: 9}, app.Limits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	if want := (RestartPolicy{"on-failure", 2}); app.Restart != want {
		t.Errorf("restart policy %v, want %v", app.Restart, want)
	}
}

func TestEmptyCommandIsNotTheImagesOwn(t *testing.T) {
	loaded, problems := loadCompose(t, "services:\n  app:\n    image: a\n    command: []\n")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if app := loaded.Services[0]; app.Command == nil || app.Entrypoint != nil {
		t.Errorf("command %#v, entrypoint %#v; want an empty command and no entrypoint", app.Command, app.Entrypoint)
	}
}

func TestVariablesComeFromScenarioThenEnvironmentThenFile(t *testing.T) {
	project(t, map[string]string{
		"scenario.yaml": plainScenario + "env: {FIRST: scenario, LITERAL: scenario, FROM_FILE: scenario, PASSED: scenario, IN_ENV_FILE: deep, IN_INCLUDED: scenario}\n",
		".env":          "FIRST=file\nSECOND=file\nTHIRD=file of ${SECOND}\n",
		"app.env":       "FROM_FILE=app.env\nONLY_THERE=app.env\nDEEP=very ${IN_ENV_FILE}\n",
		"more.yaml":     "services:\n  more: {image: 'x:${IN_INCLUDED}'}\n",
		"compose.yaml": `
include: [more.yaml]
services:
  app:
    image: a
    env_file: app.env
    environment:
      FIRST: ${FIRST}
      SECOND: ${SECOND}
      THIRD: ${THIRD}
      LITERAL: written
      PASSED:
      UNSET:
      DEFAULTED: ${NOWHERE:-default}
`})
	loaded := mustLoad(t, "FIRST=process", "SECOND=process")
	app, _ := loaded.Service("app")
	want := map[string]string{
		"FIRST": "scenario", "SECOND": "process", "THIRD": "file of process", "LITERAL": "scenario", "PASSED": "scenario",
		"FROM_FILE": "scenario", "ONLY_THERE": "app.env", "DEEP": "very deep", "DEFAULTED": "default",
	}
	if diff := cmp.Diff(want, app.Environment); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if more, _ := loaded.Service("more"); more.Image != "x:scenario" {
		t.Errorf("image of the included service %q, want x:scenario", more.Image)
	}
}

func TestVariableWithoutEffectIsAProblem(t *testing.T) {
	project(t, map[string]string{
		"scenario.yaml": plainScenario + "env:\n  USED: 1\n  NUM_CHUNK: 20\n",
		"compose.yaml":  "services:\n  app: {image: 'a:${USED}', environment: {NUM_CHUNKS: 1}}\n",
	})
	_, problems := loadScenario(t)
	expectProblems(t, problems, "scenario.yaml:5:", "compose.yaml neither uses the variable NUM_CHUNK")
}

func TestUnsetVariableIsAWarningAndNotPrinted(t *testing.T) {
	loaded, problems := loadCompose(t, "version: '3'\nservices:\n  app: {image: 'a${MISSING}'}\n")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if len(loaded.Warnings) != 1 || !strings.Contains(loaded.Warnings[0], "MISSING") {
		t.Errorf("warnings %q, want one about MISSING", loaded.Warnings)
	}
}

func TestProfiles(t *testing.T) {
	const compose = `
services:
  app: {image: a}
  extra: {image: b, profiles: [debug], devices: [/dev/null]}
  loader: {image: c, profiles: [load], depends_on: {extra: {condition: service_started, required: false}}}
`
	names := func(scenarioText string, environ ...string) string {
		project(t, map[string]string{"scenario.yaml": scenarioText, "compose.yaml": compose})
		return strings.Join(mustLoad(t, environ...).ServiceNames(), " ")
	}
	// The service with devices is refused only where it is enabled.
	if got := names(plainScenario); got != "app" {
		t.Errorf("without a profile: %s", got)
	}
	if got := names(plainScenario + "profiles: [load]\n"); got != "app loader" {
		t.Errorf("with profile load: %s", got)
	}
	if got := names(plainScenario, "COMPOSE_PROFILES=load,other"); got != "app loader" {
		t.Errorf("with COMPOSE_PROFILES=load: %s", got)
	}
	project(t, map[string]string{"scenario.yaml": plainScenario + "profiles: [debug]\n", "compose.yaml": compose})
	_, problems := loadScenario(t)
	expectProblems(t, problems, "compose.yaml:4:", "devices of service extra is not supported")
}

func TestServiceOfADisabledProfileIsExplained(t *testing.T) {
	project(t, map[string]string{
		"scenario.yaml": plainScenario + "faults:\n  - {kill: extra, when: {after: 1s}}\n",
		"compose.yaml":  "services:\n  app: {image: a}\n  extra: {image: b, profiles: [debug]}\n",
	})
	_, problems := loadScenario(t)
	if len(problems) != 1 || !strings.Contains(problems[0].Hint, "profiles: [debug]") {
		t.Errorf("want one problem whose hint names the profile, got %v", problems)
	}
}

func TestBindsTheScenario(t *testing.T) {
	project(t, map[string]string{
		"scenario.yaml": plainScenario + "env: {PARTS: 7}\n",
		"compose.yaml": `
services:
  app: {image: a, environment: {PARTS: 5}}
x-killpoint:
  rows:
    sent: {service: app, file: /sent}
    output: {service: app, files: '/out/*', header: 'n'}
    partition: {column: n, modulo: PARTS, file: '(\d+)$'}
`})
	sc, problems := scenario.Parse("scenario.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	loaded, problems := Load(context.Background(), sc, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if loaded.Facts == nil || sc.Facts == nil || sc.Facts.Rows.Partition.Count != 7 {
		t.Errorf("facts %+v of the scenario, %+v of the file; want both, with 7 partitions", sc.Facts, loaded.Facts)
	}
}

func TestExternals(t *testing.T) {
	loaded, problems := loadCompose(t, `
services:
  app: {image: a, networks: [shared], volumes: ["data:/data", "mine:/mine"]}
networks: {shared: {external: true, name: corporate}}
volumes: {data: {external: true}, mine: {}}
`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if diff := cmp.Diff([]string{"network corporate", "volume data"}, loaded.Externals()); diff != "" {
		t.Errorf("externals (-want +got):\n%s", diff)
	}
}

func TestOrderAndDependents(t *testing.T) {
	loaded, problems := loadCompose(t, `
services:
  a: {image: x, depends_on: [b, c]}
  b: {image: x, depends_on: [d]}
  c: {image: x}
  d: {image: x}
`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := strings.Join(loaded.Order(), " "); got != "d b c a" {
		t.Errorf("order %s", got)
	}
	if got := strings.Join(loaded.Dependents("d"), " "); got != "a b" {
		t.Errorf("dependents of d: %s", got)
	}
}

// expectProblems wants exactly these problems: pairs of the place's beginning
// and a part of the text.
func expectProblems(t *testing.T, got scenario.Problems, want ...string) {
	t.Helper()
	for i := 0; i+1 < len(want); i += 2 {
		if i/2 >= len(got) {
			t.Errorf("no problem at %s with %q", want[i], want[i+1])
			continue
		}
		if problem := got[i/2]; !strings.HasPrefix(problem.Position.String(), want[i]) || !strings.Contains(problem.Text, want[i+1]) {
			t.Errorf("problem %q, want at %s with %q", problem.Error(), want[i], want[i+1])
		}
	}
	if len(got) > len(want)/2 {
		t.Errorf("%d problems, want %d: %v", len(got), len(want)/2, got)
	}
}

func TestProblems(t *testing.T) {
	for name, test := range map[string]struct {
		compose string
		want    []string
	}{
		"not yaml":         {"services:\n  a: [\n", []string{"compose.yaml:2:1", "did not find expected"}},
		"no mapping":       {"just text\n", []string{"compose.yaml:1:1", "top-level object must be a mapping"}},
		"doubled key":      {"services:\n  a:\n    image: x\n    image: y\n", []string{"compose.yaml:4:1", `mapping key "image" already defined at line 3`}},
		"bad template":     {"services:\n  a:\n    image: 'x${'\n", []string{"compose.yaml:3:5", "invalid interpolation format for services.a.image: x${"}},
		"unknown key":      {"services:\n  a:\n    image: x\n    imge: y\n", []string{"compose.yaml:4:5", "imge"}},
		"no image":         {"services:\n  a:\n    command: x\n", []string{"compose.yaml:2:3", "neither an image nor a build"}},
		"cycle":            {"services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n", []string{"compose.yaml", "cycle"}},
		"unknown dep":      {"services:\n  a: {image: x, depends_on: [zz]}\n", []string{"compose.yaml:2:3", `undefined service "zz"`}},
		"scale":            {"services:\n  a:\n    image: x\n    scale: 2\n", []string{"compose.yaml:4:5", "2 replicas"}},
		"scale 0":          {"services:\n  a:\n    image: x\n    scale: 0\n", []string{"compose.yaml:4:5", "0 replicas"}},
		"replicas":         {"services:\n  a:\n    image: x\n    deploy:\n      replicas: 3\n", []string{"compose.yaml:5:7", "3 replicas"}},
		"global":           {"services:\n  a:\n    image: x\n    deploy: {mode: global}\n", []string{"compose.yaml:4:14", "deploy.mode global"}},
		"network_mode":     {"services:\n  a:\n    image: x\n    network_mode: host\n", []string{"compose.yaml:4:5", "network_mode host of service a"}},
		"network of a svc": {"services:\n  a:\n    image: x\n    network_mode: service:b\n  b: {image: x}\n", []string{"compose.yaml:4:5", "network_mode service:b"}},
		"pid host":         {"services:\n  a:\n    image: x\n    pid: host\n", []string{"compose.yaml:4:5", "pid of service a is not supported"}},
		"ipc host":         {"services:\n  a:\n    image: x\n    ipc: host\n", []string{"compose.yaml:4:5", "ipc host"}},
		"link with alias":  {"services:\n  a:\n    image: x\n    links: [b, 'b:other']\n  b: {image: x}\n", []string{"compose.yaml:4:16", "link b:other"}},
		"volumes_from":     {"services:\n  a:\n    image: x\n    volumes_from: [b]\n  b: {image: x}\n", []string{"compose.yaml:4:5", "volumes_from of service a"}},
		"devices":          {"services:\n  a:\n    image: x\n    devices: ['/dev/null']\n", []string{"compose.yaml:4:5", "devices of service a"}},
		"gpus":             {"services:\n  a:\n    image: x\n    gpus: all\n", []string{"compose.yaml:4:5", "gpus of service a"}},
		"hook":             {"services:\n  a:\n    image: x\n    post_start: [{command: x}]\n", []string{"compose.yaml:4:5", "post_start of service a"}},
		"missing source":   {"services:\n  a:\n    image: x\n    volumes:\n      - vol:/v\n      - ./gone:/x\nvolumes: {vol: {}}\n", []string{"compose.yaml:6:9", "is not there"}},
		"device source":    {"services:\n  a:\n    image: x\n    volumes: ['/dev/null:/x']\n", []string{"compose.yaml:4:15", "device"}},
		"volume subpath":   {"services:\n  a:\n    image: x\n    volumes:\n      - {type: volume, source: vol, target: /v, volume: {subpath: s}}\nvolumes: {vol: {}}\n", []string{"compose.yaml:4:5", "subpath of service a"}},
		"volume driver":    {"services:\n  a: {image: x, volumes: ['vol:/v']}\nvolumes:\n  vol: {driver: nfs}\n", []string{"compose.yaml:4:9", "driver nfs of volume vol"}},
		"volume elsewhere": {"services:\n  a: {image: x, volumes: ['vol:/v']}\nvolumes:\n  vol: {driver_opts: {type: none, o: bind, device: /srv}}\n", []string{"compose.yaml:4:9", "volume vol is kept outside the run (/srv)"}},
		"network driver":   {"services:\n  a: {image: x, networks: [n]}\nnetworks:\n  n: {driver: macvlan}\n", []string{"compose.yaml:4:7", "driver macvlan of network n"}},
		"external config":  {"services:\n  a: {image: x, configs: [c]}\nconfigs:\n  c: {external: true}\n", []string{"compose.yaml:4:7", "external of config c"}},
		"read-only secret": {"services:\n  a:\n    image: x\n    read_only: true\n    configs: [c]\nconfigs:\n  c: {content: x}\n", []string{"compose.yaml:5:15", "/c cannot be put into a read-only root"}},
		"remote context":   {"services:\n  a:\n    build: https://example.test/repo.git\n", []string{"compose.yaml:3:5", "not a folder on this machine"}},
		"build secrets":    {"services:\n  a:\n    build: {context: ., ssh: [default]}\n", []string{"compose.yaml:3:25", "build.ssh of service a"}},
		"bad restart":      {"services:\n  a:\n    image: x\n    restart: often\n", []string{"compose.yaml:4:5", `unknown restart policy "often"`}},
		"bad facts":        {"services:\n  a: {image: x}\nx-killpoint:\n  dome: {}\n", []string{"compose.yaml:4:3", "dome"}},
		"no service":       {"services:\n  a: {image: x, profiles: [p]}\n", []string{"compose.yaml:1:1", "no service is enabled"}},
		"model":            {"services:\n  a: {image: x}\nmodels:\n  m: {model: x}\n", []string{"compose.yaml:3:1", "models is not supported"}},
		"merged key":       {"x-base: &base\n  pid: host\nservices:\n  a:\n    <<: *base\n    image: x\n", []string{"compose.yaml:2:3", "pid of service a"}},
		"merged list":      {"x-one: &one {image: y}\nx-two: &two\n  pid: host\nservices:\n  a:\n    <<: [*one, *two]\n    image: x\n", []string{"compose.yaml:3:3", "pid of service a"}},
		"alias":            {"services:\n  a: &a\n    image: x\n    pid: host\n  b: {image: x, build: &here {context: .}}\n  c: *a\n", []string{"compose.yaml:4:5", "pid of service a", "compose.yaml:4:5", "pid of service c"}},
		"not there at all": {"services:\n  a:\n    image: x\n    extends: {file: compose.yaml, service: zz}\n", []string{"compose.yaml", "zz"}},
		"several at once": {
			"services:\n  a:\n    image: x\n    privileged: true\n    pid: host\n    network_mode: host\n    scale: 2\n",
			[]string{"compose.yaml:5:5", "pid", "compose.yaml:7:5", "replicas", "compose.yaml:6:5", "network_mode"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, problems := loadCompose(t, test.compose)
			if loaded != nil {
				t.Error("gave a system although there is a problem")
			}
			expectProblems(t, problems, test.want...)
			for _, problem := range problems {
				if strings.Contains(problem.Text, filepath.Dir(t.TempDir())) {
					t.Errorf("the text names the absolute path of the file: %s", problem.Text)
				}
				if problem.Position.Line > 0 && problem.Source == "" {
					t.Errorf("no source line in %s", problem.Error())
				}
			}
		})
	}
}

func TestDockerSocketIsNamed(t *testing.T) {
	folder := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(folder, "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, problems := loadCompose(t, "services:\n  a:\n    image: x\n    volumes: ['"+folder+"/docker.sock:/var/run/docker.sock']\n")
	expectProblems(t, problems, "compose.yaml:4:15", "mounts the Docker socket")
}

func TestMissingComposeFile(t *testing.T) {
	project(t, map[string]string{"scenario.yaml": plainScenario, "compose.yaml": "services: {a: {image: x}}"})
	sc, problems := scenario.Parse("scenario.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	// It may go away between the two.
	if err := os.Remove("compose.yaml"); err != nil {
		t.Fatal(err)
	}
	_, problems = Load(context.Background(), sc, nil)
	expectProblems(t, problems, "scenario.yaml:2:", "there is no compose file compose.yaml")
}

// TestExampleOfAnotherProject loads the shop as it stands in the repository.
func TestExampleOfAnotherProject(t *testing.T) {
	for file, want := range map[string]string{"normal": "catalogue ledger till", "restart": "catalogue ledger auditor till"} {
		sc, problems := scenario.Parse("../../scenarios/examples/shop/" + file + ".yaml")
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		loaded, problems := Load(context.Background(), sc, nil)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if got := strings.Join(loaded.Order(), " "); got != want {
			t.Errorf("%s starts %s, want %s", file, got, want)
		}
		till, _ := loaded.Service("till")
		if till.Environment["LEDGER"] != "books.shop.test:7070" || till.Environment["STORES"] == "" {
			t.Errorf("%s: environment of the till %v", file, till.Environment)
		}
		if mounted := till.Mounts[len(till.Mounts)-1]; mounted.Kind != MountBind || !mounted.File {
			t.Errorf("%s: mounts of the till %+v", file, till.Mounts)
		}
	}
}
