package api

import (
	"bytes"
	"context"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
)

type compatVersion = compat.Version

// lostKeyrings cannot be read.
type lostKeyrings struct{}

func (lostKeyrings) Keyrings(context.Context) ([]keyring.Document, error) { return nil, errInside }
func (lostKeyrings) KeyringVersion(context.Context) (uint64, error)       { return 0, errInside }

func TestKeyring(t *testing.T) {
	f := newFleet(t)
	isProblem(t, f.ask("GET", "/v1/keyring"), 404, "there is no keyring document")
	if w := f.ask("GET", "/v1/check?sku=standard&version=0.2.0"); w.Header().Values(headerKeyring) != nil {
		t.Errorf("announced without being there: %v", w.Header())
	}

	documents := []keyring.Document{keyringtest.Any(2), keyringtest.Any(5), keyringtest.Any(7)}
	for _, d := range documents {
		if err := f.store.AddKeyring(t.Context(), d, func([]keyring.Document) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]int{"": 2, "?after=": 2, "?after=0": 0, "?after=2": 1, "?after=4": 1, "?after=5": 2, "?after=6": 2} {
		w := f.ask("GET", "/v1/keyring"+query)
		if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), documents[want].Encode()) || w.Header().Get("Content-Type") != "application/json" ||
			w.Header().Get("Cache-Control") != "no-store" || w.Header().Get(headerKeyring) != "7" {
			t.Errorf("%s: %d %v %s", query, w.Code, w.Header(), w.Body)
		}
	}
	isProblem(t, f.ask("GET", "/v1/keyring?after=7"), 404, "there is no keyring document after version 7")
	isProblem(t, f.ask("GET", "/v1/keyring?after=-1"), 400, `after: "-1" is no version`)
	isProblem(t, f.ask("GET", "/v1/keyring?after=99999999999999999999"), 400, "is no version")
	for query, code := range map[string]int{"sku=standard&version=0.2.0": 200, "sku=standard&version=0.2.1": 204} {
		if w := f.ask("GET", "/v1/check?"+query); w.Code != code || w.Header().Get(headerKeyring) != "7" {
			t.Errorf("%s: %d %v", query, w.Code, w.Header())
		}
	}
	isProblem(t, f.ask("POST", "/v1/keyring"), 405, "POST is not possible here")
}
