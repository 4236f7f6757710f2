package keyring_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/keyring"
)

func TestReport(t *testing.T) {
	s := newSigners(3)
	issued := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := accept(t, s.ring(1, 0, 1), s.document(keyring.Content{Version: 9, Keys: s.trust(1, 2), Revoked: s.revoke(0), Comment: "c", Issued: issued}, 0))
	p := r.Report().Embeds(s.id(2))
	if p.Version != 9 || p.Comment != "c" || p.Threshold != 1 || !p.Issued.Equal(issued) || !slices.Equal(keyring.IDs(p.Trusted), s.revoke(1, 2)) ||
		!slices.Equal(p.Trusted[0].From, []string{"keys.pem", keyring.FromDocument}) || !slices.Equal(keyring.IDs(p.Revoked), s.revoke(0)) {
		t.Errorf("%+v", p)
	}
	if w := p.Warnings(); w != nil {
		t.Errorf("warnings %q", w)
	}
	b, err := json.Marshal(keyring.NewRing(keyring.Base{}).Report())
	if err != nil || string(b) != `{"version":0,"threshold":1,"trusted":[],"revoked":[]}` {
		t.Errorf("%s, %v", b, err)
	}
}

func TestWarnings(t *testing.T) {
	s := newSigners(2)
	one := s.ring(1, 0).Report()
	refused, damaged := one, one
	refused.Refused = &keyring.Refusal{Code: keyring.NotNewer, Text: "keyring refused (keyring_not_newer): x"}
	damaged.Damaged, damaged.Trusted = "both copies are torn", nil
	for name, tt := range map[string]struct {
		p    keyring.Report
		want string
	}{
		"all is well":             {one, ""},
		"it does not say":         {one.Embeds(""), ""},
		"the firmware's key":      {one.Embeds(s.id(1)), `the firmware embeds key "` + s.id(1) + `", which is not trusted here`},
		"a document that is not":  {refused, "the update server's keyring is not taken: keyring refused (keyring_not_newer): x"},
		"damage":                  {damaged, "no key is trusted: both copies are torn"},
		"everybody is revoked":    {keyring.NewRing(keyring.Base{}).Report(), "no key is trusted: all that are configured are revoked"},
		"fewer than have to sign": {s.ring(2, 0).Report(), "a keyring has to be signed by 2 trusted keys, and there is 1: none could be accepted"},
	} {
		got := strings.Join(tt.p.Warnings(), "\n")
		if tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
