package fetch

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
)

// medium is a folder with files in it, as a mounted stick, beside a folder
// that is none of the agent's business.
func medium(t *testing.T, files map[string][]byte) (folder string, cfg Config) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "media")
	for name, b := range files {
		file := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder, Config{
		Files: []string{"/nowhere", folder}, Keys: keyring(t),
		Robot: image.Policy{Chip: image.ESP32S3, SKU: "standard"},
	}
}

func fileURL(elem ...string) string {
	return (&url.URL{Scheme: "file", Path: filepath.Join(elem...)}).String()
}

func TestFileIsTakenAndVerified(t *testing.T) {
	good := signed(t, imagetest.Options{Version: "0.2.1", Project: "robot-platform-standard"})
	folder, cfg := medium(t, map[string][]byte{"usb/a b.signed": good})
	c := newClient(t, cfg, nobody{t})
	var done int64
	o := Offer{URL: fileURL(folder, "usb/a b.signed")}
	sum, size, err := c.Download(t.Context(), o, func(n, _ int64) { done = n })
	if err != nil || sum != hashOf(good) || size != int64(len(good)) || done != size {
		t.Fatalf("got %s, %d of %d bytes: %v", sum, done, size, err)
	}
	if err := os.RemoveAll(folder); err != nil { // the stick is pulled
		t.Fatal(err)
	}
	v, err := c.Verify(t.Context(), sum, image.Policy{Chip: image.ESP32S3, SKU: "standard"})
	if err != nil || v.Version().String() != "0.2.1" {
		t.Fatalf("%v: %v", v.Version(), err)
	}
}

