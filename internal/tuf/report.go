package tuf

import "time"

// Report is what a robot has of release metadata, for people and machines.
type Report struct {
	Required bool `json:"required"` // what is not listed is not taken
	// Documents are what it has accepted, by role.
	Documents map[Role]Fact `json:"documents,omitempty"`
	// Expires is when the first of them does, and Role which that is; zero: it has
	// not all of them yet.
	Expires time.Time `json:"expires,omitzero"`
	Role    Role      `json:"role,omitempty"`
	Files   int       `json:"files"` // listed for this robot's SKU, and not withdrawn
	// Renewed is when the update server last had all of it, as new as it may be.
	Renewed time.Time `json:"renewed,omitzero"`
	// Refused is why that was not so the last time, nil: it was.
	Refused *Refusal `json:"refused,omitempty"`
	// Unusable is why nothing is taken until an operator has looked; "": nothing
	// is the matter.
	Unusable string `json:"unusable,omitempty"`
}

// Refusal is something that a robot did not take.
type Refusal struct {
	At     time.Time `json:"at"`
	Code   string    `json:"code"`
	Attack string    `json:"attack,omitempty"`
	Text   string    `json:"text"`
}

// Warnings are what is wrong with it, one line each.
func (r Report) Warnings(now time.Time) []string {
	var out []string
	switch {
	case !r.Required:
		return nil
	case r.Unusable != "":
		return []string{r.Unusable}
	case r.Expires.IsZero():
		out = append(out, "no release metadata was accepted yet, so nothing can be installed")
	case now.After(r.Expires):
		out = append(out, "the release metadata expired at "+r.Expires.UTC().Format(time.RFC3339)+" ("+string(r.Role)+"), so nothing can be installed until the update server has newer")
	}
	if r.Refused != nil {
		out = append(out, r.Refused.Text)
	}
	return out
}
