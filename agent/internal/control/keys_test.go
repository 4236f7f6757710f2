package control_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/control/controltest"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// codedError is one that has a code of its own.
type codedError struct{ error }

func (codedError) Code() string { return "keyring_damaged" }

func TestKeys(t *testing.T) {
	a := serve(t)
	a.Keyring.Ring = keyring.Report{Version: 7, Threshold: 2, Trusted: []keyring.Entry{{ID: "00000000000000aa", From: []string{"/k.der"}}}}
	r, err := a.Client.Keys(t.Context())
	if err != nil || r.Version != 7 || r.Threshold != 2 || len(r.Trusted) != 1 || r.Trusted[0].ID != "00000000000000aa" {
		t.Errorf("%+v, %v", r, err)
	}
	// The document arrives byte for byte, with the name of who sent it.
	document := "{\"any\": \"thing\"}\n\x00\xff"
	u, err := a.Client.UpdateKeys(t.Context(), []byte(document))
	if err != nil || !u.Changed || u.Keys.Version != 7 {
		t.Errorf("%+v, %v", u, err)
	}
	taken, from := a.Keyring.Taken()
	if !slices.Equal(taken, []string{document}) || from != fmt.Sprintf("ota-agent keys update, uid %d", os.Getuid()) {
		t.Errorf("taken %q from %q", taken, from)
	}
	a.Keyring.Stands = true
	if u, err := a.Client.UpdateKeys(t.Context(), []byte(document)); err != nil || u.Changed {
		t.Errorf("again: %+v, %v", u, err)
	}
}

func TestRefusedKeyringsKeepTheirCode(t *testing.T) {
	a := serve(t)
	for _, tt := range []struct {
		err  error
		want control.Code
	}{
		{&keyring.Refused{Code: keyring.NotNewer, Detail: "it is version 4, in force is 5"}, "keyring_not_newer"},
		{fmt.Errorf("wrapped: %w", &keyring.Refused{Code: keyring.Malformed}), "keyring_malformed"},
		{codedError{errors.New("both copies are torn")}, "keyring_damaged"},
		{errors.New("no space left on device"), control.Refused},
	} {
		a.Keyring.Err = tt.err
		_, err := a.Client.UpdateKeys(t.Context(), []byte("{}"))
		var p *control.Problem
		if !errors.As(err, &p) || p.Code != tt.want || p.Status != 409 || p.Detail != tt.err.Error() {
			t.Errorf("%v: got %+v", tt.err, p)
		}
	}
	a.Keyring.Err = nil
	_, err := a.Client.UpdateKeys(t.Context(), make([]byte, keyring.MaxDocument+1))
	var p *control.Problem
	if !errors.As(err, &p) || p.Code != control.BadRequest || !strings.Contains(p.Detail, "larger than 32768 bytes") {
		t.Errorf("too large: %v", err)
	}
	if taken, _ := a.Keyring.Taken(); len(taken) != 4 {
		t.Errorf("%d documents got through", len(taken))
	}
	a.stop()
	if !strings.Contains(a.log.String(), "refused to update the keys") {
		t.Errorf("the log says\n%s", a.log)
	}
}

var _ control.Keys = (*controltest.Keys)(nil)
