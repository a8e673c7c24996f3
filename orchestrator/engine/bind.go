package engine

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
)

// FillSpec says which folder of this host is copied into which volume.
type FillSpec struct {
	Volume string // the engine's name of it
	Source string // absolute path of a folder
	Image  string // any image that the engine has
	// Name and Labels are those of the container through which it is done;
	// it is never started, and removed before FillVolume returns.
	Name   string
	Labels map[string]string
}

// FillVolume copies a folder of this host, with modes, owners and links, into
// a volume. Containers that mount the volume have what a bind mount of the
// folder would give them, and can do it no harm. Sockets and devices in the
// folder are left out.
//
// It goes through a container of its own because an archive can be written
// neither to a read-only mount nor below a read-only root.
func (e *Engine) FillVolume(ctx context.Context, spec FillSpec) (err error) {
	ctx, cancel := bounded(ctx, copyCall)
	defer cancel()
	const target = "/killpoint-copy"
	created, err := e.api.ContainerCreate(ctx,
		// The command is never run; an image without one needs it all the same.
		&container.Config{Image: spec.Image, Labels: spec.Labels, Cmd: []string{"never"}},
		&container.HostConfig{NetworkMode: "none", Mounts: []mount.Mount{{
			Type: mount.TypeVolume, Source: spec.Volume, Target: target, VolumeOptions: &mount.VolumeOptions{NoCopy: true},
		}}}, nil, nil, spec.Name)
	if err != nil {
		return fmt.Errorf("copy %s into volume %s: %w", spec.Source, spec.Volume, createError(err))
	}
	defer func() { err = errors.Join(err, e.Remove(context.WithoutCancel(ctx), created.ID)) }()
	if err := e.CopyTo(ctx, created.ID, target, tarFolder(ctx, spec.Source, nil)); err != nil {
		return fmt.Errorf("copy %s into volume %s: %w", spec.Source, spec.Volume, err)
	}
	return nil
}

// Pack gives an archive of a folder's content, or of a file alone, under its
// own name, as a container that mounts it would see it. Sockets and devices are
// left out.
func Pack(ctx context.Context, path string) io.Reader {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return tarFolder(ctx, path, nil)
	}
	return tarStream(func(archive *tar.Writer) error {
		followed, err := filepath.EvalSymlinks(path)
		if err != nil {
			return err
		}
		return tarEntry(archive, followed, filepath.Base(path))
	})
}

// Unpack writes an archive of Pack or PackBuild into a folder, and nothing
// outside of it. Owners are kept where this process may set them.
func Unpack(archive io.Reader, folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer root.Close()
	entries := tar.NewReader(archive)
	var folders []*tar.Header
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = unpackEntry(root, header, entries)
		}
		if err != nil {
			return fmt.Errorf("unpack into %s: %w", folder, err)
		}
		if header.Typeflag == tar.TypeDir {
			folders = append(folders, header)
		}
	}
	// What is in a folder changes its time, and needs the right to write there.
	for _, header := range slices.Backward(folders) {
		if err := setMode(root, header); err != nil {
			return fmt.Errorf("unpack into %s: %w", folder, err)
		}
	}
	return nil
}

func unpackEntry(root *os.Root, header *tar.Header, content io.Reader) (err error) {
	name := filepath.FromSlash(header.Name)
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		err = root.MkdirAll(name, 0o755)
	case tar.TypeReg:
		err = writeEntry(root, name, content)
	case tar.TypeSymlink:
		err = root.Symlink(header.Linkname, name)
	default:
		err = fmt.Errorf("%s is neither a file, a folder nor a link", name)
	}
	if err == nil {
		if err = root.Lchown(name, header.Uid, header.Gid); errors.Is(err, fs.ErrPermission) {
			err = nil
		}
	}
	if err == nil && header.Typeflag == tar.TypeReg {
		err = setMode(root, header)
	}
	return err
}

func setMode(root *os.Root, header *tar.Header) error {
	mode := header.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	return errors.Join(root.Chmod(header.Name, mode), root.Chtimes(header.Name, header.ModTime, header.ModTime))
}

func writeEntry(root *os.Root, name string, content io.Reader) error {
	file, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

// tarFolder gives an archive of a folder's content, without those paths
// (relative, with slashes) that the function says to leave out.
func tarFolder(ctx context.Context, folder string, leaveOut func(name string, entry fs.DirEntry) (bool, error)) io.Reader {
	return tarStream(func(archive *tar.Writer) error {
		root, err := filepath.EvalSymlinks(folder)
		if err != nil {
			return err
		}
		return filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			relative, err := filepath.Rel(root, file)
			if err != nil {
				return err
			}
			name := filepath.ToSlash(relative)
			if leaveOut != nil && name != "." {
				if out, err := leaveOut(name, entry); out || err != nil {
					return err
				}
			}
			return tarEntry(archive, file, name)
		})
	})
}

// tarEntry writes one file, folder, link or pipe.
func tarEntry(archive *tar.Writer, file, name string) error {
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	var link string
	switch mode := info.Mode(); {
	case mode&(fs.ModeSocket|fs.ModeDevice) != 0:
		return nil
	case mode&fs.ModeSymlink != 0:
		if link, err = os.Readlink(file); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	header.Name = name
	if info.IsDir() {
		header.Name += "/"
	}
	header.Uname, header.Gname = "", "" // numbers are what counts in a container
	header.Format = tar.FormatPAX       // times to the nanosecond, names of any length
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	content, err := os.Open(file)
	if err != nil {
		return err
	}
	defer content.Close()
	// A file that grows meanwhile is copied as long as it was.
	if _, err := io.CopyN(archive, content, info.Size()); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}
