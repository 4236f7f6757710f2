package update

import "time"

// Record is one line of the history: a job that has ended.
type Record struct {
	JobID     string     `json:"job_id"`
	Kind      Kind       `json:"kind"`
	Origin    Origin     `json:"origin"`
	Outcome   State      `json:"outcome"` // confirmed, failed, rolled_back
	From      Installed  `json:"from,omitzero"`
	To        string     `json:"to,omitempty"`
	Image     Image      `json:"image,omitzero"`
	URL       string     `json:"url,omitempty"`
	Started   time.Time  `json:"started"`
	Ended     time.Time  `json:"ended"`
	Failure   *Failure   `json:"failure,omitempty"`
	Evidence  []string   `json:"evidence,omitempty"`
	Durations []Duration `json:"durations,omitempty"`
}

// Duration is how long a job was in a state, in seconds.
type Duration struct {
	State   State   `json:"state"`
	Seconds float64 `json:"seconds"`
}
