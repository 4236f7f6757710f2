package ingest

import (
	"encoding/json"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// grace is how far ahead of the server's clock a robot's may be. A word from
// further in the future does not keep later ones from being taken.
const grace = 5 * time.Minute

// mark is the place of a message in the order of its kind.
type mark struct {
	stamp
	At time.Time `json:"at,omitzero"`
}

// before says whether what is at m gives way to what is at n. Of one epoch the
// number tells. Another epoch is another state directory of the agent's: a
// robot that was set up anew; there the clocks have to do.
func (m mark) before(n mark, received time.Time) bool {
	switch {
	case m.Epoch == "":
		return true
	case m.Epoch == n.Epoch:
		return m.Seq < n.Seq
	case m.At.After(received.Add(grace)):
		return true
	}
	return m.At.Before(n.At)
}

// file is what is known of one robot, while its messages are worked in.
type file struct {
	robot store.Robot
	book  book
	hours []store.Hour

	stateChanged, bookChanged bool
	// moved: what it runs or does is another thing than before.
	moved bool
}

// heard notes that the robot itself spoke. One that was taken for gone is back.
func (f *file) heard(m Message) {
	s := &f.robot.State
	if m.Retained || !m.Received.After(s.Received) {
		return
	}
	s.Received = m.Received
	if !s.Online && s.Farewell == store.Silent {
		s.Online, s.Farewell = true, ""
	}
	f.stateChanged = true
}

// status takes a status in, unless a newer one is known.
func (f *file) status(w statusWord, body json.RawMessage, received time.Time) {
	s := &f.robot.State
	known := mark{stamp: stamp{s.Epoch, s.Seq}, At: s.At}
	if !known.before(mark{stamp: w.stamp, At: w.At}, received) {
		return
	}
	f.moved = f.moved || s.Version != w.Running.Version || s.JobState != w.State || s.JobID != w.JobID
	s.Version, s.Slot, s.AppSHA256 = w.Running.Version, clip(w.Running.Slot, maxName), clip(w.Running.AppSHA256, maxName)
	s.OTAState, s.Protocol = clip(w.OTAState, maxName), w.Protocol
	s.Companion, s.Agent = w.Companion, clip(w.Agent, maxName)
	s.Keyring, s.SigningKey = w.Keys.Keyring, clip(w.Keys.Firmware, maxName)
	s.JobID, s.JobState, s.JobTarget = clip(w.JobID, maxName), clip(w.State, maxName), ""
	if !w.Target.IsZero() {
		s.JobTarget = w.Target.String()
	}
	s.Status = body
	s.At, s.Epoch, s.Seq = w.At, w.Epoch, w.Seq
	f.stateChanged = true
}

// online takes in that the robot came or went. Of one connection the going is
// the later word.
func (f *file) online(w onlineWord, received time.Time) {
	known, next := f.book.Online, mark{stamp: w.stamp, At: w.At}
	s := &f.robot.State
	if !known.before(next, received) && !(known.stamp == next.stamp && s.Online && !w.Online) {
		return
	}
	if s.Online = w.Online; w.Online {
		s.Farewell = ""
	} else {
		s.Farewell = clip(w.Reason, maxName)
	}
	f.book.Online = next
	f.stateChanged, f.bookChanged = true, true
}

// diagnostics takes them in, unless newer ones are known.
func (f *file) diagnostics(w diagnosticsWord, body json.RawMessage, received time.Time) {
	s := &f.robot.State
	if !w.at().After(s.Diagnosed) && !s.Diagnosed.After(received.Add(grace)) {
		return
	}
	s.Diagnostics, s.Diagnosed = body, w.at()
	f.stateChanged = true
}
