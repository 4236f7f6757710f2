package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
	"github.com/robot-platform/robot-ota/internal/disk"
)

var s3 = image.Policy{Chip: image.ESP32S3}

func download(t *testing.T, c *Client, s *server, b []byte) string {
	t.Helper()
	sum, _, err := c.Download(t.Context(), Offer{URL: s.URL, SHA256: hashOf(b)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestVerify(t *testing.T) {
	b := signed(t, imagetest.Options{Version: "0.2.1", Project: "robot-platform-standard"})
	s := serve(t, full(b, ""))
	cfg := Config{Keys: keyring(t), Dir: filepath.Join(t.TempDir(), "d")}
	c := s.client(t, cfg)
	sum := download(t, c, s, b)
	v, err := c.Verify(t.Context(), sum, s3)
	if err != nil || v.Version() != (compat.Version{Minor: 2, Patch: 1}) {
		t.Fatalf("got %v, %v", v.Version(), err)
	}
	if got := names(t, cfg.Dir); !slices.Equal(got, []string{sum + imageEnd}) {
		t.Errorf("in the store: %v", got)
	}
	// After a restart it is verified anew, under the policy of then.
	c = s.client(t, cfg)
	if _, err := c.Verify(t.Context(), sum, s3); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	_, err = c.Verify(t.Context(), sum, image.Policy{Chip: image.ESP32S3, SKU: "basic"})
	var refused *image.Refused
	if !errors.As(err, &refused) || refused.Code != image.RefusedSKU {
		t.Errorf("for another SKU: %v", err)
	}
	if got := names(t, cfg.Dir); len(got) != 0 {
		t.Errorf("a refused image stays: %v", got)
	}
	if _, err := c.Verify(t.Context(), sum, s3); !errors.Is(err, ErrNotStored) {
		t.Errorf("after it was removed: %v", err)
	}
	if _, err := c.Verify(t.Context(), "../../../etc/passwd", s3); !errors.Is(err, ErrNotStored) {
		t.Errorf("a path: %v", err)
	}
}

// The key is revoked after its image was verified once: the next look refuses
// it, and takes it away.
func TestRevokedBetweenTwoLooks(t *testing.T) {
	b := signed(t, imagetest.Options{})
	s := serve(t, full(b, ""))
	ring := keyring(t)()
	c := s.client(t, Config{Keys: func() image.Keyring { return ring }})
	sum := download(t, c, s, b)
	if _, err := c.Verify(t.Context(), sum, s3); err != nil {
		t.Fatal(err)
	}
	ring = ring.Without(ring.IDs()...)
	_, err := c.Verify(t.Context(), sum, s3)
	var refused *image.Refused
	if !errors.As(err, &refused) || refused.Code != image.RefusedRevoked {
		t.Errorf("got %v", err)
	}
	if got := names(t, c.cfg.Dir); len(got) != 0 {
		t.Errorf("it stays: %v", got)
	}
}

func TestTamperedImageIsRefusedAndRemoved(t *testing.T) {
	b := signed(t, imagetest.Options{Body: content(5000, 3)})
	b[len(b)-100] ^= 1
	s := serve(t, full(b, ""))
	c := s.client(t, Config{Keys: keyring(t)})
	_, err := c.Verify(t.Context(), download(t, c, s, b), s3)
	var refused *image.Refused
	if !errors.As(err, &refused) || refused.Code != image.RefusedHash {
		t.Errorf("got %v", err)
	}
	if got := names(t, c.cfg.Dir); len(got) != 0 {
		t.Errorf("it stays: %v", got)
	}
}

// What rotted on the disk since is noticed, and fetched again.
func TestStoredFileThatChanged(t *testing.T) {
	b := signed(t, imagetest.Options{})
	s := serve(t, full(b, ""))
	c := s.client(t, Config{Keys: keyring(t)})
	sum := download(t, c, s, b)
	if _, err := c.Verify(t.Context(), sum, s3); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.cfg.Dir, sum+imageEnd)
	bad := slices.Clone(b)
	bad[200] ^= 1
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(t.Context(), sum, s3); !errors.Is(err, ErrNotStored) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if download(t, c, s, b); len(s.ranges()) != 2 {
		t.Errorf("requests %q", s.ranges())
	}
	if _, err := c.Verify(t.Context(), sum, s3); err != nil {
		t.Error(err)
	}
}

func TestOldImagesArePruned(t *testing.T) {
	var images [][]byte
	for i := range 4 {
		images = append(images, signed(t, imagetest.Options{Version: fmt.Sprintf("0.2.%d", i)}))
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		full(images[r.URL.Path[1]-'0'], "")(w, r)
	})
	c := s.client(t, Config{Keys: keyring(t), Keep: 2})
	var want []string
	for i, b := range images {
		o := Offer{URL: fmt.Sprintf("%s/%d", s.URL, i), SHA256: hashOf(b)}
		if _, _, err := c.Download(t.Context(), o, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Verify(t.Context(), o.SHA256, s3); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(filepath.Join(c.cfg.Dir, o.SHA256+imageEnd), then, then); err != nil {
			t.Fatal(err)
		}
		want = append(want, o.SHA256+imageEnd)
	}
	want = want[2:]
	slices.Sort(want)
	if got := names(t, c.cfg.Dir); !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
}

// What a crash, a power cut or somebody's hand did to the partial download.
func TestPartialDownloadIsChecked(t *testing.T) {
	a := content(600_000, 1)
	const half = 300_000
	for name, tt := range map[string]struct {
		harm func(t *testing.T, part, meta string)
		want string
	}{
		"nothing":                  {func(*testing.T, string, string) {}, fmt.Sprintf(`bytes=%d- "a"`, half)},
		"written and never synced": {func(t *testing.T, part, _ string) { add(t, part, make([]byte, 5000)) }, fmt.Sprintf(`bytes=%d- "a"`, half)},
		"more of it than there is": {func(t *testing.T, part, _ string) { add(t, part, make([]byte, len(a))) }, fmt.Sprintf(`bytes=%d- "a"`, half)},
		"synced bytes lost":        {func(t *testing.T, part, _ string) { truncate(t, part, half-1) }, ""},
		"synced bytes zeroed":      {func(t *testing.T, part, _ string) { poke(t, part, half-4096, make([]byte, 4096)) }, ""},
		"part gone":                {func(t *testing.T, part, _ string) { remove(t, part) }, ""},
		"meta gone":                {func(t *testing.T, _, meta string) { remove(t, meta) }, ""},
		"meta cut":                 {func(t *testing.T, _, meta string) { truncate(t, meta, 20) }, ""},
		"meta of nonsense":         {func(t *testing.T, _, meta string) { poke(t, meta, 0, []byte("\x00\xff{")) }, ""},
		"meta huge":                {func(t *testing.T, _, meta string) { truncate(t, meta, maxMeta+1) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, cut(a, `"a"`, half), full(a, `"a"`))
			c := s.client(t, Config{})
			ctx, cancel := context.WithCancel(t.Context())
			c.sleep = func(context.Context, time.Duration) error { cancel(); return ctx.Err() }
			o := Offer{URL: s.URL}
			if _, _, err := c.Download(ctx, o, nil); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			tt.harm(t, filepath.Join(c.cfg.Dir, key(o)+partEnd), filepath.Join(c.cfg.Dir, key(o)+metaEnd))
			again := s.client(t, Config{Dir: c.cfg.Dir})
			sum, _, err := again.Download(t.Context(), o, nil)
			if err != nil || sum != hashOf(a) {
				t.Errorf("got %s, %v", sum, err)
			}
			if got := s.ranges(); got[1] != tt.want {
				t.Errorf("asked for %q, want %q", got[1], tt.want)
			}
			if b, err := os.ReadFile(filepath.Join(c.cfg.Dir, sum+unverifiedEnd)); err != nil || hashOf(b) != sum {
				t.Errorf("in the store are %d bytes that hash to something else, %v", len(b), err)
			}
		})
	}
}

func add(t *testing.T, path string, b []byte) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	poke(t, path, info.Size(), b)
}

