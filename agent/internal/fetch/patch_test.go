package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
	"github.com/robot-platform/robot-ota/internal/delta"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// neighbours are two versions of a firmware, which differ in little.
func neighbours(t *testing.T) (older, newer []byte) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	body := make([]byte, 300_000)
	for i := range body {
		body[i] = byte(rng.Uint32())
	}
	older = signed(t, imagetest.Options{Version: "0.2.0", Body: body})
	copy(body[150_000:], "a small change")
	return older, signed(t, imagetest.Options{Version: "0.2.1", Body: body})
}

func makePatch(t *testing.T, base, result []byte) []byte {
	t.Helper()
	p, err := delta.Make(t.Context(), base, result)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// patched is a robot that keeps older and is offered newer, with a patch.
type patched struct {
	t            *testing.T
	older, newer []byte
	patch        []byte
	offer        Offer
	cfg          Config
	c            *Client
	s            *server
	answer       http.HandlerFunc // to requests for the patch
	whole        int              // requests for the whole
	interrupted  int              // after so many bytes of it
}

func newPatched(t *testing.T) *patched {
	p := &patched{t: t}
	p.older, p.newer = neighbours(t)
	p.patch = makePatch(t, p.older, p.newer)
	p.s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/patch" {
			p.answer(w, r)
			return
		}
		p.whole++
		if p.interrupted > 0 {
			cut(p.newer, `"whole"`, p.interrupted)(w, r)
			return
		}
		full(p.newer, `"whole"`)(w, r)
	})
	p.cfg = Config{Keys: keyring(t), Dir: filepath.Join(t.TempDir(), "d"), Patches: true}
	p.offer = Offer{URL: p.s.URL + "/whole", SHA256: hashOf(p.newer), Size: int64(len(p.newer))}
	p.set(p.patch)
	if err := os.Mkdir(p.cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p.put(hashOf(p.older)+imageEnd, p.older)
	return p
}

// set makes b the patch that is offered and served.
func (p *patched) set(b []byte) {
	p.patch = b
	p.answer = full(b, `"patch"`)
	p.offer.Patch = update.Patch{URL: p.s.URL + "/patch", SHA256: hashOf(b), Size: int64(len(b)), From: hashOf(p.older)}
}

func (p *patched) put(name string, b []byte) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.cfg.Dir, name), b, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *patched) fetch(ctx context.Context) (update.Fetched, error) {
	p.t.Helper()
	p.c = p.s.client(p.t, p.cfg)
	return p.c.Fetch(ctx, p.offer, func(int64, int64) {})
}

// verified: the right image is in the store, and nothing unfinished.
func (p *patched) verified(got update.Fetched) {
	p.t.Helper()
	if got.SHA256 != p.offer.SHA256 || got.Size != p.offer.Size {
		p.t.Errorf("fetched %+v", got)
	}
	if _, err := p.c.Verify(p.t.Context(), got.SHA256, s3); err != nil {
		p.t.Error(err)
	}
	for _, name := range names(p.t, p.cfg.Dir) {
		if !strings.HasSuffix(name, imageEnd) {
			p.t.Errorf("%s is left in the store", name)
		}
	}
}

func TestPatch(t *testing.T) {
	p := newPatched(t)
	p.c = p.s.client(t, p.cfg)
	if got := p.c.Kept(); !slices.Equal(got, []string{hashOf(p.older)}) {
		t.Errorf("kept %v", got)
	}
	var last [2]int64
	got, err := p.c.Fetch(t.Context(), p.offer, func(done, total int64) { last = [2]int64{done, total} })
	if err != nil || !got.Patched || got.Downloaded != int64(len(p.patch)) || p.whole != 0 {
		t.Fatalf("%+v, %v, %d requests for the whole", got, err, p.whole)
	}
	if n := int64(len(p.patch)); last != [2]int64{n, n} {
		t.Errorf("progress %v, the patch has %d bytes", last, n)
	}
	p.verified(got)
	// The next one may start from either.
	if got := p.c.Kept(); len(got) != 2 || got[0] != hashOf(p.newer) {
		t.Errorf("kept %v", got)
	}
	// It is there now.
	got, err = p.c.Fetch(t.Context(), p.offer, func(int64, int64) {})
	if err != nil || got.Patched || got.Downloaded != 0 || len(p.s.ranges()) != 1 {
		t.Errorf("again: %+v, %v", got, err)
	}
}