func TestForgedFileIsRefusedByVerify(t *testing.T) {
	bad := signed(t, imagetest.Options{})
	bad[len(bad)-40] ^= 1
	folder, cfg := medium(t, map[string][]byte{"x": bad})
	c := newClient(t, cfg, nobody{t})
	sum, _, err := c.Download(t.Context(), Offer{URL: fileURL(folder, "x")}, func(_, _ int64) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(t.Context(), sum, cfg.Robot); err == nil {
		t.Fatal("a forged image was accepted")
	}
	if left := names(t, c.cfg.Dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRefusedFiles(t *testing.T) {
	good := signed(t, imagetest.Options{})
	folder, cfg := medium(t, map[string][]byte{"good": good, "short": []byte("x"), "large": make([]byte, 2000), "dir/good": good})
	cfg.MaxSize = 1000
	outside := filepath.Join(t.TempDir(), "secret")
	for _, err := range []error{
		os.WriteFile(outside, good, 0o600),
		os.Symlink(outside, filepath.Join(folder, "out")),
		os.Symlink("good", filepath.Join(folder, "link")),
		os.Symlink(filepath.Dir(outside), filepath.Join(folder, "away")),
		os.Symlink("dir", filepath.Join(folder, "dirlink")),
		syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := newClient(t, cfg, nobody{t})
	for name, tt := range map[string]struct {
		o          Offer
		code, text string
	}{
		"elsewhere":      {Offer{URL: fileURL(outside)}, "file_refused", "add its folder to server.files"},
		"up":             {Offer{URL: "file://" + folder + "/../secret"}, "file_refused", "lies in no folder"},
		"sibling":        {Offer{URL: fileURL(folder + "2/x")}, "file_refused", "lies in no folder"},
		"closed folder":  {Offer{URL: fileURL("/nowhere/x")}, "file_unreadable", "is the medium mounted?"},
		"missing":        {Offer{URL: fileURL(folder, "none")}, "file_unreadable", "does not exist"},
		"link out":       {Offer{URL: fileURL(folder, "out")}, "file_refused", "no regular file"},
		"link":           {Offer{URL: fileURL(folder, "link")}, "file_refused", "no regular file"},
		"link to a dir":  {Offer{URL: fileURL(folder, "dirlink")}, "file_refused", "no regular file"},
		"through a link": {Offer{URL: fileURL(folder, "away/secret")}, "file_unreadable", "escapes"},
		"pipe":           {Offer{URL: fileURL(folder, "pipe")}, "file_refused", "no regular file"},
		"short":          {Offer{URL: fileURL(folder, "short")}, "file_refused", "too few"},
		"large":          {Offer{URL: fileURL(folder, "large")}, "too_large", "more than the 1000"},
		"other digest":   {Offer{URL: fileURL(folder, "good"), SHA256: strings.Repeat("ab", 32)}, "file_hash", "was asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := c.Download(t.Context(), tt.o, func(_, _ int64) {})
			if err == nil || codeOf(err) != tt.code || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %q %v, want %q %s", codeOf(err), err, tt.code, tt.text)
			}
			if left := names(t, c.cfg.Dir); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestFilesAreClosedByDefault(t *testing.T) {
	folder, _ := medium(t, map[string][]byte{"good": signed(t, imagetest.Options{})})
	c := newClient(t, Config{}, nobody{t})
	if _, _, err := c.Download(t.Context(), Offer{URL: fileURL(folder, "good")}, nil); codeOf(err) != "file_refused" {
		t.Errorf("got %v", err)
	}
}

func TestNewestFittingImageOfAFolder(t *testing.T) {
	of := func(version, project string) []byte {
		return signed(t, imagetest.Options{Version: version, Project: "robot-platform-" + project})
	}
	forged := of("9.0.0", "standard")
	forged[len(forged)-40] ^= 1
	esp32 := signed(t, imagetest.Options{Version: "8.0.0", ChipSet: true, Chip: image.ESP32})
	want := of("0.10.0", "standard")
	files := map[string][]byte{
		"readme.txt": bytes.Repeat([]byte("x"), 300), "forged": forged, "esp32": esp32,
		"other-sku": of("7.0.0", "basic"), "a-0.9.9": of("0.9.9", "standard"), "b": want, "z-0.2.1": of("0.2.1", "standard"),
		"deeper/6.0.0": of("6.0.0", "standard"),
	}
	folder, cfg := medium(t, files)
	c := newClient(t, cfg, nobody{t})
	get := func(o Offer) (string, error) {
		sum, _, err := c.Download(t.Context(), o, func(_, _ int64) {})
		return sum, err
	}
	for _, u := range []string{fileURL(folder), fileURL(folder) + "/"} {
		if sum, err := get(Offer{URL: u}); err != nil || sum != hashOf(want) {
			t.Errorf("%s: got %s: %v", u, sum, err)
		}
	}
	if sum, err := get(Offer{URL: fileURL(folder, "deeper")}); err != nil || sum != hashOf(files["deeper/6.0.0"]) {
		t.Errorf("a folder below: got %s: %v", sum, err)
	}
	c = newClient(t, cfg, nobody{t})
	if sum, err := get(Offer{URL: fileURL(folder), SHA256: hashOf(files["z-0.2.1"])}); err != nil || sum != hashOf(files["z-0.2.1"]) {
		t.Errorf("by digest: got %s: %v", sum, err)
	}
}

func TestFolderWithoutAnImageThatFits(t *testing.T) {
	folder, cfg := medium(t, map[string][]byte{
		"none/readme":  bytes.Repeat([]byte("x"), 300),
		"basic/a.bin":  signed(t, imagetest.Options{Project: "robot-platform-basic"}),
		"many/000.bin": signed(t, imagetest.Options{}),
	})
	for i := range maxImages {
		name := filepath.Join(folder, "many", "x"+string(rune('A'+i)))
		if err := os.WriteFile(name, signed(t, imagetest.Options{}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newClient(t, cfg, nobody{t})
	for name, want := range map[string]string{
		"none": "holds no signed image", "basic": "no image for this robot", "many": "more than 64 signed images",
	} {
		_, _, err := c.Download(t.Context(), Offer{URL: fileURL(folder, name)}, func(_, _ int64) {})
		if codeOf(err) != "no_image" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
}

func TestFileIsLeftWhenCancelled(t *testing.T) {
	folder, cfg := medium(t, map[string][]byte{"good": signed(t, imagetest.Options{})})
	c := newClient(t, cfg, nobody{t})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Download(ctx, Offer{URL: fileURL(folder, "good")}, nil); err == nil || codeOf(err) != "" {
		t.Errorf("got %v", err)
	}
}
