package rollout

import "time"

// Verdict is what a decision does. Its names are persisted.
type Verdict string

// The verdicts.
const (
	Start    Verdict = "start"
	Wait     Verdict = "wait"
	Advance  Verdict = "advance" // the next stage has its turn
	Ask      Verdict = "ask"     // a person is to promote or halt it
	Halt     Verdict = "halt"    // nobody gets it any more; those that took it roll back
	Complete Verdict = "complete"
	Pause    Verdict = "pause"
	Resume   Verdict = "resume"
	// Measure asks the caller for the windows of the robots: Decide is to be
	// called again with them. It is not stored.
	Measure Verdict = "measure"
)

// Code says why, for programs. Its names are persisted.
type Code string

// The codes.
const (
	CodeStarted    Code = "started"
	CodeOrdered    Code = "ordered"     // a person wants it so
	CodeUpdating   Code = "updating"    // robots are still taking it
	CodeCompanions Code = "companions"  // robots need another companion version first
	CodeWatching   Code = "watching"    // the watch goes on
	CodeTooFew     Code = "too_few"     // the robots are too few to tell
	CodeUnclear    Code = "unclear"     // neither good nor bad is shown
	CodeGood       Code = "good"        // the gate is open
	CodeTrigger    Code = "trigger"     // a rollback trigger was reported
	CodeFailures   Code = "failures"    // too many updates fail
	CodeWorse      Code = "worse"       // robots with the release are worse than others
	CodeUnhealthy  Code = "unhealthy"   // a test robot is not OK
	CodeNobody     Code = "nobody"      // no robot of the stage can take it
	CodeWithdrawn  Code = "withdrawn"   // the release is not there any more
	CodePaused     Code = "paused"      // it is paused
	CodeMeasure    Code = "measure"     // the windows are wanted
	CodeAlone      Code = "no_internal" // no test robots are named
)

// Decision is what was decided, on which evidence.
type Decision struct {
	Schema  int       `json:"schema"`
	At      time.Time `json:"at"`
	Verdict Verdict   `json:"verdict"`
	Code    Code      `json:"code"`
	// Stage at which it was made, and To which it leads.
	Stage Stage `json:"stage"`
	To    Stage `json:"to,omitempty"`
	// Text says it to people.
	Text string `json:"text"`
	// By and Reason are of the person who ordered it; empty: the rules.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Counts and Checks are the evidence.
	Counts Counts  `json:"counts"`
	Checks []Check `json:"checks,omitempty"`
}

// Counts are of the robots that have their turn, the stage's and those before,
// and of the whole rollout.
type Counts struct {
	Robots     int `json:"robots"` // of the rollout
	Turn       int `json:"turn"`   // that have their turn
	Offered    int `json:"offered"`
	Trying     int `json:"trying"`
	Confirmed  int `json:"confirmed"`
	Failed     int `json:"failed"`
	RolledBack int `json:"rolled_back"`
	// Pending have their turn and have neither taken nor refused it; of them
	// Away were not heard of lately, and Unfit need another companion version.
	Pending int `json:"pending"`
	Away    int `json:"away"`
	Unfit   int `json:"unfit"`
	// UnfitRobots and PendingRobots name some of them.
	UnfitRobots   []string `json:"unfit_robots,omitempty"`
	PendingRobots []string `json:"pending_robots,omitempty"`
}

// Result is what a check found. Its names are persisted.
type Result string

// The results.
const (
	Good    Result = "good"
	Bad     Result = "bad"
	Unclear Result = "unclear"
)

// Check is one thing that a gate looked at.
type Check struct {
	// Name says at what: triggers, failures, rollbacks, healthy, error_minutes,
	// warn_minutes, silence, power, odometry, diagnostics, battery, drain, safety.
	Name   string `json:"name"`
	Result Result `json:"result"`
	Text   string `json:"text"`
	// Robots are some of those that it is about.
	Robots []string `json:"robots,omitempty"`
	// Tests are the statistical tests with their numbers.
	Tests []Test `json:"tests,omitempty"`
}

// Test is a statistical test with its numbers.
type Test struct {
	// Method is rank_sum, extremes, outliers, fisher, binomial, newcombe,
	// non_inferiority or power.
	Method string `json:"method"`
	// Treated and Control are the numbers of robots compared (of a binomial
	// test: updates), TreatedHits and ControlHits how many of them show what is counted.
	Treated     int `json:"treated"`
	Control     int `json:"control,omitempty"`
	TreatedHits int `json:"treated_hits,omitempty"`
	ControlHits int `json:"control_hits,omitempty"`
	// P is the one-sided probability of such data, or worse, if the release did
	// no harm (non_inferiority: if it did as much as the margin); Alpha is what
	// it is compared with.
	P     float64 `json:"p"`
	Alpha float64 `json:"alpha"`
	// Effect is how much worse the treated are, in Unit; Margin is what would
	// still count as no regression.
	Effect float64 `json:"effect"`
	Margin float64 `json:"margin,omitempty"`
	Unit   string  `json:"unit,omitempty"`
	// Detectable is the smallest share of harmed robots that would be noticed
	// with the probability Power.
	Detectable float64 `json:"detectable,omitempty"`
	Power      float64 `json:"power,omitempty"`
}
