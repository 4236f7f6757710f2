package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"time"
)

// How long caches may keep release metadata: what has a version in its name for
// ever; the timestamp not without asking, as it says what is new.
const (
	cacheVersion   = "public, max-age=31536000, immutable"
	cacheTimestamp = "public, no-cache"
)

// metadata hands out a document of release metadata. It is signed, and bounded
// by who took it into the store.
func (a *api) metadata(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("document")
	if a.Metadata == nil {
		return problemf(http.StatusNotFound, "this server has no release metadata")
	}
	b, err := a.Metadata.Document(r.Context(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return problemf(http.StatusNotFound, "there is no such document of release metadata (now)")
	}
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	h.Set("Cache-Control", cacheVersion)
	if name == "timestamp.json" {
		h.Set("Cache-Control", cacheTimestamp)
	}
	r.Header.Del("Range") // a part of it is of no use
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	return nil
}
