package update

import (
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// File is what is known of a signed file before it is installed; zero: not yet.
type File struct {
	SHA256  string // of the whole file, lower-case hex
	Size    int64  // of the whole file, bytes
	Version compat.Version
	Local   bool // it lies on this computer
}

// File is what an offer says of its file.
func (o Offer) File() File {
	return File{SHA256: o.SHA256, Size: o.Size, Version: o.Version, Local: strings.HasPrefix(o.URL, "file:")}
}

// Metadata is how the robot's release metadata stands: without it, or with what
// has expired, nothing is installed.
type Metadata struct {
	List      int64     `json:"list"`      // version of the list of releases; 0: none was accepted yet
	Timestamp int64     `json:"timestamp"` // version of what says that it is the newest
	Expires   time.Time `json:"expires,omitzero"`
	Warning   string    `json:"warning,omitempty"` // why the newest is not there
}
