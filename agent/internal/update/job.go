package update

import (
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// State is where a job stands. Its names are published and persisted; a name
// is never given another meaning.
type State string

// The states.
const (
	Idle        State = "idle"
	Checking    State = "checking"
	Downloading State = "downloading"
	Verifying   State = "verifying"
	Waiting     State = "waiting"
	Handover    State = "handover"
	Connecting  State = "connecting"
	Writing     State = "writing"
	Attesting   State = "attesting"
	Booting     State = "booting"
	Validating  State = "validating"
	Confirmed   State = "confirmed"
	Observing   State = "observing"
	Failed      State = "failed"
	RollingBack State = "rolling_back"
	RolledBack  State = "rolled_back"
)

// States lists all of them in the order of a run.
func States() []State {
	return []State{Idle, Checking, Downloading, Verifying, Waiting, Handover, Connecting, Writing,
		Attesting, Booting, Validating, Confirmed, Observing, Failed, RollingBack, RolledBack}
}

// Terminal says that nothing more happens to the job by itself. Observing is
// not terminal, but a new job may take its place.
func (s State) Terminal() bool {
	return s == Idle || s == Failed || s == RolledBack
}

// Busy says that a new job has to wait for this one.
func (s State) Busy() bool {
	return !s.Terminal() && s != Observing
}

// Kind of a job.
type Kind string

// The kinds of job.
const (
	KindUpdate   Kind = "update"
	KindRollback Kind = "rollback"
)

// Origin is who asked for a job.
type Origin string

// The origins.
const (
	FromROS      Origin = "ros"
	FromMQTT     Origin = "mqtt"
	FromSchedule Origin = "schedule"
	FromCLI      Origin = "cli"
	FromHawkbit  Origin = "hawkbit" // a deployment of a hawkBit server
)

// Request is what was asked for. All of it comes from outside.
type Request struct {
	// URL of the signed image; empty: what the update server offers.
	URL string `json:"url,omitempty"`
	// SHA256 of the signed file, lower-case hex; empty: not known beforehand.
	SHA256 string `json:"sha256,omitempty"`
	// Version that is expected; zero: any newer one.
	Version compat.Version `json:"version,omitzero"`
	// Force lets an operator go back to an older version, or try one again
	// that failed on this robot. It opens no other gate.
	Force bool `json:"force,omitempty"`
	// AnyTime lets the update begin outside of the robot's maintenance windows.
	// It opens no other gate.
	AnyTime bool   `json:"any_time,omitempty"`
	Origin  Origin `json:"origin"`
	// Command is the id that the sender gave, so that one delivered twice
	// acts once.
	Command string `json:"command,omitempty"`
}

// Offer is where the image is to be had, and what it is said to be.
type Offer struct {
	URL      string          `json:"url"`
	SHA256   string          `json:"sha256,omitempty"`
	Size     int64           `json:"size,omitempty"` // bytes; 0 unknown
	Version  compat.Version  `json:"version,omitzero"`
	Protocol compat.Protocol `json:"protocol,omitempty"`
	// Release is what the update server calls it; the action's name where that
	// is a hawkBit.
	Release string `json:"release,omitempty"`
	// Forced: the fleet's operator wants it at once. It may pass the robot's
	// own maintenance window, and no other gate.
	Forced bool `json:"forced,omitempty"`
	// Patch makes the image of one that the robot keeps; zero: there is none.
	Patch Patch `json:"patch,omitzero"`
}

// Patch is where a patch is to be had, and what it is said to be.
type Patch struct {
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`      // of the patch
	Size   int64  `json:"size"`        // bytes of the patch
	From   string `json:"from_sha256"` // of the signed file that it starts from
}

// Image is what verification proved of the file.
type Image struct {
	Version    compat.Version `json:"version"`
	FileSHA256 string         `json:"file_sha256"` // of the signed file, its name in the store
	AppSHA256  string         `json:"app_sha256"`  // as the running firmware will report it
	Size       uint32         `json:"size"`        // bytes of the app image
	Key        string         `json:"key"`         // id of the key that signed it
}

// Installed is a firmware in a slot of the chip.
type Installed struct {
	Slot      string         `json:"slot"`
	Version   compat.Version `json:"version,omitzero"`
	AppSHA256 string         `json:"app_sha256,omitempty"`
}

// Failure is why a job did not end as asked.
type Failure struct {
	State State  `json:"state"` // in which it happened
	Code  string `json:"code"`
	Text  string `json:"text"`
}

// Job is one update or roll-back, from the request to its end.
type Job struct {
	ID      string    `json:"id,omitempty"`
	Kind    Kind      `json:"kind,omitempty"`
	Request Request   `json:"request,omitzero"`
	State   State     `json:"state"`
	Since   time.Time `json:"since,omitzero"`   // in this state
	Started time.Time `json:"started,omitzero"` // of the job
	Offer   Offer     `json:"offer,omitzero"`
	// Downloaded bytes of the image, and Patched: it was rebuilt from one that
	// the robot kept.
	Downloaded int64 `json:"downloaded_bytes,omitempty"`
	Patched    bool  `json:"patched,omitempty"`
	Image      Image `json:"image,omitzero"`
	// From is the firmware that ran before, To the slot it goes to: both as
	// read from the chip.
	From Installed `json:"from,omitzero"`
	To   string    `json:"to,omitempty"`
	// Switched says that the OTA data may name To.
	Switched bool `json:"switched,omitempty"`
	// TakenAt is since when no firmware drives the robot: it was taken away
	// for the loader, before the first attempt, or to be put back; zero: one
	// does, or it is not known. AwaySeconds is how long that was so, all in
	// all since the job's latest record.
	TakenAt     time.Time `json:"taken_at,omitzero"`
	AwaySeconds float64   `json:"away_seconds,omitempty"`
	// ConfirmedAt is the beginning of the observation.
	ConfirmedAt time.Time          `json:"confirmed_at,omitzero"`
	Reasons     []preflight.Reason `json:"reasons,omitempty"`
	Failure     *Failure           `json:"failure,omitempty"`
	// Attempts at the chip (connect to attest), and Restarts of the agent
	// within the job: both are bounded.
	Attempts int      `json:"attempts,omitempty"`
	Restarts int      `json:"restarts,omitempty"`
	Evidence []string `json:"evidence,omitempty"`
}

// Update is a confirmed change of firmware.
type Update struct {
	From  Installed `json:"from"`
	To    string    `json:"to"`
	Image Image     `json:"image"`
}

// FailedVersion is a version that was put back on this robot.
type FailedVersion struct {
	Version compat.Version `json:"version"`
	Code    string         `json:"code"`
	Text    string         `json:"text"`
	At      time.Time      `json:"at"`
}

// Schema is the version of Memory's persisted form.
const Schema = 1

// Memory is what the agent remembers across restarts.
type Memory struct {
	Schema int `json:"schema"`
	Job    Job `json:"job"`
	// Held: the serial line may be ours, and its owner stopped.
	Held bool `json:"held,omitempty"`
	// Loader: the chip may sit in its serial loader, its application dead.
	Loader bool `json:"loader,omitempty"`
	// Last is the update that can still be rolled back: the slot it came from
	// was not written since.
	Last *Update `json:"last,omitempty"`
	// Bad versions are not tried again without Force.
	Bad []FailedVersion `json:"bad,omitempty"`
}

// New is the memory of an agent that has done nothing yet.
func New() Memory { return Memory{Schema: Schema, Job: Job{State: Idle}} }

// BadVersion says whether v was put back here before.
func (m Memory) BadVersion(v compat.Version) (FailedVersion, bool) {
	for _, b := range m.Bad {
		if b.Version == v {
			return b, true
		}
	}
	return FailedVersion{}, false
}
