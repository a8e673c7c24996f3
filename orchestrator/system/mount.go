package system

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"
)

// mounts takes over a service's volumes. Their list is that of the compose
// file, so that a problem can name the item.
func (l *load) mounts(from types.ServiceConfig, to *Service) {
	for i, volume := range from.Volumes {
		place := at(from, "volumes", strconv.Itoa(i))
		mounted := Mount{Kind: MountKind(volume.Type), Source: volume.Source, Target: volume.Target, ReadOnly: volume.ReadOnly}
		if !path.IsAbs(mounted.Target) {
			l.add(place, "", "service %s mounts %s, which is no absolute path", from.Name, mounted.Target)
			continue
		}
		switch volume.Type {
		case types.VolumeTypeBind:
			l.bindMount(from, volume, place, &mounted)
		case types.VolumeTypeVolume:
			mounted.NoCopy = volume.Volume != nil && volume.Volume.NoCopy
		case types.VolumeTypeTmpfs:
			if volume.Tmpfs != nil {
				mounted.TmpfsSize, mounted.TmpfsMode = int64(volume.Tmpfs.Size), volume.Tmpfs.Mode
			}
		default:
			l.add(place, "use bind, volume or tmpfs", "service %s mounts %s as type %s, which is not supported", from.Name, volume.Target, volume.Type)
			continue
		}
		to.Mounts = append(to.Mounts, mounted)
	}
}

// bindMount looks at what would be mounted: only files and folders can be
// copied, and only what is there.
func (l *load) bindMount(from types.ServiceConfig, volume types.ServiceVolumeConfig, place []string, mounted *Mount) {
	if volume.Bind != nil && volume.Bind.Propagation != "" && volume.Bind.Propagation != types.PropagationRPrivate {
		l.add(place, "leave it out", "service %s mounts %s with propagation %s, which a copy does not have", from.Name, l.show(volume.Source), volume.Bind.Propagation)
	}
	shown := l.show(volume.Source)
	info, err := os.Stat(volume.Source)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.add(place, "create it: a run does not make files on this machine, as Compose would",
			"service %s mounts %s, which is not there", from.Name, shown)
	case err != nil:
		l.add(place, "", "service %s mounts %s: %v", from.Name, shown, errors.Unwrap(err))
	case info.Mode()&fs.ModeSocket != 0 && path.Base(volume.Source) == "docker.sock":
		l.add(place, "a container with the engine's socket could change other runs and the host",
			"service %s mounts the Docker socket %s, which is not supported", from.Name, shown)
	case info.Mode()&(fs.ModeSocket|fs.ModeDevice|fs.ModeNamedPipe) != 0:
		l.add(place, "only files and folders can be given as copies", "service %s mounts %s, which is a %s", from.Name, shown, describeMode(info.Mode()))
	default:
		mounted.File = !info.IsDir()
	}
}

func describeMode(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	}
	return "device"
}

// files takes over configs and secrets, which stand in the container as plain
// files.
func (l *load) files(from types.ServiceConfig, to *Service) {
	for i, config := range from.Configs {
		object := types.FileObjectConfig(l.project.Configs[config.Source])
		l.file(at(from, "configs", strconv.Itoa(i)), types.FileReferenceConfig(config), object, "/", to)
	}
	for i, secret := range from.Secrets {
		object := types.FileObjectConfig(l.project.Secrets[secret.Source])
		l.file(at(from, "secrets", strconv.Itoa(i)), types.FileReferenceConfig(secret), object, "/run/secrets", to)
	}
}

// defaultFileMode is that of configs and secrets in Compose.
const defaultFileMode = 0o444

func (l *load) file(place []string, reference types.FileReferenceConfig, object types.FileObjectConfig, folder string, to *Service) {
	file := File{Target: reference.Target, Mode: defaultFileMode}
	if file.Target == "" {
		file.Target = reference.Source
	}
	if !path.IsAbs(file.Target) {
		file.Target = path.Join(folder, file.Target)
	}
	if reference.Mode != nil {
		file.Mode = uint32(*reference.Mode)
	}
	content, err := l.fileContent(object)
	if err != nil {
		l.add(place, "", "service %s: %v", to.Name, err)
		return
	}
	file.Content = content
	for _, owner := range []struct {
		text string
		id   *int
	}{{reference.UID, &file.UID}, {reference.GID, &file.GID}} {
		if owner.text == "" {
			continue
		}
		if *owner.id, err = strconv.Atoi(owner.text); err != nil {
			l.add(place, "use a number", "service %s: %s has the owner %q", to.Name, file.Target, owner.text)
		}
	}
	if to.ReadOnly {
		l.add(place, "drop read_only for the run, or put the file into the image",
			"service %s: %s cannot be put into a read-only root file system", to.Name, file.Target)
	}
	to.Files = append(to.Files, file)
}

func (l *load) fileContent(object types.FileObjectConfig) ([]byte, error) {
	switch {
	case object.File != "":
		content, err := os.ReadFile(object.File)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", object.Name, err)
		}
		return content, nil
	case object.Environment != "":
		l.used[object.Environment] = true
		value, ok := l.variables[object.Environment]
		if !ok {
			return nil, fmt.Errorf("the variable %s, which %s is taken from, is not set", object.Environment, object.Name)
		}
		return []byte(value), nil
	}
	return []byte(object.Content), nil
}
