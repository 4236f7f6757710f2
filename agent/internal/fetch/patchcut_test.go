package fetch

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
)

// files serves several files in pieces, by their path.
type files map[string]*pieces

func (f files) Do(r *http.Request) (*http.Response, error) { return f[r.URL.Path].Do(r) }

// The power goes, or the disk fails, at any operation while an image is rebuilt:
// what has the name of an image, proven or not, is that image, what was verified
// last is there, and in the end the new one is.
func TestCutsWhilePatching(t *testing.T) {
	body := content(9000, 1)
	older := signed(t, imagetest.Options{Version: "0.2.1", Body: body})
	copy(body[4000:], content(4000, 2))
	newer := signed(t, imagetest.Options{Version: "0.2.2", Body: body})
	patch := makePatch(t, older, newer)
	offer := Offer{URL: "https://server/newer", SHA256: hashOf(newer), Size: int64(len(newer)),
		Patch: update.Patch{URL: "https://server/patch", SHA256: hashOf(patch), Size: int64(len(patch)), From: hashOf(older)}}
	keys := keyring(t)
	patched := 0
	r := disktest.Sweep(t, "files: images by patch", got{verified: -1}, func(d disk.Disk, known got) (got, error) {
		web := files{"/older": {file: older}, "/newer": {file: newer}, "/patch": {file: patch}}
		c, err := New(Config{Dir: images, Disk: d, Keys: keys, Patches: true, OnRetry: func(error, time.Duration) {}}, web, slog.New(slog.DiscardHandler))
		if err != nil {
			return known, err
		}
		c.sleep = func(context.Context, time.Duration) error { return nil }
		l := &fetching{known: known, files: [][]byte{older, newer}, disk: d}
		if err := named(d); err != nil {
			return known, err
		}
		if err := l.find(t.Context(), c); err != nil {
			return known, err
		}
		for i, o := range []Offer{{URL: "https://server/older", SHA256: hashOf(older)}, offer} {
			f, err := c.Fetch(t.Context(), o, func(int64, int64) {})
			if err != nil {
				return l.known, err
			}
			if f.Patched {
				patched++
			}
			if err := l.verify(t.Context(), c, i); err != nil {
				return l.known, err
			}
		}
		return l.known, nil
	})
	if r.Points < 500 || patched < 500 {
		t.Errorf("too little was tried: %+v, %d times by patch", r, patched)
	}
}

// named: what has the name of a whole file has its content.
func named(d disk.Disk) error {
	entries, err := d.ReadDir(images)
	if err != nil {
		return err
	}
	for _, e := range entries {
		sum, whole := strings.CutSuffix(e.Name(), unverifiedEnd)
		if !whole {
			continue
		}
		b, err := d.ReadFile(images+"/"+e.Name(), 1<<20)
		if err != nil {
			return err
		}
		if hashOf(b) != sum {
			return fmt.Errorf("%s has the SHA-256 %s", e.Name(), hashOf(b))
		}
	}
	return nil
}
