package robot

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// Firmware is what the ESP32's application says of itself in its
// DiagnosticStatus `{robot_id}/firmware`.
type Firmware struct {
	Version  compat.Version
	Protocol compat.Protocol // 0 where it does not say
	// AppSHA256 is the SHA-256 appended to the running app image, lower-case
	// hex, as esp_partition_get_sha256 returns it.
	AppSHA256   string
	Slot        string // "factory", "ota_0", …
	OTAState    string // "new", "pending_verify", "valid", "invalid", "aborted", "undefined"
	BootCount   uint64
	ResetReason string
	SafetyState string // "normal" when all is well
	Motors      string // "idle" when none turns
	SelfTest    string // "running", "passed", "failed"
	// SigningKey is the id of the public key that the firmware embeds, as
	// image.Key has it; "" where it does not say, and its own words where they
	// are no key.
	SigningKey string
	Level      Level
	Message    string
	At         time.Time
}

// Heard says that the firmware has spoken at all.
func (w Firmware) Heard() bool { return !w.At.IsZero() }

// MotorsBusy says that a motor turns, by the firmware's word.
func (w Firmware) MotorsBusy() bool { return w.Motors != "" && !strings.EqualFold(w.Motors, "idle") }

// Keys names the values of the firmware's DiagnosticStatus, for firmware that
// calls them otherwise.
type Keys struct {
	Version, Protocol, AppSHA256, Slot, OTAState     string
	BootCount, ResetReason, Safety, Motors, SelfTest string
	SigningKey                                       string
	RSSI, Thermal                                    string // of Conditions
}

// DefaultKeys are the names that the fleet's firmware uses.
func DefaultKeys() Keys {
	return Keys{
		Version: "firmware_version", Protocol: "protocol_version", AppSHA256: "app_sha256",
		Slot: "slot", OTAState: "ota_state", BootCount: "boot_count", ResetReason: "reset_reason",
		Safety: "safety_state", Motors: "motors", SelfTest: "self_test", SigningKey: "signing_key",
		RSSI: "wifi_rssi", Thermal: "thermal",
	}
}

// FirmwareFrom reads the firmware's own status. A value that is there but
// cannot be right (a version that is none, a hash of another length) is an
// error: what attests an update must not be guessed at.
func FirmwareFrom(d Diagnostic, k Keys) (Firmware, error) {
	w := Firmware{
		Slot: d.Values[k.Slot], OTAState: d.Values[k.OTAState], ResetReason: d.Values[k.ResetReason],
		SafetyState: d.Values[k.Safety], Motors: d.Values[k.Motors], SelfTest: d.Values[k.SelfTest],
		SigningKey: keyID(d.Values[k.SigningKey]),
		Level:      d.Level, Message: d.Message, At: d.At,
	}
	var err error
	if w.Version, err = compat.ParseVersion(d.Values[k.Version]); err != nil {
		return Firmware{}, fmt.Errorf("firmware status %q, value %q: %w", d.Name, k.Version, err)
	}
	if v := d.Values[k.Protocol]; v != "" {
		n, err := strconv.ParseUint(v, 10, 8)
		if err != nil {
			return Firmware{}, fmt.Errorf("firmware status %q, value %q: %w", d.Name, k.Protocol, err)
		}
		w.Protocol = compat.Protocol(n)
	}
	if v := d.Values[k.BootCount]; v != "" {
		if w.BootCount, err = strconv.ParseUint(v, 10, 64); err != nil {
			return Firmware{}, fmt.Errorf("firmware status %q, value %q: %w", d.Name, k.BootCount, err)
		}
	}
	sum, err := hex.DecodeString(d.Values[k.AppSHA256])
	if err != nil || (len(sum) != 32 && len(sum) != 0) {
		return Firmware{}, fmt.Errorf("firmware status %q, value %q: %q is no SHA-256 in hex",
			d.Name, k.AppSHA256, d.Values[k.AppSHA256])
	}
	w.AppSHA256 = hex.EncodeToString(sum)
	return w, nil
}

// keyID reads the key that a firmware embeds: its id, or X‖Y in hex as the
// device stores it. It attests nothing, so what cannot be read is passed on
// for people and makes the rest of the status no worse.
func keyID(said string) string {
	if raw, err := hex.DecodeString(said); err == nil {
		if keys, err := image.ParseKeys(raw); err == nil && len(keys) == 1 {
			return keys[0].ID
		}
		said = strings.ToLower(said)
	}
	return said
}
