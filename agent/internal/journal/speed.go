package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// maxSpeed bounds the file of the line's speed that is read.
const maxSpeed = 1 << 10

// speed is what is kept of the serial line.
type speed struct {
	Baud int       `json:"baud"`
	At   time.Time `json:"at"`
}

func (j *Journal) speed() string { return filepath.Join(j.dir, "line.json") }

// Speed returns at which speed the serial line still worked when it was noisy,
// zero where it never was.
func (j *Journal) Speed() (baud int, at time.Time, err error) {
	data, err := j.disk.ReadFile(j.speed(), maxSpeed)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, time.Time{}, nil
	}
	var s speed
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("read %s: %w", j.speed(), err)
	}
	return s.Baud, s.At, nil
}

// KeepSpeed makes it durable.
func (j *Journal) KeepSpeed(baud int, at time.Time) error {
	data, err := json.MarshalIndent(speed{baud, at}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the line's speed: %w", err)
	}
	return j.disk.WriteFile(j.speed(), append(data, '\n'), 0o600)
}
