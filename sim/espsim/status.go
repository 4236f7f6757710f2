package espsim

// Mode is what the chip is doing.
type Mode string

// The modes.
const (
	ModeOff      Mode = "off"      // no power
	ModeReset    Mode = "reset"    // EN held low
	ModeBoot     Mode = "boot"     // between reset and application
	ModeDownload Mode = "download" // boot loader in ROM, or the stub, waits for a host
	ModeApp      Mode = "app"      // the application runs
	ModeNoApp    Mode = "no_app"   // the boot loader found nothing to boot
)

// AppStatus is the chip as a whole and, while Running, what its application
// would say of itself.
type AppStatus struct {
	Mode    Mode `json:"mode"`
	Running bool `json:"running"`
	// Publishing says that the application talks; a silent one runs all the
	// same.
	Publishing bool   `json:"publishing"`
	Version    string `json:"firmware_version"` // as it reports, which may be a lie
	Protocol   uint8  `json:"protocol_version"`
	Project    string `json:"project"`
	SHA256     string `json:"app_sha256"` // appended to the image, hex
	Slot       string `json:"slot"`       // "factory", "ota_0", …
	OTAState   string `json:"ota_state"`  // "new", "pending_verify", "valid", "invalid", "aborted", "undefined"
	// BootCount counts the application's starts over the chip's life.
	BootCount   uint64 `json:"boot_count"`
	ResetReason string `json:"reset_reason"` // "poweron", "sw", "panic", "task_wdt"
	SafetyState string `json:"safety_state"` // "self_test", "normal", "fault", "estop"
	Motors      string `json:"motors"`       // "idle", "running"
	SelfTest    string `json:"self_test"`    // "running", "passed", "failed"
	// SigningKey is the id of the public key that the image embeds, "" for none.
	SigningKey string `json:"signing_key,omitempty"`
	// Behaviour is what the image was told to do.
	Behaviour string `json:"behaviour"`
	// EStop says that the firmware stopped by itself, without an operator.
	EStop bool `json:"estop"`
	// Drain multiplies the robot's battery drain; 1 is normal.
	Drain float64 `json:"drain"`
}

// SlotStatus is one application partition as it lies in flash.
type SlotStatus struct {
	Slot    string `json:"slot"`
	Offset  uint32 `json:"offset"`
	Size    uint32 `json:"size"`
	Valid   bool   `json:"valid"` // checksum and hash are right
	Problem string `json:"problem,omitempty"`
	Version string `json:"version,omitempty"`
	Project string `json:"project,omitempty"`
	SHA256  string `json:"app_sha256,omitempty"`
	// Sum is the SHA-256 of the image's bytes in flash, header to appended
	// hash, hex.
	Sum      string `json:"image_sha256,omitempty"`
	OTAState string `json:"ota_state"` // of the OTA data entry that holds the slot
}

// OTAEntry is one of the two entries of the OTA data partition.
type OTAEntry struct {
	Seq   uint32 `json:"seq"`
	State string `json:"state"`
	Valid bool   `json:"valid"` // CRC right, seq set
	Slot  string `json:"slot,omitempty"`
}

// FlashReport says what lies in flash and what would be booted.
type FlashReport struct {
	Partitions []PartitionStatus `json:"partitions"`
	Slots      []SlotStatus      `json:"slots"`
	OTAData    []OTAEntry        `json:"otadata"`
	// NextBoot is the slot that the boot loader would start now, "" for none.
	NextBoot string `json:"next_boot"`
	Problem  string `json:"problem,omitempty"`
}

// PartitionStatus is a row of the partition table.
type PartitionStatus struct {
	Label   string `json:"label"`
	Type    uint8  `json:"type"`
	Subtype uint8  `json:"subtype"`
	Offset  uint32 `json:"offset"`
	Size    uint32 `json:"size"`
}