// Whatever is wrong with a patch, the whole image comes instead.
func TestPatchesThatAreOfNoUse(t *testing.T) {
	for name, spoil := range map[string]func(p *patched){
		"patches are off":         func(p *patched) { p.cfg.Patches = false },
		"none is offered":         func(p *patched) { p.offer.Patch = update.Patch{} },
		"the base is not there":   func(p *patched) { p.offer.Patch.From = strings.Repeat("0a", 32) },
		"the base was not proven": func(p *patched) { rename(p, hashOf(p.older)+imageEnd, hashOf(p.older)+unverifiedEnd) },
		"the base rotted":         func(p *patched) { poke(p.t, filepath.Join(p.cfg.Dir, hashOf(p.older)+imageEnd), 5000, []byte("rot")) },
		"it is not there":         func(p *patched) { p.answer = answerWith(404, nil) },
		"it was withdrawn":        func(p *patched) { p.answer = answerWith(410, nil) },
		"enough for today":        func(p *patched) { p.answer = answerWith(429, nil, "Retry-After: 86400") },
		"the server fails":        func(p *patched) { p.answer = answerWith(503, nil) },
		"it never comes whole":    func(p *patched) { p.answer = cut(p.patch, `"patch"`, 10) },
		"another file comes":      func(p *patched) { p.answer = full(content(len(p.patch), 3), `"patch"`) },
		"a longer file comes":     func(p *patched) { p.answer = full(append(bytes.Clone(p.patch), 0), `"patch"`) },
		"a shorter file comes":    func(p *patched) { p.answer = full(p.patch[:len(p.patch)-1], `"patch"`) },
		"it comes encoded":        func(p *patched) { p.answer = answerWith(200, p.patch, "Content-Encoding: gzip") },
		"it lies elsewhere":       func(p *patched) { p.answer = answerWith(302, nil, "Location: https://127.0.0.1:1/") },
		"it is no patch":          func(p *patched) { p.set(content(5000, 4)) },
		"it is damaged":           func(p *patched) { b := bytes.Clone(p.patch); b[len(b)-1] ^= 1; p.set(b) },
		"it is for another base":  func(p *patched) { p.set(makePatch(p.t, p.newer, p.newer)) },
		"it makes another image":  func(p *patched) { p.set(makePatch(p.t, p.older, p.older)) },
		"it lies about what it makes": func(p *patched) {
			b, sum := makePatch(p.t, p.older, p.older), sha256.Sum256(p.newer)
			copy(b[48:], sum[:])
			p.set(b)
		},
		"it is no smaller":        func(p *patched) { p.offer.Patch.Size = p.offer.Size },
		"it has no size":          func(p *patched) { p.offer.Patch.Size = 0 },
		"its hash is none":        func(p *patched) { p.offer.Patch.SHA256 = "../../x" },
		"its base is none":        func(p *patched) { p.offer.Patch.From = "../../x" },
		"it is fetched in clear":  func(p *patched) { p.offer.Patch.URL = "http://h/patch" },
		"it is a file":            func(p *patched) { p.offer.Patch.URL = "file:///etc/passwd" },
		"its host is private":     func(p *patched) { p.offer.Patch.URL = "https://10.0.0.1/patch" },
		"the disk is nearly full": func(p *patched) { p.cfg.Disk = roomFor(p.offer.Size + reserve + 10) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPatched(t)
			spoil(p)
			got, err := p.fetch(t.Context())
			if err != nil || got.Patched || p.whole != 1 {
				t.Fatalf("%+v, %v, %d requests for the whole", got, err, p.whole)
			}
			p.verified(got)
			if got.Downloaded < p.offer.Size || got.Downloaded > p.offer.Size+patchTries*int64(len(p.patch)+1) {
				t.Errorf("%d bytes were downloaded, the image has %d", got.Downloaded, p.offer.Size)
			}
		})
	}
}

func rename(p *patched, from, to string) {
	p.t.Helper()
	if err := os.Rename(filepath.Join(p.cfg.Dir, from), filepath.Join(p.cfg.Dir, to)); err != nil {
		p.t.Fatal(err)
	}
}

// roomFor is a disk on which n bytes are free.
func roomFor(n int64) disk.Disk {
	return disk.On(layer{Layer: disk.Disk{}, free: func() int64 { return n }})
}

// A server that holds the patch back for a day does not keep the robot from the
// image for that long.
func TestPatchWaitsAreShort(t *testing.T) {
	p := newPatched(t)
	p.answer = answerWith(503, nil)
	p.c = p.s.client(t, p.cfg)
	var waited time.Duration
	p.c.sleep = func(_ context.Context, d time.Duration) error { waited += d; return nil }
	got, err := p.c.Fetch(t.Context(), p.offer, func(int64, int64) {})
	if err != nil || got.Patched || waited == 0 || waited > patchGiveUp {
		t.Errorf("after waiting %v: %+v, %v", waited, got, err)
	}
}

