package api

import (
	"net/http"
	"strconv"
)

const headerKeyring = "Robot-OTA-Keyring"

// announce names the version of the keyring document, where there is one. One
// that cannot be read keeps no robot from its firmware: the log tells.
func (a *api) announce(w http.ResponseWriter, r *http.Request) {
	d, err := a.store.Keyring(r.Context())
	if err != nil {
		a.log.Error("the keyring is not announced", "err", err)
		return
	}
	if !d.IsZero() {
		w.Header().Set(headerKeyring, strconv.FormatUint(d.Version(), 10))
	}
}

// keyring hands the document out. It must never be an old one, so no cache may
// keep it.
func (a *api) keyring(w http.ResponseWriter, r *http.Request) error {
	d, err := a.store.Keyring(r.Context())
	if err != nil {
		return err
	}
	if d.IsZero() {
		return problemf(http.StatusNotFound, "there is no keyring document; robots trust the keys of their own files")
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	h.Set(headerKeyring, strconv.FormatUint(d.Version(), 10))
	_, _ = w.Write(d.Encode())
	return nil
}
