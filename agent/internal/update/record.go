package update

import "time"

// Record is one line of the history: a job that has ended.
type Record struct {
	JobID   string    `json:"job_id"`
	Kind    Kind      `json:"kind"`
	Origin  Origin    `json:"origin"`
	Outcome State     `json:"outcome"` // confirmed, failed, rolled_back
	From    Installed `json:"from,omitzero"`
	To      string    `json:"to,omitempty"`
	Image   Image     `json:"image,omitzero"`
	URL     string    `json:"url,omitempty"`
	// Downloaded bytes, and Patched: the image was rebuilt from one on the robot.
	Downloaded int64 `json:"downloaded_bytes,omitempty"`
	Patched    bool  `json:"patched,omitempty"`

	Started   time.Time  `json:"started"`
	Ended     time.Time  `json:"ended"`
	Failure   *Failure   `json:"failure,omitempty"`
	Evidence  []string   `json:"evidence,omitempty"`
	Durations []Duration `json:"durations,omitempty"`
	// AwaySeconds is how long the robot was without firmware, since the job's
	// record before this: from the reset into the loader to the first word of
	// the firmware that ran then, or to the failure; 0: it was not, or it is not
	// known.
	AwaySeconds float64 `json:"away_seconds,omitempty"`
}

// Duration is how long a job was in a state, in seconds.
type Duration struct {
	State   State   `json:"state"`
	Seconds float64 `json:"seconds"`
}

// Audit is what looking through the history has found.
type Audit struct {
	// Records that hold together, from the first on, and the SHA-256 of the
	// last line of them: whoever noted both elsewhere can tell later whether
	// all of them are still there.
	Records int    `json:"records"`
	Head    string `json:"head,omitempty"`
	// Counted is how many the memory knows of; nil: it does not count, as it
	// was written by an agent of before, or is not there.
	Counted *int `json:"counted,omitempty"`
	// Torn: a last line has no end, or holes, as a power cut leaves it. The agent takes
	// it away at its next start.
	Torn bool `json:"torn,omitempty"`
	// Aside is where an earlier history was put aside.
	Aside string `json:"aside,omitempty"`
	// Line is the first that is wrong or missing, from 1, and Wrong what is
	// wrong with it and what that means; 0 and "": all is well.
	Line  int    `json:"line,omitempty"`
	Wrong string `json:"wrong,omitempty"`
}
