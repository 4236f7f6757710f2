package patcher

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
	"github.com/robot-platform/robot-ota/internal/delta"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func version(text string) compat.Version {
	v, err := compat.ParseVersion(text)
	if err != nil {
		panic(err)
	}
	return v
}

// some is a release of which nothing but the name counts.
func some(sku, v string, status release.Status) release.Release {
	return release.Release{SKU: sku, Version: version(v), Name: sku + "-" + v, SHA256: sku + v, Status: status}
}

func TestWanted(t *testing.T) {
	shared := some("standard", "0.2.0", release.Stable)
	shared.SHA256 = "basic0.2.0" // one file for two SKUs
	alsoShared := some("standard", "0.2.1", release.Stable)
	alsoShared.SHA256 = "basic0.2.1"
	run := func(sku, v string, robots int) store.VersionCount {
		return store.VersionCount{SKU: sku, Version: version(v), Robots: robots}
	}
	chain := []release.Release{some("basic", "0.1.0", release.Stable), some("basic", "0.2.0", release.Stable), some("basic", "0.2.1", release.Stable)}
	for name, tt := range map[string]struct {
		all     []release.Release
		running []store.VersionCount
		want    string
	}{
		"nothing":                     {nil, nil, ""},
		"the first release":           {chain[:1], []store.VersionCount{run("basic", "0.1.0", 9)}, ""},
		"nobody has said anything":    {chain, nil, "basic-0.2.0→0.2.1"},
		"the versions in use":         {chain, []store.VersionCount{run("basic", "0.1.0", 3), run("basic", "0.2.1", 5)}, "basic-0.2.0→0.2.1 basic-0.1.0→0.2.1"},
		"another SKU's robots":        {chain, []store.VersionCount{run("standard", "0.1.0", 3)}, "basic-0.2.0→0.2.1"},
		"unknown versions":            {chain, []store.VersionCount{run("basic", "0.0.9", 3), {SKU: "basic", Robots: 7}}, "basic-0.2.0→0.2.1"},
		"what a rollout may offer":    {append(slices.Clone(chain), some("basic", "0.3.0", release.Published)), nil, "basic-0.2.0→0.2.1 basic-0.2.1→0.3.0"},
		"what nobody is offered":      {append(slices.Clone(chain[1:]), some("basic", "0.1.9", release.Published), some("basic", "0.3.0", release.Withdrawn)), nil, "basic-0.2.0→0.2.1"},
		"the way out of a bad one":    {append(slices.Clone(chain[:2]), some("basic", "0.2.1", release.Withdrawn), some("basic", "0.2.2", release.Published)), []store.VersionCount{run("basic", "0.2.1", 4)}, "basic-0.1.0→0.2.0 basic-0.2.0→0.2.2 basic-0.2.1→0.2.2"},
		"one file of two SKUs":        {append(slices.Clone(chain[1:]), shared, alsoShared), nil, "basic-0.2.0→0.2.1"},
		"only a published one so far": {[]release.Release{some("basic", "0.2.0", release.Published), some("basic", "0.2.1", release.Published)}, []store.VersionCount{run("basic", "0.2.0", 1)}, "basic-0.2.0→0.2.1"},
	} {
		var got []string
		for _, p := range wanted(tt.all, tt.running, maxBases) {
			got = append(got, fmt.Sprintf("%s→%v", p.from.Name, p.to.Version))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %v\nwant %s", name, got, tt.want)
		}
	}
	var many []release.Release
	var running []store.VersionCount
	for i := range 20 {
		many = append(many, some("basic", fmt.Sprintf("0.2.%d", i), release.Stable))
		running = append(running, run("basic", fmt.Sprintf("0.2.%d", i), i%7+1))
	}
	got := wanted(many, running, 3)
	if len(got) != 3 || got[0].from.Name != "basic-0.2.18" || got[1].from.Name != "basic-0.2.13" || got[2].from.Name != "basic-0.2.6" {
		t.Errorf("of many: %v", got)
	}
}

// fleet is a store with releases of real form.
type fleet struct {
	t     *testing.T
	env   storetest.Env
	store *store.Store
	key   *ecdsa.PrivateKey
	pub   image.Key
	files map[string][]byte // by version
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{t: t, env: storetest.SQLite(t), files: map[string][]byte{}}
	f.store = f.env.Open(t)
	var err error
	if f.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if f.pub, err = image.NewKey(&f.key.PublicKey); err != nil {
		t.Fatal(err)
	}
	f.update(func(tx *store.Tx) error { _, err := tx.AddKey(t.Context(), f.pub, "pub.der"); return err })
	return f
}

