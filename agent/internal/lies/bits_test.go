package lies

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// TestEveryBit flips each bit of a signed image of 64 KiB and a header, and cuts
// it after each byte: as a broken line would leave it, and with the header, which
// nobody signs, made to fit again, as an attacker would. Without
// ROBOT_OTA_PROOF=full it is each 97th bit and each 13th byte.
func TestEveryBit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.signed(testimage.Spec{Version: "0.2.1", Size: 64 << 10})
	keys := image.NewKeyring(w.keys[0].Public, w.keys[1].Public)
	if _, err := image.Verify(file, keys, image.Policy{Chip: image.ESP32S3}); err != nil {
		t.Fatal(err)
	}
	bit, length := 97, 13
	if os.Getenv("ROBOT_OTA_PROOF") == "full" {
		bit, length = 1, 1
	}
	flips := &trial{t: t, keys: keys}
	each(8*len(file), bit, func(i int) {
		b := bytes.Clone(file)
		b[i/8] ^= 1 << (i % 8)
		flips.refuse("flipped", i, b)
		if i/8 >= image.HeaderSize {
			flips.refuse("flipped, and the header made to fit", i, fitted(b))
		}
	})
	report(t, flips.figures("lies: each bit of a signed image flipped"))
	cuts := &trial{t: t, keys: keys}
	each(len(file), length, func(n int) {
		cuts.refuse("cut", n, file[:n])
		if n > image.HeaderSize {
			cuts.refuse("cut, and the header made to fit", n, fitted(bytes.Clone(file[:n])))
		}
	})
	report(t, cuts.figures("lies: a signed image cut after each byte"))
	t.Logf("%d flips, %d cuts", flips.told.Load(), cuts.told.Load())
}

// fitted has the header say the size and the hash of what follows it.
func fitted(b []byte) []byte {
	sum := sha256.Sum256(b[image.HeaderSize:])
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-image.HeaderSize))
	copy(b[12:44], sum[:])
	return b
}

// trial counts what is told, and what of it is taken.
type trial struct {
	t           *testing.T
	keys        image.Keyring
	told, taken atomic.Int64
}

func (f *trial) refuse(how string, at int, b []byte) {
	f.told.Add(1)
	v, err := image.Verify(b, f.keys, image.Policy{Chip: image.ESP32S3})
	var refused *image.Refused
	if !errors.As(err, &refused) || !v.IsZero() {
		f.taken.Add(1)
		f.t.Errorf("%s at %d: accepted (%v)", how, at, err)
	}
}

func (f *trial) figures(part string) figures {
	return figures{Part: part, Points: int(f.told.Load()), Accepted: int(f.taken.Load()), Failures: int(f.taken.Load())}
}

// each calls f with 0, step, 2*step, … below n, on all processors.
func each(n, step int, f func(int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)-1) * step
				if i >= n {
					return
				}
				f(i)
			}
		})
	}
	wg.Wait()
}
