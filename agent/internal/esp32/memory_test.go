package esp32_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/esp32"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// An image that waits for the gates is in memory once, and once deflated, which
// is what Prepare keeps.
func TestMemoryOfAPreparedImage(t *testing.T) {
	const besides = 128 << 10
	for _, size := range []int{400_000, 1_900_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			img, err := testimage.Build(testimage.Spec{Version: "0.2.1", Size: size})
			if err != nil {
				t.Fatal(err)
			}
			v := verified(t, img)
			chip := esp32.New(esp32.Config{})
			before := heap()
			if err := chip.Prepare(v); err != nil {
				t.Fatal(err)
			}
			after := heap()
			kept := int(after) - int(before)
			t.Logf("%d KiB of %d", kept>>10, size>>10)
			if most := 3*size/4 + besides; kept > most { // it deflates to less than 3/4
				t.Errorf("%d bytes are kept of an image of %d; want %d at most", kept, size, most)
			}
			runtime.KeepAlive(chip)
			runtime.KeepAlive(v)
			runtime.KeepAlive(img)
		})
	}
}

// heap is what is in use, garbage aside.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
