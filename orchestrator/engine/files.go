package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
)

// symlinkLimit is as many links as Linux follows in one path.
const symlinkLimit = 40

// CopyFrom gives each entry of a tar archive of a file or folder in a
// container, which need not run. Names begin with the last part of the path.
// A link at the path itself is followed; links below it are entries of their
// own. A path that is not there gives ErrNoFile. What lies on a tmpfs cannot
// be read: the engine does not see it.
func (e *Engine) CopyFrom(ctx context.Context, id, file string, each func(header *tar.Header, content io.Reader) error) error {
	ctx, cancel := bounded(ctx, copyCall)
	defer cancel()
	if err := e.copyFrom(ctx, id, file, each); err != nil {
		return fmt.Errorf("copy %s from container %s: %w", file, short(id), err)
	}
	return nil
}

func (e *Engine) copyFrom(ctx context.Context, id, file string, each func(*tar.Header, io.Reader) error) error {
	resolved, err := e.followLinks(ctx, id, file)
	if err != nil {
		return err
	}
	stream, _, err := e.api.CopyFromContainer(ctx, id, resolved)
	if err != nil {
		return e.fileError(ctx, id, err)
	}
	defer stream.Close()
	archive := tar.NewReader(stream)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if err := each(header, archive); err != nil {
			return err
		}
	}
}

// followLinks gives the path that a link at the path leads to in the end.
func (e *Engine) followLinks(ctx context.Context, id, file string) (string, error) {
	for range symlinkLimit {
		stat, err := e.api.ContainerStatPath(ctx, id, file)
		if err != nil {
			return "", e.fileError(ctx, id, err)
		}
		if stat.Mode&fs.ModeSymlink == 0 {
			return file, nil
		}
		target := stat.LinkTarget
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(file), target)
		}
		if target == file {
			break
		}
		file = target
	}
	return "", errors.New("too many links")
}

// fileError tells a path that is not there from a container that is gone.
func (e *Engine) fileError(ctx context.Context, id string, err error) error {
	if !errdefs.IsNotFound(err) {
		return err
	}
	if _, gone := e.api.ContainerInspect(ctx, id); errdefs.IsNotFound(gone) {
		return fmt.Errorf("%w: %w", ErrNoContainer, err)
	}
	return fmt.Errorf("%w: %w", ErrNoFile, err)
}

// Files gives every regular file whose absolute path matches the glob (*, ?,
// [], {} and **), and its content. Links are followed. No match is no error.
// The longest folder that the glob names without a wildcard is fetched whole.
func (e *Engine) Files(ctx context.Context, id, glob string, each func(file string, size int64, content io.Reader) error) error {
	ctx, cancel := bounded(ctx, copyCall)
	defer cancel()
	if !path.IsAbs(glob) || !doublestar.ValidatePattern(glob) {
		return fmt.Errorf("collect %s from container %s: want an absolute path or a valid glob of one", glob, short(id))
	}
	base, pattern := doublestar.SplitPattern(path.Clean(glob))
	if !strings.ContainsAny(pattern, `*?[{\`) {
		base = path.Join(base, pattern)
	}
	var links []string
	err := e.copyFrom(ctx, id, base, func(header *tar.Header, content io.Reader) error {
		// The archive's names begin with the last part of where links led to.
		_, below, _ := strings.Cut(strings.TrimSuffix(header.Name, "/"), "/")
		if base == "/" {
			below = strings.TrimSuffix(header.Name, "/")
		}
		file := path.Join(base, below)
		if !doublestar.MatchUnvalidated(path.Clean(glob), file) {
			return nil
		}
		switch header.Typeflag {
		case tar.TypeReg:
			return each(file, header.Size, content)
		case tar.TypeSymlink, tar.TypeLink:
			// Neither kind of link brings its content along.
			links = append(links, file)
		}
		return nil
	})
	if errors.Is(err, ErrNoFile) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("collect %s from container %s: %w", glob, short(id), err)
	}
	for _, link := range links {
		if err := e.linkedFile(ctx, id, link, each); err != nil {
			return fmt.Errorf("collect %s from container %s: %w", link, short(id), err)
		}
	}
	return nil
}

// linkedFile gives the file that a link leads to; nothing for a link that
// leads nowhere or to a folder.
func (e *Engine) linkedFile(ctx context.Context, id, link string, each func(string, int64, io.Reader) error) error {
	first := true
	err := e.copyFrom(ctx, id, link, func(header *tar.Header, content io.Reader) error {
		isFile := first && header.Typeflag == tar.TypeReg
		first = false
		if !isFile {
			return nil
		}
		return each(link, header.Size, content)
	})
	if errors.Is(err, ErrNoFile) {
		return nil
	}
	return err
}

// CopyTo unpacks a tar archive into a folder of a container, which need not
// run. Owners and modes are kept.
func (e *Engine) CopyTo(ctx context.Context, id, dir string, archive io.Reader) error {
	ctx, cancel := bounded(ctx, copyCall)
	defer cancel()
	if err := e.api.CopyToContainer(ctx, id, dir, archive, container.CopyToContainerOptions{AllowOverwriteDirWithFile: true}); err != nil {
		return fmt.Errorf("copy into %s of container %s: %w", dir, short(id), e.fileError(ctx, id, err))
	}
	return nil
}

// placedFile is one file that is put into a container before it starts:
// either a copy of one on this host, or given content.
type placedFile struct {
	target   string
	source   string
	content  []byte
	mode     fs.FileMode
	uid, gid int
}

// putFile puts one file into a created container. Folders that are missing on
// the way are made by the engine.
func (e *Engine) putFile(ctx context.Context, id string, file placedFile) error {
	header := &tar.Header{
		Typeflag: tar.TypeReg, Mode: int64(file.mode.Perm()), Uid: file.uid, Gid: file.gid, Size: int64(len(file.content)),
	}
	content := io.Reader(bytes.NewReader(file.content))
	if file.source != "" {
		opened, err := os.Open(file.source)
		if err != nil {
			return fmt.Errorf("copy file: %w", err)
		}
		defer opened.Close()
		info, err := opened.Stat()
		if err != nil {
			return fmt.Errorf("copy file: %w", err)
		}
		if header, err = tar.FileInfoHeader(info, ""); err != nil {
			return fmt.Errorf("copy file %s: %w", file.source, err)
		}
		content = io.LimitReader(opened, info.Size())
	}
	header.Name = strings.TrimPrefix(path.Clean(file.target), "/")
	header.Uname, header.Gname = "", "" // numbers are what counts in a container
	return e.CopyTo(ctx, id, "/", tarStream(func(archive *tar.Writer) error {
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err := io.Copy(archive, content)
		return err
	}))
}

// tarStream gives an archive to read while the function writes it. What goes
// wrong in the function comes out of the reader.
func tarStream(write func(*tar.Writer) error) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		archive := tar.NewWriter(writer)
		err := write(archive)
		if err == nil {
			err = archive.Close()
		}
		writer.CloseWithError(err)
	}()
	return reader
}
