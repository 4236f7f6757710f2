package api

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/robot-platform/robot-ota/firmware/keyring"
)

const headerKeyring = "Robot-OTA-Keyring"

// announce names the version of the newest keyring document, where there is
// one. What cannot be read keeps no robot from its firmware: the log tells.
func (a *api) announce(w http.ResponseWriter, r *http.Request) {
	version, err := a.Keyrings.KeyringVersion(r.Context())
	if err != nil {
		a.log.Error("the keyring is not announced", "err", err)
		return
	}
	if version > 0 {
		w.Header().Set(headerKeyring, strconv.FormatUint(version, 10))
	}
}

// keyring hands a document out: the newest, or for a robot that catches up the
// one after its own. No cache may keep it: it must never be an old one.
func (a *api) keyring(w http.ResponseWriter, r *http.Request) error {
	all, err := a.Keyrings.Keyrings(r.Context())
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return problemf(http.StatusNotFound, "there is no keyring document; robots trust the keys of their own files")
	}
	i := len(all) - 1
	if said := r.URL.Query().Get("after"); said != "" {
		after, err := strconv.ParseUint(said, 10, 64)
		if err != nil {
			return bad("after: %.40q is no version", said)
		}
		if i = slices.IndexFunc(all, func(d keyring.Document) bool { return d.Version() > after }); i < 0 {
			return problemf(http.StatusNotFound, "there is no keyring document after version %d", after)
		}
	}
	w.Header().Set(headerKeyring, strconv.FormatUint(all[len(all)-1].Version(), 10))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(all[i].Encode()) // a client that is gone needs no answer
	return nil
}
