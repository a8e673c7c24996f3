package interpose

// Name is the file name of the interposer in a container, by which an executable knows that it was started to be one.
const Name = "killpoint-interposer"

// Directory is where in a container the interposer and its plan are. On a read-only root it has to be a volume.
const Directory = "/.killpoint"

// Where the binary and the plan are in a container.
const (
	BinaryPath = Directory + "/" + Name
	PlanPath   = Directory + "/plan.json"
)

// Command is what a container runs in place of its own entrypoint and command, which are given as the engine would execute them: a shell form with its shell in front.
func Command(entrypoint, command []string) []string {
	full := []string{BinaryPath, "supervise", PlanPath, "--"}
	full = append(full, entrypoint...)
	return append(full, command...)
}

// ControlCommand is what is executed inside the container, with stdin and stdout attached and without a terminal, to reach the interposer of a plan.
func ControlCommand(planID string) []string { return []string{BinaryPath, "control", planID} }

// ProbeCommand prints Features as one JSON object, or fails with a reason.
func ProbeCommand() []string { return []string{BinaryPath, "probe"} }
