package history

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	filesFolder = "files"
	eventsFile  = "events.jsonl"
	metaFile    = "history.json"

	// maxStoredName bounds the part of a collected file's own name, in bytes,
	// that its stored name keeps: file systems allow 255 with the number.
	maxStoredName = 200

	// formatVersion grows when a saved history changes in a way that an
	// older reader would misread; new fields alone do not count.
	formatVersion = 1
)

// storedName is the name of a collected file below the history's directory. The
// number keeps two files of one name apart, from two services or stages. A name
// may be as long as a file system allows, so its end is kept.
func storedName(number int, path string) string {
	name := filepath.Base(path)
	name = name[max(0, len(name)-maxStoredName):]
	return filepath.Join(filesFolder, fmt.Sprintf("%04d-%s", number, name))
}

// storeFile copies the content below dir; nothing is left behind on failure.
func storeFile(dir string, file *File, content io.Reader) error {
	folder := filepath.Join(dir, filesFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("create folder for collected files: %w", err)
	}
	target, err := os.Create(filepath.Join(dir, file.Stored))
	if err != nil {
		return fmt.Errorf("store %s of %s: %w", file.Path, file.Service, err)
	}
	sum := sha256.New()
	file.Size, err = io.Copy(io.MultiWriter(target, sum), content)
	if err = errors.Join(err, target.Close()); err != nil {
		return errors.Join(fmt.Errorf("store %s of %s: %w", file.Path, file.Service, err), os.Remove(target.Name()))
	}
	file.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// Open gives a collected file's content.
func (h *History) Open(file File) (io.ReadCloser, error) {
	if held, is := h.held[file.Stored]; is {
		return io.NopCloser(bytes.NewReader(held)), nil
	}
	content, err := os.Open(filepath.Join(h.Dir, file.Stored))
	if err != nil {
		return nil, fmt.Errorf("open collected %s of %s: %w", file.Path, file.Service, err)
	}
	return content, nil
}

type saved struct {
	Version int    `json:"version"`
	Meta    Meta   `json:"meta"`
	Files   []File `json:"files"`
	Spans   []Span `json:"spans"`
}

// Save writes the history into dir: history.json, events.jsonl (an event a
// line) and the collected files. Load reads it back.
func (h *History) Save(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, filesFolder), 0o755); err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	elsewhere := filepath.Clean(dir) != filepath.Clean(h.Dir)
	for _, file := range h.Files {
		if _, held := h.held[file.Stored]; !held && !elsewhere {
			continue
		}
		if err := h.saveFile(file, filepath.Join(dir, file.Stored)); err != nil {
			return fmt.Errorf("save history: %w", err)
		}
	}
	if err := h.saveEvents(filepath.Join(dir, eventsFile)); err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	text, err := json.MarshalIndent(saved{Version: formatVersion, Meta: h.Meta, Files: h.Files, Spans: h.Spans}, "", "  ")
	if err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, metaFile), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	return nil
}

func (h *History) saveEvents(path string) (err error) {
	target, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	buffered := bufio.NewWriter(target)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	for _, event := range h.Events {
		if err := encoder.Encode(event); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

// Load reads a history that Save wrote.
func Load(dir string) (*History, error) {
	text, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		return nil, fmt.Errorf("load history: %w", err)
	}
	var from saved
	if err := json.Unmarshal(text, &from); err != nil {
		return nil, fmt.Errorf("load history %s: %w", filepath.Join(dir, metaFile), err)
	}
	if from.Version > formatVersion {
		return nil, fmt.Errorf("load history %s: version %d is newer than this killpoint reads (%d)", dir, from.Version, formatVersion)
	}
	h := &History{Meta: from.Meta, Files: from.Files, Spans: from.Spans, Dir: dir}
	events, err := os.Open(filepath.Join(dir, eventsFile))
	if err != nil {
		return nil, fmt.Errorf("load history: %w", err)
	}
	defer events.Close()
	decoder := json.NewDecoder(bufio.NewReader(events))
	for {
		var event Event
		if err := decoder.Decode(&event); errors.Is(err, io.EOF) {
			return h, nil
		} else if err != nil {
			return nil, fmt.Errorf("load history %s: event %d: %w", dir, len(h.Events)+1, err)
		}
		h.Events = append(h.Events, event)
	}
}

func (h *History) saveFile(file File, to string) (err error) {
	source, err := h.Open(file)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	_, err = io.Copy(target, source)
	return err
}
