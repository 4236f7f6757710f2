package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// Bounds of the file, and of what it repeats of an error, in bytes.
const (
	maxFile = 16 << 10
	maxErr  = 1 << 10
)

// kept is the file. Its times are those of the clock on the wall.
type kept struct {
	Next     time.Time    `json:"next,omitzero"`
	Alone    time.Time    `json:"alone_until,omitzero"` // as the server asked
	Failures int          `json:"failures,omitempty"`   // on end; a check that has begun counts as one
	Last     update.Check `json:"last,omitzero"`
}

// brief is c with an error that fits the file.
func brief(c update.Check) update.Check {
	if len(c.Err) > maxErr {
		c.Err = strings.ToValidUTF8(c.Err[:maxErr], "") + "…"
	}
	return c
}

// read reads the file; what is not there is zero.
func read(d disk.Disk, file string) (kept, error) {
	if file == "" {
		return kept{}, nil
	}
	f, err := d.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return kept{}, nil
	}
	if err != nil {
		return kept{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil {
		return parse(data)
	}
	return kept{}, fmt.Errorf("read %s: %w", file, err)
}

// parse reads what the file holds. It is only a plan: whatever the file says,
// Schedule bounds what follows from it.
func parse(data []byte) (kept, error) {
	if len(data) > maxFile {
		return kept{}, fmt.Errorf("the schedule's file has more than %d bytes", maxFile)
	}
	var k kept
	if err := json.Unmarshal(data, &k); err != nil {
		return kept{}, fmt.Errorf("the schedule's file is damaged: %w", err)
	}
	k.Failures = min(max(k.Failures, 0), maxFailures)
	k.Last = brief(k.Last)
	return k, nil
}

// maxFailures is more than it takes to get from a minute to any period.
const maxFailures = 64

// keep makes the plan durable; mu is held. Without it a restart asks too soon,
// and nothing worse.
func (s *Schedule) keep() {
	s.kept.Failures = min(s.kept.Failures, maxFailures)
	if s.file == "" {
		return
	}
	data, err := json.MarshalIndent(s.kept, "", "  ")
	if err == nil {
		err = s.disk.WriteFile(s.file, append(data, '\n'), 0o600)
	}
	if err != nil {
		s.log.Warn("when the update server is asked next could not be kept", "err", err)
	}
}
