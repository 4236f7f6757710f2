//go:build ros2

package tests

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// place copies a signed image into a folder; one that is to be forged has a
// bit of its firmware flipped and the header's hash made to fit.
func (p *plant) place(signed, target string, forged bool) {
	p.t.Helper()
	b, err := os.ReadFile(signed)
	if err != nil {
		p.t.Fatal(err)
	}
	if forged {
		b[len(b)/2] ^= 0x10
		sum := sha256.Sum256(b[136:])
		copy(b[12:], sum[:])
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, b, 0o600)); err != nil {
		p.t.Fatal(err)
	}
}

// Without a network: an operator at the robot names a file or a folder of a
// medium. The image that fits is taken and proven like any other, and the
// medium may be pulled once it has been read.
func TestUpdatedFromAMedium(t *testing.T) {
	t.Parallel()
	media := t.TempDir()
	p := newPlant(t, options{server: ", files: [" + media + "]"})
	p.server.stop() // there is no network
	usb := func(elem ...string) string { return filepath.Join(append([]string{media, "usb"}, elem...)...) }
	p.place(p.image("0.2.2", "good"), usb("b-middle.signed"), false)
	p.place(p.image("0.2.1", "good"), usb("a-older.signed"), false)
	p.place(p.image("0.1.9", "good"), usb("older-than-the-robot.signed"), false)
	p.place(p.image("0.9.0", "good", "--sku", "basic"), usb("z-another-robot.signed"), false)
	p.place(p.image("0.8.0", "good"), usb("y-tampered.signed"), true)
	p.place(p.image("0.7.0", "good"), usb("deeper/in-a-folder.signed"), false)
	p.place(p.path("0.2.2.bin"), usb("not-signed.bin"), false)
	secret := filepath.Join(t.TempDir(), "0.2.2.signed")
	p.place(p.path("0.2.2.signed"), secret, false)
	p.place(p.path("0.1.9.signed"), filepath.Join(media, "old", "0.1.9.signed"), false)
	p.place(usb("z-another-robot.signed"), filepath.Join(media, "others", "basic.signed"), false)
	p.place(usb("y-tampered.signed"), filepath.Join(media, "others", "tampered.signed"), false)
	if err := errors.Join(os.WriteFile(usb("README.txt"), []byte(strings.Repeat("read me\n", 100)), 0o600),
		os.WriteFile(usb("empty"), nil, 0o600), os.Mkdir(filepath.Join(media, "nothing"), 0o755),
		os.Symlink(secret, usb("link.signed")), os.Symlink(filepath.Dir(secret), usb("linked")), syscall.Mkfifo(usb("pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	p.heard()

	for name, tt := range map[string]struct {
		path string
		want []string
	}{
		"a file outside":             {secret, []string{"lies in no folder that images are taken from (" + media + ")", "server.files"}},
		"a link":                     {usb("link.signed"), []string{"is no regular file; links, pipes and devices are not taken"}},
		"through a link":             {usb("linked/0.2.2.signed"), []string{"cannot be read", "escapes"}},
		"a pipe":                     {usb("pipe"), []string{"is no regular file; links, pipes and devices are not taken"}},
		"a medium not mounted":       {filepath.Join(media, "sdb1"), []string{"does not exist", "is the medium mounted?"}},
		"an empty folder":            {filepath.Join(media, "nothing"), []string{"holds no signed image"}},
		"no image that fits":         {filepath.Join(media, "others"), []string{"holds no image for this robot", "of 2 that were tried"}},
		"a tampered file":            {usb("y-tampered.signed"), []string{"image refused (signature)", "not signed by a known key"}},
		"another robot's":            {usb("z-another-robot.signed"), []string{"image refused (sku)", `"basic"`, `"standard"`}},
		"an older one":               {filepath.Join(media, "old"), []string{"image refused (downgrade)", "0.1.9", "0.2.0"}},
		"junk":                       {usb("README.txt"), []string{"image refused (not_an_image)"}},
		"one that lacks a signature": {usb("not-signed.bin"), []string{"image refused (not_an_image)"}},
	} {
		said, code := p.follow("file://" + tt.path)
		if code != 3 {
			t.Errorf("%s: exit code %d, want 3", name, code)
		}
		for _, want := range tt.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, said)
			}
		}
		t.Logf("%s: %s", name, lastLine(said))
	}
	if said, code := p.follow("file://" + media + "/../etc/x"); code != 2 || !strings.Contains(said, "holds . or ..") {
		t.Errorf("a way out: exit code %d\n%s", code, said)
	}
	if c := p.chip(); c.NextBoot != "factory" || slices.ContainsFunc(c.Slots, func(s slot) bool { return s.Slot != "factory" && s.Valid }) {
		t.Errorf("the chip was touched: %+v", c)
	}

	p.battery("0.3") // so that the update waits after the medium was read
	p.trigger("file://" + usb() + "/")
	p.until("the deferral", 20*time.Second, func() bool {
		s, err := p.status()
		return err == nil && s.State == "waiting" && s.Reasons.has("battery_low")
	})
	if err := os.RemoveAll(media); err != nil { // the stick is pulled
		t.Fatal(err)
	}
	p.battery("0.9")
	p.until("the update", 60*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "observing" })
	p.runs("0.2.2")
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
