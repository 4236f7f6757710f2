package mqttlink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// maxSeen commands are remembered; a broker's queue for one robot is shorter.
const maxSeen = 512

// maxSeenFile bounds the file that is read, in bytes.
const maxSeenFile = 1 << 20

// seen remembers the commands that took effect, across restarts.
type seen struct {
	disk disk.Disk
	path string

	mu   sync.Mutex
	list []known // oldest first
}

// openSeen reads the memory of commands. One that cannot be understood is put
// aside and begun anew: err tells, and the seen is usable.
func openSeen(d disk.Disk, path string) (*seen, error) {
	s := &seen{disk: d, path: path}
	data, err := d.ReadFile(path, maxSeenFile)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s.list)
	}
	if err != nil {
		s.list = nil
		err = fmt.Errorf("the memory of commands %s was damaged and has been put aside: %w", path, errors.Join(err, d.Rename(path, path+".damaged")))
	}
	return s, err
}

func (s *seen) find(key string) (known, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range slices.Backward(s.list) {
		if k.Key == key {
			return k, true
		}
	}
	return known{}, false
}

// add remembers a command. With an error it is remembered until the agent
// ends.
func (s *seen) add(k known) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(old known) bool { return old.Key == k.Key })
	s.list = append(s.list, k)
	s.list = s.list[max(0, len(s.list)-maxSeen):]
	data, err := json.Marshal(s.list)
	if err != nil {
		return fmt.Errorf("encode the memory of commands: %w", err)
	}
	return s.disk.WriteFile(s.path, data, 0o600)
}
