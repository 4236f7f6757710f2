package journal

import (
	"errors"
	"io/fs"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// View is a look at a state directory from outside. It changes nothing, and
// may look while an agent works there.
type View struct{ folder }

// Look gives the view of a state directory; nothing is opened yet.
func Look(dir string) View { return View{folder{dir: dir}} }

// History returns the last n records, newest last; all with n ≤ 0.
func (v View) History(n int) ([]update.Record, error) { return v.records(n) }

// Memory returns what the agent remembers, fs.ErrNotExist where it has not
// remembered anything yet.
func (v View) Memory() (update.Memory, error) {
	k, err := v.read()
	return k.Memory, err
}

// Damaged is where an agent has put a damaged memory aside, "" where it has
// not.
func (v View) Damaged() string {
	if v.disk.Exists(v.asideMemory()) {
		return v.asideMemory()
	}
	return ""
}

// Verify is Journal.Verify, from outside. An agent that is just now writing a
// record is no reason for an error.
func (v View) Verify() (update.Audit, error) {
	k, err := v.read() // before the history, which may only be longer than it says
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return update.Audit{}, err
		}
		return told(v.audit(nil))
	}
	return told(v.audit(v.headOf(k)))
}