func (f *fleet) update(do func(tx *store.Tx) error) {
	f.t.Helper()
	if err := f.store.Update(f.t.Context(), "test", do); err != nil {
		f.t.Fatal(err)
	}
}

// publish makes a stable release of basic whose content follows from seed.
func (f *fleet) publish(v string, seed uint64, change string) release.Release {
	f.t.Helper()
	rng := mathrand.New(mathrand.NewPCG(seed, 1))
	body := make([]byte, 60_000)
	for i := range body {
		body[i] = byte(rng.Uint32())
	}
	copy(body[30_000:], change)
	signed, err := image.Sign(imagetest.App(imagetest.Options{Version: v, Body: body}), f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	fresh, err := release.Prove(signed, image.NewKeyring(f.pub), image.ESP32S3, []string{"basic"}, storetest.Noon())
	if err != nil {
		f.t.Fatal(err)
	}
	fresh[0].Status = release.Stable
	if err := f.store.Publish(f.t.Context(), signed, fresh); err != nil {
		f.t.Fatal(err)
	}
	f.files[v] = signed
	return fresh[0]
}

func (f *fleet) look() (told []string) {
	f.t.Helper()
	if err := Look(f.t.Context(), f.store, func(m Made) { told = append(told, m.String()) }); err != nil {
		f.t.Fatal(err)
	}
	return told
}

func TestLook(t *testing.T) {
	f := newFleet(t)
	one := f.publish("0.2.0", 1, "")
	if told := f.look(); len(told) != 0 {
		t.Errorf("with one release: %q", told)
	}
	two := f.publish("0.2.1", 1, "a small change")
	told := f.look()
	if len(told) != 1 || !strings.HasPrefix(told[0], "patch basic-0.2.0 → 0.2.1: ") || !strings.HasSuffix(told[0], " % of the image") {
		t.Fatalf("told %q", told)
	}
	p, err := f.store.PatchTo(t.Context(), two.SHA256, []string{one.SHA256})
	if err != nil {
		t.Fatal(err)
	}
	file, err := f.store.OpenArtifact(t.Context(), p.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(file)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := delta.Apply(t.Context(), &out, f.files["0.2.0"], b); err != nil || !bytes.Equal(out.Bytes(), f.files["0.2.1"]) {
		t.Errorf("it makes %d bytes, %v", out.Len(), err)
	}
	if told := f.look(); len(told) != 0 {
		t.Errorf("made again: %q", told)
	}

	// Robots turn up that run what came before.
	three := f.publish("0.2.2", 9, "")
	told = f.look()
	if len(told) != 1 || told[0] != "patch basic-0.2.1 → 0.2.2: not kept, it would have 100 % of the image" {
		t.Errorf("of images that have nothing in common: %q", told)
	}
	if left, err := f.store.Patches(t.Context()); err != nil || len(left) != 1 || left[0].To != three.SHA256 {
		t.Errorf("superseded patches stay: %+v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(f.env.Dir, "artifacts", p.SHA256)); !os.IsNotExist(err) {
		t.Errorf("its file: %v", err)
	}
	if told := f.look(); len(told) != 0 {
		t.Errorf("one that is not kept is made again: %q", told)
	}
	f.update(func(tx *store.Tx) error {
		if err := tx.AddRobot(t.Context(), store.Robot{ID: "r1", SKU: "basic"}); err != nil {
			return err
		}
		return tx.SetState(t.Context(), "r1", store.RobotState{Version: version("0.2.0"), Received: storetest.Noon()})
	})
	if told := f.look(); len(told) != 1 || !strings.HasPrefix(told[0], "patch basic-0.2.0 → 0.2.2: not kept") {
		t.Errorf("a robot with 0.2.0: %q", told)
	}

	// A base whose file is gone or damaged is told, and keeps nothing else back.
	f.publish("0.2.3", 9, "fixed")
	if err := os.Truncate(filepath.Join(f.env.Dir, "artifacts", one.SHA256), 5000); err != nil {
		t.Fatal(err)
	}
	told = f.look()
	if len(told) != 2 || !strings.Contains(told[0], "0.2.2 → 0.2.3: ") || !strings.Contains(told[1], "0.2.0 → 0.2.3: none, robots take the whole image: the file of basic-0.2.0 has 5000 bytes instead of ") {
		t.Errorf("told %q", told)
	}
}

func TestLookEnds(t *testing.T) {
	f := newFleet(t)
	f.publish("0.2.0", 1, "")
	f.publish("0.2.1", 1, "changed")
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if err := Look(ctx, f.store, func(m Made) { t.Errorf("told %v", m) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
