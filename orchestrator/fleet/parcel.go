package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// Parcel is all that an agent needs of a campaign besides images: a scenario
// bound to its system, with everything that its compose file refers to, and
// the recording that points are of. It is the same for the same campaign
// however often that is gone on with, and its hash is the campaign's name.
type Parcel struct {
	Campaign  string             `json:"campaign"` // explore.Campaign.Identity
	Scenario  *scenario.Scenario `json:"scenario"`
	System    *system.System     `json:"system"`
	Target    string             `json:"target"`
	Model     explore.Model      `json:"model"`
	Way       explore.Way        `json:"way"`
	Recording *explore.Recording `json:"recording"`
	// Images are the fingerprints of the images that were recorded with.
	Images map[string]string `json:"images"`
	// Binds are the files and folders that services mount, as archives, by what
	// stands for their paths in System.
	Binds map[string][]byte `json:"binds,omitempty"`
}

// contentLimit bounds what is sent of a bind mount or a build context, in
// bytes: it is held in memory.
const contentLimit = 256 << 20

// partLimit is how much of it goes into one message: brokers refuse large ones.
const partLimit = 1 << 20

// pack makes a parcel. Paths of this machine are not in it.
func (c *Coordinator) pack(ctx context.Context) (*Parcel, error) {
	identity, err := c.Campaign.Identity()
	if err != nil {
		return nil, err
	}
	trials := c.Campaign.Trials()
	sys := *c.System
	p := &Parcel{
		Campaign: identity, Scenario: c.Campaign.Scenario, System: &sys, Target: trials.Target, Model: c.Campaign.Model, Way: c.Way(),
		Recording: trials.Recording, Images: map[string]string{}, Binds: map[string][]byte{},
	}
	sys.Dir = ""
	sys.Services = slices.Clone(sys.Services)
	names := map[string]string{}
	for i := range sys.Services {
		service := &sys.Services[i]
		if service.Build != nil {
			service.Build = &system.Build{} // the agent asks for it when it lacks the image
		}
		if service.Image != "" {
			if p.Images[service.Image], err = c.Fingerprint(ctx, service.Image); err != nil {
				return nil, err
			}
		}
		service.Mounts = slices.Clone(service.Mounts)
		for at := range service.Mounts {
			mount := &service.Mounts[at]
			if mount.Kind != system.MountBind {
				continue
			}
			name, known := names[mount.Source]
			if !known {
				name = strconv.Itoa(len(names))
				names[mount.Source] = name
				if p.Binds[name], err = read(engine.Pack(ctx, mount.Source)); err != nil {
					return nil, fmt.Errorf("pack %s, which %s mounts: %w", mount.Source, service.Name, err)
				}
			}
			mount.Source = name
			if mount.File {
				// A file alone is packed under its own name.
				mount.Source = filepath.Join(name, filepath.Base(c.System.Services[i].Mounts[at].Source))
			}
		}
	}
	return p, nil
}

// recipe is what a service's image is built from.
type recipe struct {
	Build   system.Build `json:"build"`
	Context []byte       `json:"context"`
}

func (c *Coordinator) recipe(ctx context.Context, name string) (*recipe, error) {
	service, known := c.System.Service(name)
	if !known || service.Build == nil {
		return nil, fmt.Errorf("the compose file does not say how the image of %s is built", name)
	}
	content, dockerfile, err := engine.PackBuild(ctx, *service.Build)
	if err != nil {
		return nil, fmt.Errorf("pack what %s is built from: %w", name, err)
	}
	r := &recipe{Build: *service.Build}
	r.Build.Context, r.Build.Dockerfile, r.Build.DockerfileInline = "", dockerfile, ""
	if r.Context, err = read(content); err != nil {
		return nil, fmt.Errorf("pack what %s is built from: %w", name, err)
	}
	return r, nil
}

func read(from io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(from, contentLimit+1))
	if err == nil && len(content) > contentLimit {
		err = fmt.Errorf("it is larger than the %d MB that agents are sent", contentLimit>>20)
	}
	return content, err
}

// unpack reads a parcel and puts what services mount into a folder.
func unpack(text []byte, campaign, folder string) (*Parcel, error) {
	if got := hashOf(text); got != campaign {
		return nil, fmt.Errorf("the coordinator sent %s, not %s", got, campaign)
	}
	p := &Parcel{}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("read the campaign: %w", err)
	}
	if p.Scenario == nil || p.System == nil || p.Recording == nil {
		return nil, errors.New("read the campaign: it is incomplete")
	}
	p.System.Dir = folder
	for _, name := range slices.Sorted(maps.Keys(p.Binds)) {
		below := filepath.Join(folder, "binds", name)
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("read the campaign: %s is no name of a mount", name)
		}
		if err := os.MkdirAll(below, 0o755); err != nil {
			return nil, fmt.Errorf("unpack the campaign: %w", err)
		}
		if err := engine.Unpack(bytes.NewReader(p.Binds[name]), below); err != nil {
			return nil, err
		}
	}
	p.Binds = nil
	for i := range p.System.Services {
		for at := range p.System.Services[i].Mounts {
			mount := &p.System.Services[i].Mounts[at]
			if mount.Kind != system.MountBind {
				continue
			}
			// Nothing of this machine is mounted but what came along.
			if !filepath.IsLocal(mount.Source) {
				return nil, fmt.Errorf("read the campaign: %s mounts %s, which is not in it", p.System.Services[i].Name, mount.Source)
			}
			mount.Source = filepath.Join(folder, "binds", mount.Source)
		}
	}
	return p, nil
}

// unpack puts a recipe into a folder.
func (r *recipe) unpack(folder string) (*system.Build, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("unpack a recipe: %w", err)
	}
	if err := engine.Unpack(bytes.NewReader(r.Context), folder); err != nil {
		return nil, err
	}
	build := r.Build
	build.Context = folder
	if !filepath.IsLocal(build.Dockerfile) {
		return nil, fmt.Errorf("unpack a recipe: its Dockerfile is %s", build.Dockerfile)
	}
	return &build, nil
}
