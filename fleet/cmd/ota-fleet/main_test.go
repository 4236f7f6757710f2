package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// leakChecked ends the tests with a look for goroutines left behind.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	code := m.M.Run()
	storetest.Stop()
	if err := goleak.Find(); err != nil && code == 0 {
		_, _ = os.Stderr.WriteString(err.Error())
		return 1
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"ota-fleet": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
		},
		"says":    says,
		"holds":   holds,
		"tufsign": tufsign,
		// damage DIR: each file in it has one byte afterwards.
		"damage": func() {
			files, _ := filepath.Glob(filepath.Join(os.Args[1], "*"))
			for _, f := range files {
				if err := os.Truncate(f, 1); err != nil {
					panic(err)
				}
			}
		},
	})
}

// says DIR ROBOT VERSION [STATE TARGET]: a robot reports itself.
func says() {
	v, err := compat.ParseVersion(os.Args[3])
	if err != nil {
		panic(err)
	}
	reports(func(state *store.RobotState) {
		if state.Version = v; len(os.Args) > 4 {
			state.JobID, state.JobState, state.JobTarget = "job-1", os.Args[4], os.Args[5]
		}
	})
}

// holds DIR ROBOT KEYRING PUBLIC: a robot reports its keyring and the key that
// its firmware embeds.
func holds() {
	keyring, err := strconv.ParseUint(os.Args[3], 10, 64)
	if err != nil {
		panic(err)
	}
	keys, err := readKeys(os.Args[4:])
	if err != nil {
		panic(err)
	}
	reports(func(state *store.RobotState) { state.Keyring, state.SigningKey = keyring, keys[0].ID })
}

// reports lets the robot of the command line report itself.
func reports(set func(*store.RobotState)) {
	state := store.RobotState{Online: true, Received: time.Now()}
	set(&state)
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{Dir: os.Args[1], Now: time.Now})
	if err != nil {
		panic(err)
	}
	err = s.Update(ctx, "reports", func(tx *store.Tx) error { return tx.SetState(ctx, os.Args[2], state) })
	if err := errors.Join(err, s.Close()); err != nil {
		panic(err)
	}
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("COLUMNS", "200")
			return errors.Join(makeImages(env.WorkDir), makeMetadata(env.WorkDir))
		},
	})
}

// makeKeyrings writes keyring documents: the first trusts the other key, the
// next ones revoke the first key as well.
func makeKeyrings(dir string, key, other *ecdsa.PrivateKey) error {
	old, err := image.NewKey(&key.PublicKey)
	if err != nil {
		return err
	}
	fresh, err := image.NewKey(&other.PublicKey)
	if err != nil {
		return err
	}
	first, second := keyringtest.Signer{Private: key, Public: old}, keyringtest.Signer{Private: other, Public: fresh}
	for name, d := range map[string]struct {
		version uint64
		by      keyringtest.Signer
	}{"keyring-1": {1, first}, "keyring-2": {2, first}, "keyring-3": {3, first}, "keyring-4": {4, second}, "foreign": {9, keyringtest.Signers(1)[0]}} {
		c := keyring.Content{Version: d.version, Keys: []image.Key{fresh}}
		if d.version > 1 {
			c.Revoked = []string{old.ID}
		}
		if err := os.WriteFile(filepath.Join(dir, name+".json"), keyringtest.Document(c, d.by).Encode(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// makeImages writes pub.der, other.der, keyrings and signed images: VERSION.bin for any
// SKU, standard.bin, forged.bin, and other.bin, which the other key signed.
func makeImages(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	for name, k := range map[string]*ecdsa.PrivateKey{"pub.der": key, "other.der": other} {
		pub, err := image.NewKey(&k.PublicKey)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), pub.DER(), 0o600); err != nil {
			return err
		}
	}
	if err := makeKeyrings(dir, key, other); err != nil {
		return err
	}
	b, err := image.Sign(imagetest.App(imagetest.Options{Version: "0.2.4"}), other)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "other.bin"), b, 0o600); err != nil {
		return err
	}
	for name, o := range map[string]imagetest.Options{
		"0.1.0.bin":    {Version: "0.1.0"},
		"0.2.0.bin":    {Version: "0.2.0"},
		"0.2.1.bin":    {Version: "0.2.1", Body: make([]byte, 300_000)},
		"0.2.2.bin":    {Version: "0.2.2"},
		"rebuilt.bin":  {Version: "0.2.1", Body: []byte("rebuilt")},
		"0.7.0.bin":    {Version: "0.7.0"},
		"standard.bin": {Version: "0.2.2", Project: "robot-platform-standard"},
		"esp32.bin":    {Version: "0.2.3", Chip: image.ESP32, ChipSet: true},
	} {
		b, err := image.Sign(imagetest.App(o), key)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
		if name == "0.2.0.bin" {
			b[len(b)-50] ^= 1
			if err := os.WriteFile(filepath.Join(dir, "forged.bin"), b, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}
