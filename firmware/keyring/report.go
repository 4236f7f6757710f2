package keyring

import (
	"fmt"
	"slices"
	"time"
)

// Report is what an agent tells of its keys.
type Report struct {
	Version   uint64     `json:"version"` // of the document in force; 0: none
	Comment   string     `json:"comment,omitempty"`
	Issued    *time.Time `json:"issued,omitempty"`
	Accepted  *time.Time `json:"accepted,omitempty"` // when the document was
	From      string     `json:"from,omitempty"`     // by whom it came
	Threshold int        `json:"threshold"`          // trusted keys that must sign the next one
	Trusted   []Entry    `json:"trusted"`
	Revoked   []Entry    `json:"revoked"`
	// Refused is the latest document of the update server, where it was not
	// taken.
	Refused *Refusal `json:"refused,omitempty"`
	// Damaged says why nobody is trusted although keys are configured.
	Damaged string `json:"damaged,omitempty"`
	// Firmware is the key that the running firmware says it embeds.
	Firmware *Embedded `json:"firmware,omitempty"`
}

// Refusal is a document that was not taken.
type Refusal struct {
	At   time.Time `json:"at"`
	From string    `json:"from"`
	Code Code      `json:"code"`
	Text string    `json:"text"`
}

// Embedded is the key that a firmware embeds.
type Embedded struct {
	Key     string `json:"key"`
	Trusted bool   `json:"trusted"`
}

// Report is the ring as it is reported.
func (r Ring) Report() Report {
	c := r.doc.content
	p := Report{Version: c.Version, Comment: c.Comment, Threshold: r.Threshold(),
		Trusted: append([]Entry{}, r.TrustedEntries()...), Revoked: append([]Entry{}, r.RevokedEntries()...)}
	if !c.Issued.IsZero() {
		p.Issued = &c.Issued
	}
	return p
}

// Embeds adds what the firmware says of its key; "" is nothing.
func (p Report) Embeds(key string) Report {
	if key != "" {
		p.Firmware = &Embedded{Key: key, Trusted: slices.Contains(IDs(p.Trusted), key)}
	}
	return p
}

// IDs are those of the entries.
func IDs(entries []Entry) []string {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.ID
	}
	return ids
}

// Warnings are what an operator should look into.
func (p Report) Warnings() []string {
	var out []string
	warn := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	switch {
	case p.Damaged != "":
		warn("no key is trusted: %s", p.Damaged)
	case len(p.Trusted) == 0:
		warn("no key is trusted: all that are configured are revoked, and nothing can be installed")
	case len(p.Trusted) < p.Threshold:
		warn("a keyring has to be signed by %d trusted keys, and there is %d: none could be accepted; trust more keys, or lower trust.threshold", p.Threshold, len(p.Trusted))
	}
	if r := p.Refused; r != nil {
		warn("the update server's keyring is not taken: %s", r.Text)
	}
	if f := p.Firmware; f != nil && !f.Trusted {
		warn("the firmware embeds key %.80q, which is not trusted here", f.Key)
	}
	return out
}
