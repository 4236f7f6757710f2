package journal

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// maxHeld bounds the file of what lies in the flash: a few slots of 16 MiB at
// the most.
const maxHeld = 1 << 20

// held is what the slots of a chip were proved to hold, by their places.
type held struct {
	MAC   string            `json:"mac"`
	Slots map[uint32][]byte `json:"slots"`
}

func (j *Journal) held() string { return filepath.Join(j.dir, "flash.json") }

// Held returns what was kept of the flash of the chip with that MAC from off on,
// nil where nothing was.
func (j *Journal) Held(mac [6]byte, off uint32) ([]byte, error) {
	h, err := j.readHeld()
	if err != nil || h.MAC != hex.EncodeToString(mac[:]) {
		return nil, err
	}
	return h.Slots[off], nil
}

// KeepHeld makes it durable, and forgets what is of another chip.
func (j *Journal) KeepHeld(mac [6]byte, off uint32, what []byte) error {
	h, err := j.readHeld()
	if name := hex.EncodeToString(mac[:]); err != nil || h.MAC != name || h.Slots == nil {
		h = held{MAC: name, Slots: make(map[uint32][]byte)}
	}
	h.Slots[off] = what
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode what the flash holds: %w", err)
	}
	return j.disk.WriteFile(j.held(), append(data, '\n'), 0o600)
}

func (j *Journal) readHeld() (held, error) {
	data, err := j.disk.ReadFile(j.held(), maxHeld)
	if errors.Is(err, fs.ErrNotExist) {
		return held{}, nil
	}
	var h held
	if err == nil {
		err = json.Unmarshal(data, &h)
	}
	if err != nil {
		return held{}, fmt.Errorf("read %s: %w", j.held(), err)
	}
	return h, nil
}
