package killtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/link"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// plant is what all rigs have in common.
type plant struct {
	flash  []byte // with 0.2.0 in factory
	signed []byte // 0.2.1
	sum    string
	key    string // DER in base64
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	build := func(version string) []byte {
		img, err := testimage.Build(testimage.Spec{Version: version, Size: 48 << 10})
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	flash, err := espsim.Provision(espsim.DefaultFlashSize, 0, map[string][]byte{"factory": build("0.2.0")})
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := image.NewKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := image.Sign(build("0.2.1"), private)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(signed)
	return &plant{flash: flash, signed: signed, sum: hex.EncodeToString(sum[:]), key: base64.StdEncoding.EncodeToString(public.DER())}
}

// rig is a chip, its line, an update server, and the agent's folder.
type rig struct {
	*plant
	chip *espsim.Chip
	wire *wire
	task task
}

func newRig(t *testing.T, p *plant) *rig {
	t.Helper()
	chip, err := espsim.New(espsim.Config{Flash: bytes.Clone(p.flash), Rollback: true, Unpaced: true,
		AppStart: 30 * time.Millisecond, SelfTest: 50 * time.Millisecond, Restart: 30 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	line, err := link.ListenRFC2217(ctx, chip, "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = line.Serve(ctx) })
	wire, err := newWire(line.Addr())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{plant: p, chip: chip, wire: wire}
	world := httptest.NewServer(r)
	t.Cleanup(func() {
		_ = wire.Close()
		cancel()
		wg.Wait()
		chip.Close()
		wire.wg.Wait()
		world.Close()
	})
	dir := t.TempDir()
	r.task = task{State: filepath.Join(dir, "state"), Locks: dir, Line: wire.Addr().String(), World: world.URL, Key: p.key}
	return r
}

// ServeHTTP is the update server, and the robot that says how it is.
func (r *rig) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case req.URL.Path == "/robot":
		_ = json.NewEncoder(w).Encode(r.chip.App())
	case req.URL.Path == "/v1/check" && req.URL.Query().Get("version") != "0.2.1":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"version": "0.2.1", "url": "https://updates.example/v1/artifacts/" + r.sum, "sha256": r.sum, "size": len(r.signed), "protocol": 1, "release": "standard-0.2.1",
		})
	case req.URL.Path == "/v1/check":
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("ETag", `"`+r.sum+`"`)
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(r.signed))
	}
}

// point is where an agent dies.
type point struct {
	op   int // on a file, from 1
	byte int // to the chip, from 1; with both 0 it lives on
}

func (p point) String() string {
	if p.byte > 0 {
		return fmt.Sprintf("byte %d", p.byte)
	}
	return fmt.Sprintf("operation %d", p.op)
}

// life lets an agent live until it dies at p, or its update has ended. killed
// says which.
func (r *rig) life(ctx context.Context, p point) (res result, killed bool, err error) {
	t := r.task
	t.Die = p.op
	raw, err := json.Marshal(t)
	if err != nil {
		return res, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(raw))
	cmd.Stdout, cmd.Stderr = &out, &complaints
	started := make(chan struct{})
	r.wire.arm(p.byte, func() {
		<-started
		_ = cmd.Process.Kill()
	})
	if err := cmd.Start(); err != nil {
		return res, false, err
	}
	close(started)
	err = cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL && ctx.Err() == nil {
		return res, true, nil
	}
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &res)
	}
	if err == nil && res.Err != "" {
		err = fmt.Errorf("the agent: %s", res.Err)
	}
	if err != nil {
		err = fmt.Errorf("%w %.2000s", err, complaints.String())
	}
	return res, false, err
}

// judge holds what the robot is in the end against what the agent says.
func (r *rig) judge(ctx context.Context, res result) error {
	version, slot, state := "0.2.0", "factory", ""
	switch res.Outcome {
	case update.Confirmed:
		version, slot, state = "0.2.1", "ota_0", "valid"
	case update.Failed, update.RolledBack:
	default:
		return fmt.Errorf("the update ended as %q", res.Outcome)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	a, err := r.chip.WaitApp(ctx, func(a espsim.AppStatus) bool {
		return a.Running && a.Version == version && a.Slot == slot && (state == "" || a.OTAState == state)
	})
	if err != nil {
		return fmt.Errorf("%s, and the chip runs %+v", res.Outcome, a)
	}
	if rep := r.chip.Report(); rep.NextBoot != slot {
		return fmt.Errorf("%s, and %q boots next", res.Outcome, rep.NextBoot)
	}
	v := journal.Look(r.task.State)
	audit, err := v.Verify()
	if err != nil || audit.Records != 1 || audit.Torn {
		return fmt.Errorf("the history: %+v, %w", audit, err)
	}
	return r.stored()
}

// stored looks for files in the store that are not what they are called.
func (r *rig) stored() error {
	files, err := filepath.Glob(filepath.Join(r.task.State, "images", "*.img"))
	if err != nil {
		return err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != strings.TrimSuffix(filepath.Base(file), ".img") {
			return fmt.Errorf("%s is another file", file)
		}
	}
	return nil
}