func poke(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, n int64) {
	t.Helper()
	if err := os.Truncate(path, n); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// Another URL for the same content goes on with what is held; its server's
// ETag is another one.
func TestAnotherURLForTheSameContent(t *testing.T) {
	a := content(400_000, 1)
	s := serve(t, cut(a, `"a"`, 300_000), full(a, `"other"`))
	c := s.client(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	c.sleep = func(context.Context, time.Duration) error { cancel(); return ctx.Err() }
	o := Offer{URL: s.URL + "/one", SHA256: hashOf(a), Size: int64(len(a))}
	if _, _, err := c.Download(ctx, o, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	o.URL = s.URL + "/two"
	if _, _, err := c.Download(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	if got := s.ranges(); got[1] != "bytes=300000-" {
		t.Errorf("asked for %q", got)
	}
}

// What another download left is removed when a new one begins.
func TestOneDownloadAtATime(t *testing.T) {
	a := content(1000, 1)
	s := serve(t, full(a, `"a"`))
	c := s.client(t, Config{})
	old := strings.Repeat("ab", 32)
	for _, name := range []string{old + partEnd, old + metaEnd, old + unverifiedEnd, "." + old + ".meta.123", old + imageEnd} {
		if err := os.WriteFile(filepath.Join(c.cfg.Dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sum := download(t, c, s, a)
	want := []string{sum + unverifiedEnd, old + imageEnd}
	slices.Sort(want)
	if got := names(t, c.cfg.Dir); !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
}

// Somebody who could write into the store plants links, to have the agent
// overwrite or trust a file elsewhere.
func TestPlantedFiles(t *testing.T) {
	a := content(1000, 1)
	s := serve(t, full(a, `"a"`))
	sum := hashOf(a)
	for name, tt := range map[string]struct {
		plant func(victim, path string) error
		want  string
	}{
		"symbolic link": {os.Symlink, "is a symbolic link, which the agent never makes there; find out who did, and remove it"},
		"hard link":     {os.Link, "has another name elsewhere (a hard link)"},
		"pipe":          {func(_, path string) error { return syscall.Mkfifo(path, 0o600) }, "is no plain file"},
	} {
		for _, end := range []string{partEnd, metaEnd, unverifiedEnd, imageEnd} {
			t.Run(name+" "+end, func(t *testing.T) {
				c := s.client(t, Config{})
				victim := filepath.Join(t.TempDir(), "victim")
				if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(c.cfg.Dir, sum+end)
				if err := tt.plant(victim, path); err != nil {
					t.Fatal(err)
				}
				_, _, err := c.Download(t.Context(), Offer{URL: s.URL, SHA256: sum}, nil)
				if err == nil || !strings.Contains(err.Error(), path+" "+tt.want) || codeOf(err) != "unsafe_store" {
					t.Errorf("got %v", err)
				}
				if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
					t.Errorf("the victim holds %q, %v", b, err)
				}
			})
		}
	}
}

func TestStoreThatIsNoDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "downloads")
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	_, err := newStore(disk.Disk{}, dir, 1, 1)
	if err == nil || err.Error() != "the image store "+dir+" is no directory but L---------; remove it" {
		t.Errorf("got %v", err)
	}
	wide := filepath.Join(t.TempDir(), "wide")
	if err := os.Mkdir(wide, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := newStore(disk.Disk{}, wide, 1, 1); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(wide); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// The image that was verified last is kept, whatever the clock says: one that was
// ahead has dated the others later than it.
func TestAnImageIsKeptByAClockThatWasSetBack(t *testing.T) {
	dir := t.TempDir()
	s, err := newStore(disk.Disk{}, dir, 1<<20, 2)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i, at := range []time.Time{now.Add(48 * time.Hour), now.Add(47 * time.Hour), now, now.Add(-time.Hour), now.Add(time.Minute)} {
		sum := strings.Repeat(strconv.Itoa(i), 64)
		if err := os.WriteFile(filepath.Join(dir, sum+unverifiedEnd), []byte("image"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.settle(sum, sum+unverifiedEnd, at); err != nil {
			t.Fatal(err)
		}
		left := s.images()
		if last := left[len(left)-1]; last != sum+imageEnd || len(left) != min(i+1, 2) {
			t.Errorf("after image %d there are %q", i, left)
		}
	}
}
