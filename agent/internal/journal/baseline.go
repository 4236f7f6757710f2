package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/robot-platform/robot-ota/agent/internal/watch"
)

// maxBaseline bounds the baseline file that is read.
const maxBaseline = 4 << 10

func (j *Journal) baseline() string { return filepath.Join(j.dir, "baseline.json") }

// Baseline returns what was learned of the robot, zero where nothing was.
func (j *Journal) Baseline() (watch.Tally, error) {
	data, err := j.disk.ReadFile(j.baseline(), maxBaseline)
	if errors.Is(err, fs.ErrNotExist) {
		return watch.Tally{}, nil
	}
	var t watch.Tally
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	if err != nil {
		return watch.Tally{}, fmt.Errorf("read %s: %w", j.baseline(), err)
	}
	return t, nil
}

// KeepBaseline makes it durable.
func (j *Journal) KeepBaseline(t watch.Tally) error {
	data, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the baseline: %w", err)
	}
	return j.disk.WriteFile(j.baseline(), append(data, '\n'), 0o600)
}
