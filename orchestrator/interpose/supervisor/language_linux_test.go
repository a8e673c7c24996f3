package supervisor_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/interpose/supervisor/testdata/record"
)

var exactImage = flag.String("exact-image", "", "image with sh, dd and python3 in which container kills of programs in other languages are tested")

// ddBlock is the size of the writes of dd.
const ddBlock = 64

// programs are programs in other languages, as a distribution has them, that write the records of one or more writers. Their first argument is the file.
var programs = map[string]struct {
	command []string
	shape   shape
}{
	"shell":  {[]string{"/bin/sh", "-c", shellRecords(), "sh"}, shape{check: checkAppended}},
	"C (dd)": {[]string{"/bin/sh", "-c", fmt.Sprintf("exec dd if=/bin/sh of=$1 bs=%d count=%d 2>/dev/null", ddBlock, writers*records), "sh"}, shape{check: checkBlocks}},
	"Python": {[]string{"/usr/bin/python3", "-c", pythonRecords}, shape{check: checkAppended}},
}

// shellRecords is a script that writes the records of all writers by turns, each by one echo.
func shellRecords() string {
	var script strings.Builder
	script.WriteString("exec > $1\n")
	for i := range records {
		for writer := range writers {
			script.WriteString("echo " + strings.TrimSuffix(string(record.Of(writer, i)), "\n") + "\n")
		}
	}
	return script.String()
}

const pythonRecords = `
import os, sys, threading
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
def record(writer, i):
    return b"%02d:%06d:" % (writer, i) + bytes([97 + (writer + i) % 26]) * (10 + (writer * 31 + i * 17) % 60) + b"\n"
def write(writer):
    for i in range(150):
        os.write(file, record(writer, i))
threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
`

// checkBlocks judges a file that dd writes: the first bytes of its input, up to the planned one.
func checkBlocks(data []byte, point interpose.Point) error {
	input, err := os.ReadFile("/bin/sh")
	if *exactImage != "" {
		input, err = exec.Command("docker", "run", "--rm", "--network", "none", "--entrypoint", "cat", *exactImage, "/bin/sh").Output()
	}
	if err != nil {
		return err
	}
	size := (point.Occurrence - 1) * ddBlock
	switch point.Timing {
	case interpose.During:
		size += int(point.Keep.Of(ddBlock))
	case interpose.After:
		size += ddBlock
	}
	if string(data) != string(input[:size]) {
		return fmt.Errorf("%d bytes, want the first %d of the input", len(data), size)
	}
	return nil
}

func TestExactnessInOtherLanguages(t *testing.T) {
	for name, program := range programs {
		t.Run(name, func(t *testing.T) {
			if *exactImage != "" {
				needDocker(t)
				killContainers(t, *exactImage, program.shape, append(program.command, "/data/file")...)
				return
			}
			wrong := killProgram(t, program.shape, *exactKills/4, func(*interpose.Plan) {}, func(path string) []string {
				return append(program.command[:len(program.command):len(program.command)], path)
			})
			if len(wrong) > 0 {
				t.Errorf("%d of %d kills were not exact (-exact-seed %d):\n%s", len(wrong), *exactKills/4, *exactSeed, strings.Join(wrong, "\n"))
			}
		})
	}
}

// targetCommand runs a shape of the test's own target.
func targetCommand(form shape) func(string) []string {
	return func(path string) []string {
		return []string{target, form.verb, path, strconv.Itoa(writers), strconv.Itoa(records)}
	}
}
