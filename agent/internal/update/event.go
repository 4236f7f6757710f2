package update

import "github.com/robot-platform/robot-ota/agent/internal/preflight"

// Event is something that happened: a command from outside, the result of an
// effect, or the agent's own restart.
type Event interface{ event() }

type (
	// Trigger asks for an update.
	Trigger struct {
		ID      string
		Request Request
	}
	// CancelAsked asks to give up a job that has not switched yet.
	CancelAsked struct{}
	// RollbackAsked asks for the firmware before the last update.
	RollbackAsked struct {
		ID      string
		Reason  string
		Origin  Origin
		Command string
	}
	// VisitAsked asks for a trip of the chip into its loader and back.
	VisitAsked struct{}
	// Restarted is the first event in the life of an agent.
	Restarted struct{}

	// Resolved: there is something to download.
	Resolved struct{ Offer Offer }
	// NothingNewer: the update server has nothing for this robot.
	NothingNewer struct{}
	// Fetched: the file lies in the store, not verified yet.
	Fetched struct {
		SHA256 string
		Size   int64
		// Downloaded bytes, what of them is the image's and what of a patch;
		// Patched: the image was rebuilt from one on the robot.
		Downloaded int64
		Patched    bool
	}
	// Proven: the image is genuine and fits.
	Proven struct{ Image Image }
	// Clear: no gate stands in the way.
	Clear struct{}
	// Blocked: gates stand in the way of the update, or motion in that of a
	// roll-back.
	Blocked struct{ Reasons []preflight.Reason }
	// LineTaken: the serial line is ours and free.
	LineTaken struct{}
	// Connected: the chip answered, and this is what it holds.
	Connected struct {
		From Installed
		To   string
	}
	// Written: the image is in the slot, as far as the writing tells.
	Written struct{}
	// Attested: the chip's MD5 of the slot is the verified image's.
	Attested struct{}
	// Switched: the OTA data name the new slot, and read back so.
	Switched struct{}
	// Released: the chip is out of its loader and the line given back.
	Released struct{}
	// Up: the new firmware has spoken for the first time.
	Up struct{}
	// TrialPassed: version, hash, state and health were right for the whole
	// window.
	TrialPassed struct{ Evidence []string }
	// TrialFailed: they were not.
	TrialFailed struct {
		Code, Text string
		// Back says that the old firmware already runs again by itself.
		Back     bool
		Evidence []string
	}
	// Kept: the new slot is marked VALID, by the firmware or for it.
	Kept struct{}
	// Fired: a rollback trigger fired during the observation.
	Fired struct {
		Code, Text string
		Evidence   []string
	}
	// ObservationOver: it ended in good health.
	ObservationOver struct{}
	// Standing: the robot stands still, or was waited for long enough.
	Standing struct{}
	// Restored: the chip boots the old slot again. Heard: its firmware spoke.
	Restored struct {
		Heard    bool
		Evidence []string
	}
	// EffectFailed: the effect of the present state failed.
	EffectFailed struct {
		Code, Text string
		// Retry says that the same may work the next time.
		Retry bool
	}
)

func (Trigger) event()         {}
func (CancelAsked) event()     {}
func (RollbackAsked) event()   {}
func (VisitAsked) event()      {}
func (Restarted) event()       {}
func (Resolved) event()        {}
func (NothingNewer) event()    {}
func (Fetched) event()         {}
func (Proven) event()          {}
func (Clear) event()           {}
func (Blocked) event()         {}
func (LineTaken) event()       {}
func (Connected) event()       {}
func (Written) event()         {}
func (Attested) event()        {}
func (Switched) event()        {}
func (Released) event()        {}
func (Up) event()              {}
func (TrialPassed) event()     {}
func (TrialFailed) event()     {}
func (Kept) event()            {}
func (Fired) event()           {}
func (ObservationOver) event() {}
func (Standing) event()        {}
func (Restored) event()        {}
func (EffectFailed) event()    {}

// Effect is something the engine is to do. At most one of those that take
// time goes on at once: a new one ends the one before. Record is done on the
// way.
type Effect string

// The effects.
const (
	DoCheck    Effect = "check"     // resolve the request → Resolved, NothingNewer
	DoDownload Effect = "download"  // → Fetched
	DoVerify   Effect = "verify"    // → Proven
	DoAskGates Effect = "ask_gates" // until they open → Blocked…, Clear
	DoTakeLine Effect = "take_line" // ask the gates once more, stop who owns the line → LineTaken, Blocked
	DoConnect  Effect = "connect"   // chip into its loader, read its slots → Connected
	DoWrite    Effect = "write"     // → Written
	DoAttest   Effect = "attest"    // → Attested
	DoSwitch   Effect = "switch"    // → Switched
	DoRelease  Effect = "release"   // chip out of its loader, line given back, tried until it works → Released
	DoAwait    Effect = "await"     // leave the loader if a session is open, give the line back, hear the new firmware → Released, Up, TrialFailed
	DoWatch    Effect = "watch"     // the trial window → TrialPassed, TrialFailed
	DoConfirm  Effect = "confirm"   // see VALID written, or write it for firmware that cannot → Kept
	DoObserve  Effect = "observe"   // → ObservationOver, Fired
	DoStand    Effect = "stand"     // until the robot stands still, or has moved for long enough → Blocked…, Standing
	DoRestore  Effect = "restore"   // take the line, put the old slot back, boot it, until it works → Restored
	DoBorrow   Effect = "borrow"    // take the line for a visit → LineTaken, or give it back → Released
	DoVisit    Effect = "visit"     // chip into its loader and out of it, line given back → Released
	DoRecord   Effect = "record"    // the job's outcome into the history
)
