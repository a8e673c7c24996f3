package doctor

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// registryTime is how long a registry may take to answer.
const registryTime = 10 * time.Second

// wanted is an image that a system needs.
type wanted struct {
	reference string
	service   system.Service
	broker    bool
}

// images says of each image of the systems whether it is here, and else
// whether it can be had.
func (c Case) images(ctx context.Context, connected Engine) []Finding {
	list := c.wanted()
	if len(list) == 0 {
		return []Finding{{Subject: "images", Text: "no scenario was given, so none were looked for"}}
	}
	registry := &registry{engine: connected}
	var found []Finding
	for _, image := range list {
		found = append(found, registry.image(ctx, image))
	}
	return append(found, registry.findings()...)
}

// wanted is every image of the systems once, those of brokers first.
func (c Case) wanted() []wanted {
	var list []wanted
	for _, sys := range c.Systems {
		for _, service := range sys.Services {
			if service.Image == "" || slices.ContainsFunc(list, func(w wanted) bool { return w.reference == service.Image }) {
				continue // without a name it is built
			}
			broker := sys.Facts != nil && sys.Facts.Broker != nil && sys.Facts.Broker.Service == service.Name
			list = append(list, wanted{service.Image, service, broker})
		}
	}
	slices.SortStableFunc(list, func(a, b wanted) int {
		switch {
		case a.broker == b.broker:
			return 0
		case a.broker:
			return -1
		}
		return 1
	})
	return list
}

// registry is asked for images that are not here, until it does not answer.
type registry struct {
	engine Engine
	silent error
	asked  bool
}

func (r *registry) image(ctx context.Context, image wanted) Finding {
	found := Finding{Subject: "image", Text: image.reference}
	here, err := r.engine.Image(ctx, image.reference)
	switch {
	case err == nil && here.Arch != "" && here.Arch != r.engine.Info().Arch && image.service.Platform == "":
		found.Health = Limited
		found.Text += fmt.Sprintf(" is here, for %s on an engine for %s: it is emulated, and crash points do not work in it", here.Arch, r.engine.Info().Arch)
		found.Fix = "pull or build it for the engine's own architecture"
	case err == nil:
		found.Text += " is here"
		if image.broker {
			found = brokerVersion(found, image, here)
		}
	case !errors.Is(err, engine.ErrNoImage):
		found.Health, found.Text = Fails, err.Error()
		found.Fix = "see what docker image ls says"
	case image.service.Build != nil:
		found.Text += " is not here, and will be built"
	case image.service.PullPolicy == "never":
		found.Health = Fails
		found.Text += " is not here, and its pull_policy is never"
		found.Fix = "build it or load it (docker load), or change its pull_policy"
	default:
		return r.ask(ctx, found, image)
	}
	return found
}

// ask asks the registry for an image that is not here.
func (r *registry) ask(ctx context.Context, found Finding, image wanted) Finding {
	const fix = "build it, load it (docker load), or name one that is here; the example's are made by make images"
	if r.silent == nil {
		r.asked = true
		bounded, cancel := context.WithTimeout(ctx, registryTime)
		err := r.engine.InRegistry(bounded, image.reference)
		cancel()
		switch {
		case err == nil:
			found.Text += " is not here, and will be pulled"
			return found
		case errors.Is(err, engine.ErrNoImage):
			found.Health, found.Fix = Fails, "see that its name is right and that docker login was done; or "+fix
			found.Text += " is neither here nor in its registry"
			return found
		}
		r.silent = err
	}
	found.Health, found.Fix = Fails, fix
	found.Text += " is not here, and no registry answers"
	return found
}

// findings is what was learnt of the registry by the way.
func (r *registry) findings() []Finding {
	switch {
	case r.silent != nil:
		return []Finding{{
			Subject: "registry", Health: Limited, Text: r.silent.Error(),
			Fix: "images must be here, or be built from what is here; behind a proxy, give it to the engine",
		}}
	case r.asked:
		return []Finding{{Subject: "registry", Text: "answers"}}
	}
	return []Finding{{Subject: "registry", Text: "was not asked: every image is here, or is built"}}
}

// brokerVersion warns of RabbitMQ versions that refuse what many programs
// still declare.
func brokerVersion(found Finding, image wanted, here engine.Image) Finding {
	version := ""
	for _, entry := range here.Environment {
		if value, is := strings.CutPrefix(entry, "RABBITMQ_VERSION="); is {
			version = value
		}
	}
	_, tag, tagged := strings.Cut(path.Base(image.reference), ":")
	if version == "" {
		version = tag
	}
	match := kernelVersion.FindStringSubmatch(version)
	switch {
	case match != nil:
		major, _ := strconv.Atoi(match[1])
		minor, _ := strconv.Atoi(match[2])
		if !older([2]int{major, minor}, [2]int{4, 3}) {
			found.Health = Limited
			found.Text += fmt.Sprintf(": RabbitMQ %s by itself refuses queues that are neither durable nor exclusive", match[0])
			found.Fix = "declare queues durable, or set deprecated_features.permit.transient_nonexcl_queues = true in rabbitmq.conf"
		}
	case !tagged || tag == "latest" || tag == "management":
		found.Health = Limited
		found.Text += ", and its name does not pin a version: RabbitMQ 4.3 by itself refuses queues that are neither durable nor exclusive"
		found.Fix = "pin a minor version, such as rabbitmq:4.2-management"
	}
	return found
}
