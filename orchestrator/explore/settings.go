package explore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Settings are what makes a campaign the one that it is: with the same ones,
// and the same system, the same points are run. They are kept with it.
type Settings struct {
	Scenario string   `json:"scenario"` // its name
	File     string   `json:"file"`
	Env      []string `json:"env,omitempty"` // NAME=VALUE, as given to the command
	Target   string   `json:"target"`
	Model    Model    `json:"model"`
	Seed     int      `json:"seed"`
	// Depth is how many crashes come in one run, at most.
	Depth int `json:"depth"`
	// Most bounds the points; 0: all.
	Most     int   `json:"most,omitempty"`
	Variants int   `json:"variants,omitempty"`
	Pairs    int   `json:"pairs,omitempty"`
	Shard    Shard `json:"shard"`
	// Batched leaves away what makes runs of the system equal.
	Batched bool `json:"batched,omitempty"`
	// Chain crashes the target once in each unit of work of one run, from rest to
	// rest.
	Chain bool `json:"chain,omitempty"`
	// KeepLogs judges by what the scenario expects of logs and of how the
	// target exits, too.
	KeepLogs bool `json:"keepLogs,omitempty"`
}

// saved is the file of a campaign that is written before any point is run.
type saved struct {
	Version   int        `json:"version"`
	Started   time.Time  `json:"started"`
	Settings  Settings   `json:"settings"`
	Images    imageIDs   `json:"images,omitempty"`
	Engine    string     `json:"engine,omitempty"`
	Diverge   Divergence `json:"divergence"`
	Recording Recording  `json:"recording"`
	// Collected are globs of the files that the checks are computed from.
	Collected []string `json:"collected,omitempty"`
	// Content identifies what the scenario says.
	Content string `json:"content"`
}

type imageIDs map[string]string

const savedVersion = 1

// The files of a campaign's folder.
const (
	planFile     = "plan.json"
	journalFile  = "journal.jsonl"
	outcomesFile = "outcomes.txt"
	runsFolder   = "runs"
)

// IsCampaign says whether a folder holds a campaign.
func IsCampaign(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, planFile))
	return err == nil
}

// ErrOtherCampaign says that a folder holds a campaign that is not the one
// asked for.
var ErrOtherCampaign = errors.New("the folder holds another campaign")

// differs names the settings in which two campaigns differ; "" when in none.
func (s Settings) differs(other Settings) string {
	one, two := reflect.ValueOf(s), reflect.ValueOf(other)
	for i := range one.NumField() {
		if !reflect.DeepEqual(one.Field(i).Interface(), two.Field(i).Interface()) {
			name := one.Type().Field(i).Name
			return fmt.Sprintf("%s is %v, and was %v", name, show(one.Field(i)), show(two.Field(i)))
		}
	}
	return ""
}

func show(value reflect.Value) any {
	if value.IsZero() {
		return "not set"
	}
	return value.Interface()
}

// contentOf identifies what a scenario says, wherever in its file.
func contentOf(sc *scenario.Scenario) (string, error) {
	bare := *sc
	bare.Positions = nil
	text, err := json.Marshal(bare)
	if err != nil {
		return "", fmt.Errorf("save scenario %s: %w", sc.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

func save(folder string, s *saved) error {
	s.Version = savedVersion
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("save campaign: %w", err)
	}
	return report.WriteFile(filepath.Join(folder, planFile), func(to io.Writer) error {
		_, err := to.Write(append(text, '\n'))
		return err
	})
}

// load reads what save wrote; nil where there is no campaign.
func load(folder string) (*saved, error) {
	text, err := os.ReadFile(filepath.Join(folder, planFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load campaign: %w", err)
	}
	s := &saved{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("load campaign %s: %w", folder, err)
	}
	if s.Version > savedVersion {
		return nil, fmt.Errorf("load campaign %s: version %d is newer than this killpoint reads (%d)", folder, s.Version, savedVersion)
	}
	return s, nil
}
