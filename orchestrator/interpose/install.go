package interpose

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// Name is the file name of the interposer in a container, by which an executable knows that it was started to be one.
const Name = "killpoint-interposer"

// Directory is where in a container the interposer and its plan are. In a container with a read-only root a volume has to be mounted there.
const Directory = "/.killpoint"

// Where the binary and the plan are in a container.
const (
	BinaryPath = Directory + "/" + Name
	PlanPath   = Directory + "/plan.json"
)

// Tasks is the room that the interposer and the command that reaches it need in a limit on a container's processes and threads, or on those of its user, on top of what the program is allowed.
const Tasks = 32

// NoRoom reports whether a container's log, or the standard error of ControlCommand, says what Go's runtime says when a limit on processes and threads keeps it from starting: it gives up by itself.
func NoRoom(text string) bool {
	return strings.Contains(text, "runtime: failed to create new OS thread")
}

// Command is what a container runs in place of its own entrypoint and command, which are given as the engine would execute them: a shell form with its shell in front. It goes where the entrypoint was, with no command behind it.
func Command(entrypoint, command []string) []string {
	full := []string{BinaryPath, "supervise", PlanPath, "--"}
	full = append(full, entrypoint...)
	return append(full, command...)
}

// ControlCommand is what is executed inside the container, with stdin and stdout attached and without a terminal, to reach the interposer of a plan. It may be executed as soon as the container has started, and waits until the interposer listens.
func ControlCommand(planID string) []string { return []string{BinaryPath, "control", planID} }

// ProbeCommand prints Features as one JSON object, or fails with a reason.
func ProbeCommand() []string { return []string{BinaryPath, "probe"} }

// Upload is a tar archive and the directory of a container that it is to be unpacked in, by the engine's archive PUT, while the container does not run.
type Upload struct {
	Path string
	Tar  []byte
}

// Install makes the upload that puts binary and plan into a container that was just created.
func Install(binary []byte, plan Plan, readOnlyRoot bool) (Upload, error) {
	return upload(binary, plan, readOnlyRoot)
}

// Update makes the upload that replaces the plan, before a container is started again.
func Update(plan Plan, readOnlyRoot bool) (Upload, error) {
	return upload(nil, plan, readOnlyRoot)
}

func upload(binary []byte, plan Plan, readOnlyRoot bool) (Upload, error) {
	if err := plan.Validate(); err != nil {
		return Upload{}, err
	}
	text, err := json.Marshal(plan)
	if err != nil {
		return Upload{}, fmt.Errorf("write plan: %w", err)
	}
	// Only a volume's own directory can be unpacked in when the root is read-only; otherwise the directory is not there yet.
	made := Upload{Path: "/"}
	prefix := Directory[1:]
	if readOnlyRoot {
		made.Path, prefix = Directory, ""
	}
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	files := []struct {
		header tar.Header
		data   []byte
	}{
		{tar.Header{Typeflag: tar.TypeDir, Name: prefix + "/", Mode: 0o755}, nil},
		{tar.Header{Typeflag: tar.TypeReg, Name: path.Join(prefix, path.Base(PlanPath)), Mode: 0o644, Size: int64(len(text))}, text},
		{tar.Header{Typeflag: tar.TypeReg, Name: path.Join(prefix, Name), Mode: 0o755, Size: int64(len(binary))}, binary},
	}
	for _, file := range files {
		if file.header.Name == "/" || file.header.Name == path.Join(prefix, Name) && binary == nil {
			continue
		}
		if err := archive.WriteHeader(&file.header); err != nil {
			return Upload{}, fmt.Errorf("pack interposer: %w", err)
		}
		if _, err := archive.Write(file.data); err != nil {
			return Upload{}, fmt.Errorf("pack interposer: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return Upload{}, fmt.Errorf("pack interposer: %w", err)
	}
	made.Tar = buffer.Bytes()
	return made, nil
}
