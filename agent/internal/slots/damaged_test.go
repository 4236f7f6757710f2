package slots_test

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// otadata is where the fleet's partition table has the OTA data.
const otadata = 0x18000

// choose writes an OTA data entry that is VALID.
func choose(flash []byte, entry int, seq uint32) {
	e := flash[otadata+entry*0x1000:]
	binary.LittleEndian.PutUint32(e, seq)
	binary.LittleEndian.PutUint32(e[24:], uint32(flashmap.Valid))
	binary.LittleEndian.PutUint32(e[28:], crc32.Update(0xFFFFFFFF, crc32.IEEETable, e[:4]))
}

// The OTA data choose ota_1, whose app is damaged, and so the bootloader falls
// back on ota_0. The update goes to ota_1 and must be possible.
func TestTheChosenSlotIsDamaged(t *testing.T) {
	flash := provision(t, map[string][]byte{"ota_0": app(t, testimage.Spec{Version: "0.2.0"})})
	choose(flash, 0, 1)
	choose(flash, 1, 2)
	bubble(t, espsim.Config{Flash: flash, Rollback: true}, func(t *testing.T, r robot) {
		if st := r.running(); st.Slot != "ota_0" {
			t.Fatalf("the simulator runs %+v", st)
		}
		d, s := r.device()
		v := verified(t, app(t, testimage.Spec{Version: "0.2.1"}))
		if err := update(t.Context(), d, ota0, ota1, v); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if st := r.healthy(); st.Slot != "ota_1" || st.Version != "0.2.1" {
			t.Errorf("it runs %+v", st)
		}
	})
}
