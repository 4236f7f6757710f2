package mqttlink

import (
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// Status is the retained message on ota/status.
type Status struct {
	update.Status
	About
	RobotID string `json:"robot_id"`
	SKU     string `json:"sku"`
	Agent   string `json:"agent,omitempty"` // version of this program
	Keys    *Keys  `json:"keys,omitempty"`
	// At is by this computer's clock, which may be wrong; which of two statuses
	// is the newer one the Stamp tells.
	At time.Time `json:"at,omitzero"`
	Stamp
}

// Stamp orders messages: of one Epoch, which names a state directory, a higher
// Seq is newer, over restarts of the agent as well.
type Stamp struct {
	Epoch string `json:"epoch,omitempty"`
	Seq   uint64 `json:"seq,omitempty"`
}

// About is what else is known of the robot.
type About struct {
	Companion compat.Version  `json:"companion,omitzero"` // version of this computer's software
	Protocol  compat.Protocol `json:"protocol,omitempty"` // of the running firmware, as its ota_state
	OTAState  string          `json:"ota_state,omitempty"`
}

// Keys is whose signatures count on this robot.
type Keys struct {
	Keyring uint64   `json:"keyring"` // version of the keyring document; 0: none
	Trusted []string `json:"trusted"` // ids
	Revoked []string `json:"revoked"` // ids
	// Firmware is the key that the running firmware says it embeds.
	Firmware string `json:"firmware,omitempty"`
	// Refused says why the update server's document is not taken.
	Refused keyring.Code `json:"refused,omitempty"`
}

// Census counts the robot's health.
type Census interface {
	// Health is what there is to tell, Told that the broker has it.
	Health(now time.Time) []watch.Health
	Told(h watch.Health)
}

// status is what is told now, without time and stamp.
func (l *Link) status(s update.Status) Status {
	out := Status{Status: s, RobotID: l.cfg.RobotID, SKU: l.cfg.SKU, Agent: l.cfg.Version}
	if l.cfg.Keys != nil {
		k := l.cfg.Keys()
		out.Keys = &k
	}
	if l.cfg.About != nil {
		out.About = l.cfg.About()
	}
	return out
}

// stamps gives each message a stamp of its own. The upper half of Seq is the
// number of the agent's start, so that nothing need be written for each.
type stamps struct {
	mu   sync.Mutex
	last Stamp
}

func newStamps(epoch string, starts uint64) *stamps {
	return &stamps{last: Stamp{Epoch: epoch, Seq: starts << 32}}
}

func (s *stamps) next() Stamp {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.Seq++
	return s.last
}
