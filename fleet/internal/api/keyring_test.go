package api

import (
	"bytes"
	"errors"
	"net/http"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
)

func TestKeyring(t *testing.T) {
	m := stocked()
	h := handler(m, "")
	isProblem(t, ask(h, "GET", "/v1/keyring"), 404, "there is no keyring document")
	if w := ask(h, "GET", "/v1/check?sku=standard&version=0.2.0"); w.Header().Values(headerKeyring) != nil {
		t.Errorf("announced without being there: %v", w.Header())
	}

	m.keyrings = []keyring.Document{keyringtest.Any(2), keyringtest.Any(5), keyringtest.Any(7)}
	for query, want := range map[string]int{"": 2, "?after=": 2, "?after=0": 0, "?after=2": 1, "?after=4": 1, "?after=5": 2, "?after=6": 2} {
		w := ask(h, "GET", "/v1/keyring"+query)
		if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), m.keyrings[want].Encode()) || w.Header().Get("Content-Type") != "application/json" ||
			w.Header().Get("Cache-Control") != "no-store" || w.Header().Get(headerKeyring) != "7" {
			t.Errorf("%s: %d %v %s", query, w.Code, w.Header(), w.Body)
		}
	}
	isProblem(t, ask(h, "GET", "/v1/keyring?after=7"), 404, "there is no keyring document after version 7")
	isProblem(t, ask(h, "GET", "/v1/keyring?after=-1"), 400, `after: "-1" is no version`)
	isProblem(t, ask(h, "GET", "/v1/keyring?after=99999999999999999999"), 400, "is no version")
	for query, code := range map[string]int{"sku=standard&version=0.2.0": 200, "sku=standard&version=0.2.1": 204} {
		if w := ask(h, "GET", "/v1/check?"+query); w.Code != code || w.Header().Get(headerKeyring) != "7" {
			t.Errorf("%s: %d %v", query, w.Code, w.Header())
		}
	}
	isProblem(t, ask(h, "POST", "/v1/keyring"), 405, "POST is not possible here")

	// One that is damaged is nobody's answer, and keeps no robot from its firmware.
	m.lost = errors.New("keyrings.json cannot be used")
	isProblem(t, ask(h, "GET", "/v1/keyring"), 500, "")
	if w := ask(h, "GET", "/v1/check?sku=standard&version=0.2.0"); w.Code != http.StatusOK || w.Header().Values(headerKeyring) != nil {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
