package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// cacheArtifact lets a robot's cache keep an artifact for ever, and a shared
// one hand it out for a minute before it asks whether it may still.
const cacheArtifact = "public, max-age=31536000, s-maxage=60, immutable"

func (a *api) artifact(w http.ResponseWriter, r *http.Request) error {
	who, err := a.identify(w, r)
	if err != nil {
		return err
	}
	of, err := a.Artifacts.Artifact(r.Context(), r.PathValue("sha256"))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return problemf(http.StatusNotFound, "no such artifact")
	case err != nil:
		return err
	case !of.Live:
		return problemf(http.StatusGone, "the release was withdrawn, or the key that signed it was revoked")
	case strings.Contains(r.Header.Get("Range"), ",") || len(r.Header.Values("Range")) > 1:
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", of.Size))
		return problemf(http.StatusRequestedRangeNotSatisfiable, "one range at a time")
	}
	d := store.Download{Taker: who.taker, SHA256: of.SHA256, Size: of.Size}
	if a.cfg.ArtifactURL != nil {
		return a.sendOn(w, r, d)
	}
	return a.send(w, r, of, d)
}

// send answers with the file.
func (a *api) send(w http.ResponseWriter, r *http.Request, of store.Artifact, d store.Download) error {
	f, err := a.Artifacts.OpenArtifact(r.Context(), of.SHA256)
	if err != nil {
		// Listed, but gone: the log tells.
		return errors.Join(problemf(http.StatusNotFound, "no such artifact"), err)
	}
	defer func() { _ = f.Close() }() // it was only read
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("ETag", `"`+of.SHA256+`"`)
	h.Set("Cache-Control", cacheArtifact)
	out := &transfer{ResponseWriter: w, control: http.NewResponseController(w), now: a.cfg.Now}
	if r.Method == http.MethodGet {
		ctx := r.Context()
		out.admit = func(first int64) error { d.Resumes = first > 0; return a.admit(ctx, d) }
	}
	http.ServeContent(out, r, "", of.Added, f)
	if out.sent > 0 {
		// The robot may be gone by now; what it got counts all the same.
		a.sent(context.WithoutCancel(r.Context()), d, out.sent)
	}
	return out.refused
}

// sendOn answers with the address of the file elsewhere. What is got there is
// not seen here, so all that was asked for counts as sent.
func (a *api) sendOn(w http.ResponseWriter, r *http.Request, d store.Download) error {
	if r.Method == http.MethodGet {
		first := firstByte(r.Header.Get("Range"), d.Size)
		d.Resumes = first > 0
		if err := a.admit(r.Context(), d); err != nil {
			return err
		}
		a.sent(r.Context(), d, d.Size-first)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", a.cfg.ArtifactURL.JoinPath(d.SHA256).String())
	w.WriteHeader(http.StatusTemporaryRedirect)
	return nil
}

// firstByte is where a single range begins; 0 where it is none that could be served.
func firstByte(rng string, size int64) int64 {
	from, to, ok := strings.Cut(strings.TrimPrefix(rng, "bytes="), "-")
	if !ok || !strings.HasPrefix(rng, "bytes=") {
		return 0
	}
	first, err := strconv.ParseInt(from, 10, 64)
	if from == "" { // the last bytes
		first, err = strconv.ParseInt(to, 10, 64)
		first = size - first
	}
	if err != nil || first < 0 || first >= size {
		return 0
	}
	return first
}

// errTooMany says that somebody has had the downloads of a day.
var errTooMany = errors.New("too many downloads")

// admit counts a download.
func (a *api) admit(ctx context.Context, d store.Download) error {
	ok, err := a.Downloads.Download(ctx, d, a.cfg.Downloads)
	if err == nil && !ok {
		err = errTooMany
	}
	return err
}

// sent counts bytes.
func (a *api) sent(ctx context.Context, d store.Download, bytes int64) {
	if err := a.Downloads.Sent(ctx, d.Taker, d.SHA256, bytes); err != nil {
		a.log.Warn("the bytes of a download are not counted", "taker", d.Taker, "err", err)
	}
}

// tellWait makes a problem of having had too many downloads.
func (a *api) tellWait(w http.ResponseWriter, err error) error {
	if !errors.Is(err, errTooMany) {
		return err
	}
	now := a.cfg.Now().UTC()
	midnight := now.Truncate(24 * time.Hour).Add(24 * time.Hour)
	w.Header().Set("Retry-After", strconv.Itoa(int(midnight.Sub(now).Seconds())+1))
	return problemf(http.StatusTooManyRequests, "%d downloads a day are enough; a download that is resumed counts once", a.cfg.Downloads)
}
