package console

import (
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/doctor"
)

func examination(f *Findings) error {
	f.Waiting([]string{"config", "server"})
	f.Found(doctor.Finding{Check: "config", Level: doctor.OK, Text: "no faults"})
	f.Waiting([]string{"server"})
	f.Found(doctor.Finding{Check: "server", Level: doctor.Fail, Text: "it is not reached:\nno route to \x1b[31mhost", Do: "look at the network and the firewalls on the way"})
	f.Found(doctor.Finding{Check: "dtls", Level: doctor.Skipped, Text: "not configured"})
	f.Found(doctor.Finding{Check: "clock", Level: doctor.Warn, Text: "unsure", Do: "set it"})
	f.Waiting(nil)
	return f.End(doctor.Report{Level: doctor.Fail, OK: 1, Fail: 1, Warn: 1, Skipped: 1})
}

func TestFindings(t *testing.T) {
	var plain, narrow strings.Builder
	if err := examination(NewScreen(&plain, Style{}, nil).Findings()); err != nil {
		t.Error(err)
	}
	want := `OK      config   no faults
FAIL    server   it is not reached:
                 no route to ?[31mhost
                 -> look at the network and the firewalls on the way
skipped dtls     not configured
WARN    clock    unsure
                 -> set it

1 failure, 1 warning, 1 ok, 1 skipped
`
	if got := plain.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := examination(NewScreen(&narrow, Style{Unicode: true, Color: true}, func() int { return 47 }).Findings()); err != nil {
		t.Error(err)
	}
	for _, part := range []string{
		"\r\x1b[K… looking at config, server\r\x1b[K\x1b[32mOK     \x1b[0m config   no faults\n\r\x1b[K… looking at server\r\x1b[K",
		"\x1b[36m→ look at the network and the\n                   firewalls on the way\x1b[0m\n",
		"\n\x1b[31m1 failure, 1 warning, 1 ok, 1 skipped\x1b[0m\n",
	} {
		if !strings.Contains(narrow.String(), part) {
			t.Errorf("%q is not in\n%q", part, narrow.String())
		}
	}
	if err := examination(NewScreen(broken{}, Style{}, nil).Findings()); err == nil {
		t.Errorf("a screen that is gone: %v", err)
	}
}
