package esp32

import (
	"reflect"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/firmware/image"
)

func TestHeldIsPacked(t *testing.T) {
	for _, n := range []int{1, 4095, 4096, 4097, 1_388_912} {
		h := esprom.HeldOf(make([]byte, n))
		if got := unpackHeld(packHeld(h)); !reflect.DeepEqual(got, h) {
			t.Errorf("%d bytes: %d sums of %d bytes came back", n, len(got.Sums), got.Size)
		}
	}
}

func TestHeldThatIsNoneSaysNothing(t *testing.T) {
	whole := packHeld(esprom.HeldOf(make([]byte, 9000)))
	huge := packHeld(esprom.Held{Size: image.MaxImageSize + 1})
	for name, b := range map[string][]byte{"nothing": nil, "too short": whole[:3], "cut": whole[:len(whole)-1], "longer": append(whole, 0), "huge": huge} {
		if h := unpackHeld(b); h.Size != 0 || h.Sums != nil {
			t.Errorf("%s: %+v", name, h)
		}
	}
}
