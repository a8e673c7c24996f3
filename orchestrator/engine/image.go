package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"

	"github.com/killpoint/killpoint/orchestrator/system"
)

// Image is an image that the engine has.
type Image struct {
	ID          string
	OS, Arch    string
	Entrypoint  []string
	Command     []string
	User        string
	WorkingDir  string
	StopSignal  string
	Healthcheck *system.Healthcheck
	Volumes     []string // paths for which every container gets a volume
	Environment []string // NAME=value
	// Layers are the digests of its file system, the same on every engine that
	// has the image, whatever its ID is there.
	Layers []string
}

// Fingerprint identifies what containers of the image are made of, on any
// engine.
func (i Image) Fingerprint() string {
	i.ID = "" // engines that store images differently name the same one differently
	text, _ := json.Marshal(i)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// Image looks an image up by reference or id. One that the engine has not
// gives ErrNoImage.
func (e *Engine) Image(ctx context.Context, reference string) (Image, error) {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	found, err := e.api.ImageInspect(ctx, reference)
	if errdefs.IsNotFound(err) {
		return Image{}, fmt.Errorf("look up image %s: %w", reference, ErrNoImage)
	}
	if err != nil {
		return Image{}, fmt.Errorf("look up image %s: %w", reference, err)
	}
	described := Image{ID: found.ID, OS: found.Os, Arch: found.Architecture, Layers: found.RootFS.Layers}
	if config := found.Config; config != nil {
		described.Entrypoint, described.Command = config.Entrypoint, config.Cmd
		described.User, described.WorkingDir, described.StopSignal = config.User, config.WorkingDir, config.StopSignal
		described.Environment = config.Env
		for path := range config.Volumes {
			described.Volumes = append(described.Volumes, path)
		}
		slices.Sort(described.Volumes)
		if check := config.Healthcheck; check != nil {
			described.Healthcheck = &system.Healthcheck{
				Test: check.Test, Interval: check.Interval, Timeout: check.Timeout,
				StartPeriod: check.StartPeriod, StartInterval: check.StartInterval, Retries: check.Retries,
			}
		}
	}
	return described, nil
}

// Pull fetches an image from its registry, with the docker command's logins.
// Progress is told a line at a time; a nil writer drops it.
func (e *Engine) Pull(ctx context.Context, reference, platform string, progress io.Writer) error {
	ctx, cancel := bounded(ctx, imageCall)
	defer cancel()
	login, err := e.encodedLogin(ctx, reference)
	if err != nil {
		return fmt.Errorf("pull image %s: %w", reference, err)
	}
	stream, err := e.api.ImagePull(ctx, reference, image.PullOptions{Platform: platform, RegistryAuth: login})
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("pull image %s: %w: %w", reference, ErrNoImage, err)
	}
	if err != nil {
		return fmt.Errorf("pull image %s: %w", reference, err)
	}
	defer stream.Close()
	if _, err := readProgress(stream, progress); err != nil {
		return fmt.Errorf("pull image %s: %w", reference, err)
	}
	return nil
}

// Import makes an image of a root file system given as a tar stream, with
// changes in Dockerfile syntax such as CMD ["/app"]. It gives the image's id.
func (e *Engine) Import(ctx context.Context, reference string, root io.Reader, changes ...string) (string, error) {
	ctx, cancel := bounded(ctx, imageCall)
	defer cancel()
	stream, err := e.api.ImageImport(ctx, image.ImportSource{Source: root, SourceName: "-"}, reference,
		image.ImportOptions{Changes: changes})
	if err != nil {
		return "", fmt.Errorf("import image %s: %w", reference, err)
	}
	defer stream.Close()
	if _, err := readProgress(stream, nil); err != nil {
		return "", fmt.Errorf("import image %s: %w", reference, err)
	}
	imported, err := e.Image(ctx, reference)
	return imported.ID, err
}

// RemoveImage removes an image by reference or id; one that is not there is
// no error.
func (e *Engine) RemoveImage(ctx context.Context, reference string) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	_, err := e.api.ImageRemove(ctx, reference, image.RemoveOptions{Force: true, PruneChildren: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove image %s: %w", reference, err)
	}
	return nil
}

// progressMessage is one JSON message of a pull, build or import.
type progressMessage struct {
	Stream string `json:"stream"`
	Status string `json:"status"`
	ID     string `json:"id"`
	Error  string `json:"error"`
	Aux    *struct {
		ID string
	} `json:"aux"`
}

// readProgress reads such a stream to its end, since the work is done only
// then, and gives the id that a build tells.
func readProgress(stream io.Reader, out io.Writer) (id string, err error) {
	if out == nil {
		out = io.Discard
	}
	decoder := json.NewDecoder(stream)
	shown := map[string]string{}
	for {
		var message progressMessage
		if err := decoder.Decode(&message); errors.Is(err, io.EOF) {
			return id, nil
		} else if err != nil {
			return id, fmt.Errorf("read the engine's answer: %w", err)
		}
		switch {
		case message.Error != "":
			return id, errors.New(message.Error)
		case message.Aux != nil && message.Aux.ID != "":
			id = message.Aux.ID
		case message.Stream != "":
			fmt.Fprint(out, message.Stream)
		case message.Status != "" && shown[message.ID] != message.Status:
			// One line when a layer's state changes, not one per chunk.
			shown[message.ID] = message.Status
			fmt.Fprintln(out, joinNonEmpty(": ", message.ID, message.Status))
		}
	}
}

func joinNonEmpty(separator string, parts ...string) string {
	joined := ""
	for _, part := range parts {
		if joined != "" && part != "" {
			joined += separator
		}
		joined += part
	}
	return joined
}

// parseTime reads the engine's times; the zero time stands for "never".
func parseTime(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.Year() <= 1 {
		return time.Time{}
	}
	return at
}
