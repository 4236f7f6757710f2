package console

import (
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/keyring"
)

func TestKeys(t *testing.T) {
	accepted := now.Add(-time.Hour)
	full := keyring.Report{
		Version: 7, Comment: "key for 2027", Accepted: &accepted, From: "https://u/v1/keyring", Threshold: 2,
		Trusted: []keyring.Entry{{ID: "00000000000000aa", From: []string{"/k/a.der", keyring.FromDocument}}, {ID: "00000000000000ab", From: []string{"/k/b.der"}}},
		Revoked: []keyring.Entry{{ID: "00000000000000ff", From: []string{"/k/x.revoked"}}},
		Refused: &keyring.Refusal{At: now, From: "https://u/\x1b[2J", Code: keyring.NotNewer, Text: "too old"},
	}.Embeds("00000000000000ff")
	for name, tt := range map[string]struct {
		r    keyring.Report
		want string
	}{
		"new": {keyring.Report{Threshold: 1, Trusted: []keyring.Entry{{ID: "00000000000000aa", From: []string{"/k/a.der"}}}},
			"keyring    none accepted yet: the keys are those of the configured files\n" +
				"the next   has to be signed by 1 of the trusted keys\n" +
				"trusted    00000000000000aa  /k/a.der\n" +
				"revoked    no key\n" +
				"firmware   does not say which key it embeds\n"},
		"full": {full,
			"keyring    version 7, accepted 11:00:00 from https://u/v1/keyring: key for 2027\n" +
				"the next   has to be signed by 2 of the trusted keys\n" +
				"trusted    00000000000000aa  /k/a.der, keyring document\n" +
				"           00000000000000ab  /k/b.der\n" +
				"revoked    00000000000000ff  /k/x.revoked\n" +
				"firmware   embeds 00000000000000ff, not trusted\n" +
				"refused    at 12:00:00 from https://u/?[2J (keyring_not_newer)\n" +
				"look       the update server's keyring is not taken: too old\n" +
				"look       the firmware embeds key \"00000000000000ff\", which is not trusted here\n"},
	} {
		if got := Keys(tt.r, now, Style{}); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, tt.want)
		}
	}
}
