package interpose

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// ErrNoBinary says that there is no interposer for an architecture.
var ErrNoBinary = errors.New("no interposer")

// BinaryVariable is the environment variable that names an interposer to use in place of any other.
const BinaryVariable = "KILLPOINT_INTERPOSER"

// machines are the architectures that the interposer is made for, by the names that Go and Docker use.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// carried says that this very executable can be the interposer.
var carried bool

// Carry says that this executable can be the interposer, when it is started by the name Name: its main function has seen to that. Then one file is enough for containers of its own architecture.
func Carry() { carried = true }

// BinaryName is the file name of the interposer for an architecture beside the killpoint executable.
func BinaryName(architecture string) string { return Name + "-linux-" + architecture }

// Binary returns the static interposer for containers of an architecture: the file that BinaryVariable names, the one of BinaryName beside this executable, or this executable itself. The error is ErrNoBinary where there is none, and says what to do.
func Binary(architecture string) ([]byte, error) {
	if _, known := machines[architecture]; !known {
		return nil, fmt.Errorf("%w for %s: exact crash points work in containers for linux/amd64 and linux/arm64", ErrNoBinary, architecture)
	}
	if file := os.Getenv(BinaryVariable); file != "" {
		return readBinary(file, architecture)
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find interposer: %w", err)
	}
	data, err := readBinary(filepath.Join(filepath.Dir(executable), BinaryName(architecture)), architecture)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return data, err
	}
	if carried && runtime.GOOS == "linux" && runtime.GOARCH == architecture {
		return readBinary(executable, architecture)
	}
	return nil, fmt.Errorf("%w for linux/%s: %s is not beside %s: build it with `make build`, or name one by %s",
		ErrNoBinary, architecture, BinaryName(architecture), executable, BinaryVariable)
}

// readBinary reads an executable and checks that it runs in any image of the architecture.
func readBinary(name, architecture string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read interposer: %w", err)
	}
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %s is no Linux executable: %w", ErrNoBinary, name, err)
	}
	if file.Machine != machines[architecture] {
		return nil, fmt.Errorf("%w for linux/%s: %s is for %v", ErrNoBinary, architecture, name, file.Machine)
	}
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%w: %s is not static and runs in few images: build it with CGO_ENABLED=0", ErrNoBinary, name)
		}
	}
	return data, nil
}
