package mqttlink

import (
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// Status is the retained message on ota/status.
type Status struct {
	update.Status
	Keys *Keys `json:"keys,omitempty"`
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

// status is what is told now.
func (l *Link) status(s update.Status) Status {
	out := Status{Status: s}
	if l.cfg.Keys != nil {
		k := l.cfg.Keys()
		out.Keys = &k
	}
	return out
}
