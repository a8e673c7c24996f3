package supervisor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// local is what the control process does itself, rather than pass it to the first process: it is in the container and no part of the program.
type local struct {
	reply io.Writer
	trees map[string]*tree // snapshots, by their keys
}

// takes does a request that is for this process, and reports whether it was one. Requests are done one after the other, a command to execute apart.
func (l *local) takes(line []byte) bool {
	var request interpose.Request
	// Most of what passes here is neither; it is looked at without being parsed.
	if !bytes.Contains(line[:min(len(line), 64)], []byte(`"command":`)) || json.Unmarshal(line, &request) != nil || !request.Name.Local() {
		return false
	}
	if request.Name == interpose.CommandExec {
		go func() { l.answer(request, execute(request)) }()
		return true
	}
	answer := interpose.Event{}
	var err error
	switch request.Name {
	case interpose.CommandRead:
		if request.Sums {
			answer.Files, err = readFiles(request.Paths, sumOne)
			break
		}
		limit := request.Limit
		answer.Files, err = readFiles(request.Paths, func(name string) (*interpose.File, error) {
			one, err := readOne(name)
			if one == nil {
				return nil, err
			}
			if limit -= int64(len(one.Data)); limit < 0 {
				return nil, interpose.ErrTooLarge
			}
			return one, nil
		})
	case interpose.CommandSnapshot:
		err = l.snapshot(request.Key, request.Paths)
	case interpose.CommandRestore:
		err = l.restore(request.Key, request.Paths)
	}
	if err != nil {
		answer.Files, answer.Message = nil, err.Error()
	}
	l.answer(request, answer)
	return true
}

func (l *local) answer(request interpose.Request, answer interpose.Event) {
	answer.Kind, answer.Command = interpose.Reply, request.Number
	if line, err := json.Marshal(answer); err == nil {
		_, _ = l.reply.Write(append(line, '\n')) // an orchestrator that is gone wants no answer
	}
}

func (l *local) snapshot(key string, directories []string) error {
	read, err := readTree(directories)
	if err != nil {
		return err
	}
	if l.trees == nil {
		l.trees = make(map[string]*tree)
	}
	l.trees[key] = read
	return nil
}

func (l *local) restore(key string, directories []string) error {
	if l.trees[key] == nil {
		return fmt.Errorf("restore: there is no snapshot %q", key)
	}
	return l.trees[key].restore(directories)
}

// execute runs a command as the engine would: in the container's environment and working directory, with nothing on its standard input.
func execute(request interpose.Request) interpose.Event {
	ctx := context.Background()
	if request.Limit > 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(request.Limit)*time.Millisecond)
		defer cancel()
		ctx = limited
	}
	if len(request.Command) == 0 {
		return interpose.Event{Message: "exec: no command given"}
	}
	runtime.LockOSThread() // and it is not unlocked: the thread ends with the goroutine
	giveSlack()
	command := exec.CommandContext(ctx, request.Command[0], request.Command[1:]...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	answer := interpose.Event{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		answer.Message = "exec: it took too long"
	case errors.As(err, &exit):
		if answer.Code = exit.ExitCode(); answer.Code < 0 {
			answer.Code = 128 + int(signalOf(exit))
		}
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		answer.Code, answer.Stderr = exitNotFound, append(answer.Stderr, err.Error()...)
	case errors.Is(err, fs.ErrPermission):
		answer.Code, answer.Stderr = exitNotExecutable, append(answer.Stderr, err.Error()...)
	case err != nil:
		answer.Message = "exec: " + err.Error()
	}
	return answer
}

// readFiles reads the regular files that match, sorted by path. A glob that matches nothing gives none.
func readFiles(globs []string, read func(string) (*interpose.File, error)) ([]interpose.File, error) {
	var files []interpose.File
	for _, glob := range globs {
		base, pattern := doublestar.SplitPattern(path.Clean(glob))
		if pattern == "" {
			continue // the root is no file
		}
		matched, err := doublestar.Glob(os.DirFS(base), pattern, doublestar.WithFilesOnly(), doublestar.WithFailOnIOErrors())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read %s: %w", glob, err)
		}
		for _, name := range matched {
			one, err := read(filepath.Join(base, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue // it went away in between
			}
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", glob, err)
			}
			if one != nil {
				files = append(files, *one)
			}
		}
	}
	slices.SortFunc(files, func(a, b interpose.File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// readOne reads a regular file, through links, and gives nil for anything else.
func readOne(name string) (*interpose.File, error) {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &interpose.File{Path: name, Data: data, Modified: info.ModTime()}, nil
}

// sumOne is readOne that keeps a checksum of the contents alone.
func sumOne(name string) (*interpose.File, error) {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	opened, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, opened)
	if err != nil {
		return nil, err
	}
	return &interpose.File{Path: name, Modified: info.ModTime(), Size: size, Sum: hex.EncodeToString(sum.Sum(nil))}, nil
}