// A patch that was interrupted goes on where it was, also in another life; the
// bytes are counted once.
func TestPatchGoesOn(t *testing.T) {
	p := newPatched(t)
	noise := make([]byte, 100_000) // a patch that takes a while
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	p.newer = signed(t, imagetest.Options{Version: "0.2.1", Body: append(p.older[500:250_000:250_000], noise...)})
	p.offer.SHA256, p.offer.Size = hashOf(p.newer), int64(len(p.newer))
	p.set(makePatch(t, p.older, p.newer))
	p.answer = cut(p.patch, `"patch"`, 60_000)
	p.c = p.s.client(t, p.cfg)
	ctx, cancel := context.WithCancel(t.Context())
	p.c.sleep = func(context.Context, time.Duration) error { cancel(); return ctx.Err() }
	if got, err := p.c.Fetch(ctx, p.offer, func(int64, int64) {}); !errors.Is(err, context.Canceled) {
		t.Fatalf("%+v, %v", got, err)
	}
	p.answer = full(p.patch, `"patch"`)
	got, err := p.fetch(t.Context())
	if err != nil || !got.Patched || got.Downloaded != int64(len(p.patch)) || p.whole != 0 {
		t.Errorf("%+v, %v; the patch has %d bytes", got, err, len(p.patch))
	}
	if got := p.s.ranges(); !slices.Equal(got, []string{"", `bytes=60000- "patch"`}) {
		t.Errorf("ranges %q", got)
	}
	p.verified(got)
}

// Where less of the whole is missing than the patch has, the whole goes on.
func TestWholeThatIsNearlyThere(t *testing.T) {
	p := newPatched(t)
	p.cfg.Patches = false
	p.interrupted = 250_000
	p.c = p.s.client(t, p.cfg)
	ctx, cancel := context.WithCancel(t.Context())
	p.c.sleep = func(context.Context, time.Duration) error { cancel(); return ctx.Err() }
	if _, err := p.c.Fetch(ctx, p.offer, func(int64, int64) {}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	p.interrupted = 0
	p.cfg.Patches = true
	p.set(append(bytes.Clone(p.patch), make([]byte, 200_000)...))
	got, err := p.fetch(t.Context())
	if err != nil || got.Patched || p.whole != 2 || p.s.ranges()[1] != `bytes=250000- "whole"` {
		t.Errorf("%+v, %v, ranges %q", got, err, p.s.ranges())
	}
	p.verified(got)
}

// The power is cut while the image is rebuilt, or the disk fills up or breaks:
// what is there then is never taken for the image.
func TestRebuildThatEnds(t *testing.T) {
	p := newPatched(t)
	p.put(p.offer.SHA256+rebuildEnd, p.newer[:200_000])
	p.put(strings.Repeat("0b", 32)+rebuildEnd, p.newer)
	if got, err := p.fetch(t.Context()); err != nil || !got.Patched {
		t.Errorf("with what a power cut left: %+v, %v", got, err)
	} else {
		p.verified(got)
	}
	for name, breaks := range map[string]failing{
		"write": {write: errors.New("broken")},
		"sync":  {sync: errors.New("broken")},
	} {
		p := newPatched(t)
		left := 150_000
		p.cfg.Disk = disk.On(layer{Layer: disk.Disk{}, free: func() int64 { return 1 << 30 }, file: func(f disk.File) disk.File {
			if info, err := f.Stat(); err != nil || !strings.HasSuffix(info.Name(), rebuildEnd) {
				return f
			}
			broken := breaks
			broken.File, broken.n = f, &left
			return broken
		}})
		got, err := p.fetch(t.Context())
		if err != nil || got.Patched || p.whole != 1 {
			t.Errorf("%s fails: %+v, %v", name, got, err)
		}
		p.verified(got)
	}
}

// Every single byte of a patch changed, as far as the server would lie about it:
// the image comes out right, or the patch is refused.
func TestDamagedPatches(t *testing.T) {
	older, newer := neighbours(t)
	good := makePatch(t, older, newer)
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 1 << (i % 8)
		var out bytes.Buffer
		if err := delta.Apply(t.Context(), &out, older, b); err == nil && !bytes.Equal(out.Bytes(), newer) {
			t.Fatalf("byte %d changed: another image", i)
		} else if err != nil && !errors.Is(err, delta.ErrPatch) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
}
