package config

import (
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// DefaultPath is where the agent looks for its configuration.
const DefaultPath = "/etc/robot-ota/agent.yaml"

// Example is where the Debian package leaves a configuration to begin with.
const Example = "/usr/share/doc/robot-ota/examples/agent.yaml"

// DefaultSocket is where the agent is reached when no configuration says
// otherwise.
const DefaultSocket = "/run/robot-ota/agent.sock"

// Config is the whole configuration. Its zero value is not valid: start from
// Default or Load.
type Config struct {
	Robot         Robot    `yaml:"robot"`
	StateDir      string   `yaml:"state_dir"`      // journal, history, images; absolute
	ControlSocket string   `yaml:"control_socket"` // unix socket of the command line; absolute
	Server        Server   `yaml:"server"`
	Download      Download `yaml:"download"`
	Trust         Trust    `yaml:"trust"`
	Metadata      Metadata `yaml:"metadata"`
	Serial        Serial   `yaml:"serial"`
	MicroROS      MicroROS `yaml:"microros"`
	Trial         Trial    `yaml:"trial"`
	ObserveFor    Duration `yaml:"observe_for"`  // watch after a confirmation, 0-30 days; 0: none
	StandWithin   Duration `yaml:"stand_within"` // for so long a roll-back waits for a robot that moves, 0-24 h; 0: not at all
	Drain         Drain    `yaml:"drain"`
	Gates         Gates    `yaml:"gates"`
	ROS           ROS      `yaml:"ros"`
	DTLS          DTLS     `yaml:"dtls"`
	MQTT          MQTT     `yaml:"mqtt"`
	Log           Log      `yaml:"log"`
}

// Robot is who this is.
type Robot struct {
	ID               string         `yaml:"id"`  // letters, digits, - and _; at most 64
	SKU              string         `yaml:"sku"` // basic, standard or industrial
	CompanionVersion compat.Version `yaml:"companion_version"`
	MainsPowered     bool           `yaml:"mains_powered"` // no battery: its gate does not apply
}

// Server is the update server, and where else images may come from.
type Server struct {
	URL        string   `yaml:"url"`         // https
	Source     Source   `yaml:"source"`      // what answers there
	Hawkbit    Hawkbit  `yaml:"hawkbit"`     // with source hawkbit
	CAFile     string   `yaml:"ca_file"`     // PEM; "": the system's
	TokenFile  string   `yaml:"token_file"`  // holds the token, mode 0600; "": none
	CertFile   string   `yaml:"cert_file"`   // the robot's certificate, PEM; "": none
	KeyFile    string   `yaml:"key_file"`    // its private key, PEM; "": none
	CheckEvery Duration `yaml:"check_every"` // with source robot-ota; 0: only when asked; else 10 s - 30 days
	// Report tells the server of status, events and health, where there is no
	// broker; with source robot-ota.
	Report bool `yaml:"report"`
	// AllowHosts are hosts besides the server's that a trigger's URL may
	// name, as "host", "host:port" or "*.domain"; empty: any, but redirects
	// stay on their host.
	AllowHosts []string `yaml:"allow_hosts"`
	// AllowPrivate lets other hosts than the update server have loopback,
	// private and link-local addresses.
	AllowPrivate bool `yaml:"allow_private"`
	// Files are folders from which file:// URLs may take signed images;
	// absolute, empty: none.
	Files []string `yaml:"files"`
}

// Download bounds one download.
type Download struct {
	MaxSize  Size     `yaml:"max_size"`  // of the signed file, 64 KiB - 16 MiB + 136 B
	MinSpeed Size     `yaml:"min_speed"` // bytes per second; 0: any
	Patience Duration `yaml:"patience"`  // slower than that for so long: start over, 1 s - 10 min
	GiveUp   Duration `yaml:"give_up"`   // without a new byte for so long: fail, 1 s - 7 days
	Keep     int      `yaml:"keep"`      // verified images that stay in the store, 1-100
	Patches  bool     `yaml:"patches"`   // rebuild images from those in the store where the server offers a patch
}

// Serial is the line to the ESP32.
type Serial struct {
	Port  string `yaml:"port"` // /dev/…, or rfc2217://host:port
	Chip  string `yaml:"chip"` // esp32, esp32s3, …
	Baud  int    `yaml:"baud"` // bits per second while flashing, 9600-2000000
	Stub  bool   `yaml:"stub"` // false: the ROM loader alone, about ten times slower
	Reset Reset  `yaml:"reset"`
}

// ResetMethod is how the chip is brought into its loader and out of it.
type ResetMethod string

// The reset methods.
const (
	ResetAuto    ResetMethod = "auto" // try those of DTR and RTS in turn
	ResetClassic ResetMethod = "classic"
	ResetTight   ResetMethod = "tight"
	ResetUSBJTAG ResetMethod = "usb-jtag"
	ResetGPIO    ResetMethod = "gpio"
	ResetCommand ResetMethod = "command"
	ResetNone    ResetMethod = "none" // somebody else does it
)

// ResetMethods lists them.
func ResetMethods() []ResetMethod {
	return []ResetMethod{ResetAuto, ResetClassic, ResetTight, ResetUSBJTAG, ResetGPIO, ResetCommand, ResetNone}
}

// Reset is the way to the chip's EN and BOOT pins.
type Reset struct {
	Method  ResetMethod   `yaml:"method"`
	GPIO    ResetLines    `yaml:"gpio"`    // with method gpio
	Command ResetCommands `yaml:"command"` // with method command
}

// ResetLines are GPIO lines of the companion computer.
type ResetLines struct {
	Chip string `yaml:"chip"` // /dev/gpiochipN
	EN   int    `yaml:"en"`   // line offset, 0-1023
	Boot int    `yaml:"boot"` // line offset, 0-1023
}

// ResetCommands are programs that do it, as argument vectors: no shell reads
// them.
type ResetCommands struct {
	Bootloader []string `yaml:"bootloader"`
	Run        []string `yaml:"run"`
	Timeout    Duration `yaml:"timeout"` // for each, 100 ms - 1 min
}

// MicroROS is the micro-ROS agent that owns the line in normal life. Either a
// unit, or both commands, or nothing at all.
type MicroROS struct {
	Unit  string   `yaml:"unit"`
	Stop  []string `yaml:"stop"`
	Start []string `yaml:"start"`
}

// Confirmer is who marks a new slot valid after its trial.
type Confirmer string

// The confirmers.
const (
	ConfirmFirmware Confirmer = "firmware" // by itself; the agent demands to see it
	ConfirmAgent    Confirmer = "agent"    // for firmware that cannot
)

// Trial is the time in which new firmware has to prove itself.
type Trial struct {
	Window      Duration  `yaml:"window"`       // 1 s - 10 min
	BootTimeout Duration  `yaml:"boot_timeout"` // until it first speaks, 1 s - 10 min
	Confirm     Confirmer `yaml:"confirm"`
}

// Drain is how much discharging has to be seen before a firmware is judged by
// how fast the battery drains, and what is not too fast in any case.
type Drain struct {
	Learned Duration `yaml:"learned"` // before the update, 1 min - 48 h
	Seen    Duration `yaml:"seen"`    // since then, 1 min - 48 h
	// Floor is the charge, a fraction an hour, as which a robot counts that
	// used less before the update: 0-1.
	Floor float64 `yaml:"floor"`
}

// ROS names what is subscribed to. Names without a leading slash follow the
// node's namespace.
type ROS struct {
	// Namespace of the node, "" for the root; --ros-args comes before it.
	Namespace string `yaml:"namespace"`
	Topics    Topics `yaml:"topics"`
	// FirmwareStatus is the name of the firmware's own DiagnosticStatus;
	// {robot_id} in it stands for the robot's id.
	FirmwareStatus string `yaml:"firmware_status"`
	// SystemStatus is the DiagnosticStatus in which the firmware may tell of
	// Wi-Fi and heat, besides its own; {robot_id} as above.
	SystemStatus string `yaml:"system_status"`
	Keys         Keys   `yaml:"keys"`
}

// Topics of the robot.
type Topics struct {
	Battery     string `yaml:"battery"`
	EStop       string `yaml:"estop"`
	Odom        string `yaml:"odom"`
	CmdVel      string `yaml:"cmd_vel"`
	Diagnostics string `yaml:"diagnostics"`
	Dock        string `yaml:"dock"` // "": the battery tells whether the robot is docked
}

// Keys names the values in the firmware's own DiagnosticStatus; those of Wi-Fi
// and heat in its SystemStatus as well.
type Keys struct {
	Version     string `yaml:"version"`
	Protocol    string `yaml:"protocol"`
	AppSHA256   string `yaml:"app_sha256"`
	Slot        string `yaml:"slot"`
	OTAState    string `yaml:"ota_state"`
	BootCount   string `yaml:"boot_count"`
	ResetReason string `yaml:"reset_reason"`
	SafetyState string `yaml:"safety_state"`
	Motors      string `yaml:"motors"`
	SelfTest    string `yaml:"self_test"`
	SigningKey  string `yaml:"signing_key"`
	WiFiRSSI    string `yaml:"wifi_rssi"`
	Thermal     string `yaml:"thermal"`
}

// MQTT is the line to the fleet's broker.
type MQTT struct {
	// URL is mqtts://host or mqtts://host:port; mqtt:// only for a broker on
	// this computer; "": none.
	URL          string   `yaml:"url"`
	CAFile       string   `yaml:"ca_file"`       // PEM; "": the system's
	CertFile     string   `yaml:"cert_file"`     // the robot's certificate, PEM; "": none
	KeyFile      string   `yaml:"key_file"`      // its private key, PEM, mode 0600; "": none
	Username     string   `yaml:"username"`      // "": the robot's id, where there is a password
	PasswordFile string   `yaml:"password_file"` // holds the password, mode 0600; "": none
	KeepAlive    Duration `yaml:"keepalive"`     // silence after which the line is tried, whole seconds, 5 s - 20 min
}

// Log is what the agent writes to its standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// Default is the configuration before anything is said. Robot is empty: who
// the robot is cannot be guessed.
func Default() Config {
	return Config{
		StateDir:      "/var/lib/robot-ota",
		ControlSocket: DefaultSocket,
		Server:        Server{URL: "https://updates.robot-platform.org", Source: SourceOwn, Hawkbit: defaultHawkbit(), CheckEvery: Duration(6 * time.Hour)},
		Download: Download{
			MaxSize: maxDownload, MinSpeed: 1 << 10,
			Patience: Duration(30 * time.Second), GiveUp: Duration(time.Hour), Keep: 2, Patches: true,
		},
		Trust:    defaultTrust(),
		Metadata: defaultMetadata(),
		Serial: Serial{
			Port: "/dev/ota-esp32", Chip: "esp32s3", Baud: 921600, Stub: true,
			Reset: Reset{
				Method:  ResetAuto,
				GPIO:    ResetLines{Chip: "/dev/gpiochip0", EN: 17, Boot: 27},
				Command: ResetCommands{Timeout: Duration(5 * time.Second)},
			},
		},
		MicroROS:   MicroROS{Unit: "micro_ros_agent.service"},
		Trial:      Trial{Window: Duration(30 * time.Second), BootTimeout: Duration(time.Minute), Confirm: ConfirmFirmware},
		ObserveFor: Duration(24 * time.Hour), StandWithin: Duration(10 * time.Minute),
		Drain: Drain{Learned: Duration(time.Hour), Seen: Duration(10 * time.Minute), Floor: 0.02},
		Gates: defaultGates(),
		ROS: ROS{
			Topics: Topics{
				Battery: "battery_state", EStop: "emergency_stop_state", Odom: "odom",
				CmdVel: "cmd_vel", Diagnostics: "/diagnostics",
			},
			FirmwareStatus: robotID + "/firmware",
			SystemStatus:   robotID + "/system",
			Keys: Keys{
				Version: "firmware_version", Protocol: "protocol_version", AppSHA256: "app_sha256",
				Slot: "slot", OTAState: "ota_state", BootCount: "boot_count", ResetReason: "reset_reason",
				SafetyState: "safety_state", Motors: "motors", SelfTest: "self_test", SigningKey: "signing_key",
				WiFiRSSI: "wifi_rssi", Thermal: "thermal",
			},
		},
		MQTT: MQTT{KeepAlive: Duration(30 * time.Second)},
		DTLS: defaultDTLS(),
		Log:  Log{Level: "info", Format: "text"},
	}
}

// robotID is the placeholder for the robot's id.
const robotID = "{robot_id}"

// FirmwareStatus is the name of the firmware's own DiagnosticStatus.
func (c Config) FirmwareStatus() string {
	return strings.ReplaceAll(c.ROS.FirmwareStatus, robotID, c.Robot.ID)
}

// SystemStatus is the name of the DiagnosticStatus in which the firmware may
// tell of its surroundings.
func (c Config) SystemStatus() string {
	return strings.ReplaceAll(c.ROS.SystemStatus, robotID, c.Robot.ID)
}

// FirmwareKeys are the names of the values in it.
func (c Config) FirmwareKeys() robot.Keys {
	k := c.ROS.Keys
	return robot.Keys{
		Version: k.Version, Protocol: k.Protocol, AppSHA256: k.AppSHA256, Slot: k.Slot, OTAState: k.OTAState,
		BootCount: k.BootCount, ResetReason: k.ResetReason, Safety: k.SafetyState, Motors: k.Motors, SelfTest: k.SelfTest,
		SigningKey: k.SigningKey, RSSI: k.WiFiRSSI, Thermal: k.Thermal,
	}
}
