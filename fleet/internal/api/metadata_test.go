package api

import (
	"context"
	"fmt"
	"io/fs"
	"testing"
)

// documents are release metadata, by name.
type documents map[string]string

func (d documents) Document(_ context.Context, name string) ([]byte, error) {
	switch b, ok := d[name]; {
	case !ok:
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case b == "":
		return nil, errInside
	default:
		return []byte(b), nil
	}
}

func TestReleaseMetadata(t *testing.T) {
	f := newFleet(t)
	isProblem(t, f.ask("GET", "/v1/tuf/timestamp.json"), 404, "no release metadata")
	f.cfg.Identity = IdentityRequired // it is for everybody all the same
	f.back.Metadata = documents{"timestamp.json": `{"signed":{},"signatures":[]}`, "1.root.json": `{"signed":{"x":1},"signatures":[]}`, "3.targets.json": ""}
	for name, cache := range map[string]string{"timestamp.json": "public, no-cache", "1.root.json": "public, max-age=31536000, immutable"} {
		w := f.ask("GET", "/v1/tuf/"+name)
		tag := w.Header().Get("ETag")
		if w.Code != 200 || w.Body.String() != f.back.Metadata.(documents)[name] || w.Header().Get("Cache-Control") != cache ||
			w.Header().Get("Content-Type") != "application/json" || len(tag) != 34 {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
		if w := f.ask("GET", "/v1/tuf/"+name, "If-None-Match: "+tag); w.Code != 304 || w.Body.Len() > 0 || w.Header().Get("Cache-Control") != cache {
			t.Errorf("%s, known: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
	// A next root that is not there yet must not be remembered as missing.
	isProblem(t, f.ask("GET", "/v1/tuf/2.root.json"), 404, "there is no such document")
	isProblem(t, f.ask("GET", "/v1/tuf/3.targets.json"), 500, "")
	isProblem(t, f.ask("POST", "/v1/tuf/1.root.json"), 405, "POST is not possible here")
	isProblem(t, f.ask("GET", "/v1/tuf/"), 404, "")
}
