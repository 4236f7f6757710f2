package emergency

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Step is one of those that replace a key. Its names are persisted.
type Step string

// The steps, in the order in which they are taken. The old key is used for the
// last time in the second: it signs the keyring document that ends the robots'
// trust in it and begins that in another. It signs no firmware any more: agents
// with that document refuse what a revoked key signed, and this server, from the
// first step on, neither serves nor takes it, because whoever stole the key can
// sign firmware as well.
const (
	StepRevoke  Step = "revoke"  // here: what the key signed is hidden
	StepKeyring Step = "keyring" // robots are offered a document that revokes it
	StepRelease Step = "release" // each SKU has firmware signed by another key, since
	StepDevices Step = "devices" // every robot reports the new keyring and firmware with another key
	StepDestroy Step = "destroy" // the old private key is destroyed: a person says so, and closes the incident
)

// Steps lists them in their order.
func Steps() []Step { return []Step{StepRevoke, StepKeyring, StepRelease, StepDevices, StepDestroy} }

// keyRecord is what an incident of a key keeps.
type keyRecord struct {
	Key string `json:"key"`
	// Hidden are the releases that it had signed, Rollouts those of them that
	// were halted.
	Hidden   []string `json:"hidden,omitempty"`
	Rollouts []string `json:"rollouts,omitempty"`
	// Steps are when each was first seen to be done.
	Steps  map[Step]time.Time `json:"steps,omitempty"`
	Except []Exception        `json:"except,omitempty"`
}

// Exception is a robot for which nobody waits.
type Exception struct {
	Robot  string    `json:"robot"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// keyFacts is what is known about the replacement of a key.
type keyFacts struct {
	opened  time.Time
	closed  bool
	key     string
	revoked bool
	// keyring is the version of the first document that revokes the key; 0: none.
	keyring uint64
	// others are the known keys that count.
	others   []string
	releases []release.Release
	active   []store.Rollout
	except   []Exception
}

// KeyRobot is a robot that does not have the new key.
type KeyRobot struct {
	Robot string `json:"robot"`
	Why   string `json:"why"`
	// Except is why nobody waits for it; "": it is waited for.
	Except string `json:"except,omitempty"`
}

// KeyStatus is how far the replacement of a key has come.
type KeyStatus struct {
	Incident store.Incident `json:"incident"`
	Key      string         `json:"key"`
	Hidden   []string       `json:"hidden"`
	// Keyring is the version of the document that revokes it; 0: there is none.
	Keyring uint64 `json:"keyring"`
	// Others are the known keys that count.
	Others []string `json:"other_keys"`
	// Releases are those of other keys that the robots of each SKU may have;
	// Missing are the SKUs with robots and without one.
	Releases []string `json:"releases"`
	Missing  []string `json:"missing"`
	// Robots of the fleet, how many Have the new key, and who does not.
	Robots  int        `json:"robots"`
	Have    int        `json:"have"`
	Without []KeyRobot `json:"without"`
	// Left of them are waited for.
	Left int `json:"left"`
	// Done are the steps that are, Since when; Next is the first that is not.
	Done  []Step             `json:"done"`
	Since map[Step]time.Time `json:"since"`
	Next  Step               `json:"next,omitempty"`
}

// statusOf starts the status of a replacement; robots are added one by one, and
// then it is settled.
func statusOf(f keyFacts) *KeyStatus {
	return &KeyStatus{Key: f.key, Keyring: f.keyring, Others: f.others, Hidden: []string{}, Releases: []string{}, Missing: []string{}, Without: []KeyRobot{}, Done: []Step{}}
}

func (s *KeyStatus) add(f keyFacts, robot store.Robot) {
	s.Robots++
	if !slices.Contains(s.Missing, robot.SKU) {
		s.Missing = append(s.Missing, robot.SKU) // until it is settled
	}
	why := lacks(f, robot.State)
	if why == "" {
		s.Have++
		return
	}
	without := KeyRobot{Robot: robot.ID, Why: why}
	if i := slices.IndexFunc(f.except, func(e Exception) bool { return e.Robot == robot.ID }); i >= 0 {
		without.Except = f.except[i].Reason
	} else {
		s.Left++
	}
	s.Without = append(s.Without, without)
}

// lacks says why a robot does not have the new key; "": it has it, by its own
// word. What it does not say counts against it.
func lacks(f keyFacts, st store.RobotState) string {
	switch {
	case st.Received.IsZero() && st.Version.IsZero():
		return "it was never heard"
	case f.keyring == 0:
		return "there is no keyring document that it could have"
	case st.Keyring < f.keyring:
		return fmt.Sprintf("it has keyring %d, and %d revokes the key", st.Keyring, f.keyring)
	case st.SigningKey == f.key:
		return "its firmware embeds the revoked key"
	case st.SigningKey == "":
		return "its firmware does not say which key it embeds"
	case !slices.Contains(f.others, st.SigningKey):
		return fmt.Sprintf("its firmware embeds key %.40q, which is not one that counts here", st.SigningKey)
	}
	return ""
}

// settle works out which steps are done.
func (s *KeyStatus) settle(f keyFacts) {
	with := s.Missing
	s.Missing = []string{}
	slices.Sort(with)
	for _, sku := range with {
		if name := successor(f, sku); name != "" {
			s.Releases = append(s.Releases, name)
		} else {
			s.Missing = append(s.Missing, sku)
		}
	}
	done := map[Step]bool{
		StepRevoke:  f.revoked,
		StepKeyring: f.keyring > 0 && len(f.others) > 0,
		StepRelease: len(s.Missing) == 0,
		StepDevices: s.Left == 0,
		StepDestroy: f.closed,
	}
	for _, step := range Steps() {
		switch {
		case done[step] || f.closed:
			s.Done = append(s.Done, step)
		case s.Next == "":
			s.Next = step
		}
	}
}

// ready says that all is done that the server can see.
func (s *KeyStatus) ready() bool { return s.Next == StepDestroy || s.Next == "" }

// successor is the highest release by another key, published since the incident
// was opened, that robots of a SKU are offered, all or by a rollout; "": none.
func successor(f keyFacts, sku string) string {
	var best release.Release
	for _, r := range f.releases {
		offered := r.Status == release.Stable || r.Status == release.Published &&
			slices.ContainsFunc(f.active, func(o store.Rollout) bool { return bringsOne(o, r) })
		if r.SKU == sku && offered && slices.Contains(f.others, r.Key) && !r.Published.Before(f.opened) && r.Version.Compare(best.Version) > 0 {
			best = r
		}
	}
	return best.Name
}

// told is the line of the time line for a step that is done.
func (s *KeyStatus) told(step Step) string {
	switch step {
	case StepRevoke:
		return "the key is revoked here"
	case StepKeyring:
		return fmt.Sprintf("robots are offered keyring %d, which revokes the key; keys that count: %s", s.Keyring, strings.Join(s.Others, ", "))
	case StepRelease:
		return "firmware by another key is offered: " + strings.Join(s.Releases, ", ")
	case StepDevices:
		return fmt.Sprintf("%d of %d robots report the new key, the others are excepted", s.Have, s.Robots)
	case StepDestroy:
		return "the old private key is destroyed"
	}
	return string(step)
}
