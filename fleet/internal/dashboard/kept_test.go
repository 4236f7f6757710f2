package dashboard

import (
	"errors"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestKept(t *testing.T) {
	now := storetest.Noon()
	var k kept[int]
	reads := 0
	get := func(takes time.Duration, fails error) (int, error) {
		return k.get(func() time.Time { return now }, func() (int, error) {
			reads++
			now = now.Add(takes)
			return reads, fails
		})
	}
	broken := errors.New("broken")
	if _, err := get(0, broken); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	for _, step := range []struct{ pass, takes, want time.Duration }{
		{0, time.Second, 2},               // what failed is not kept
		{9 * time.Second, 0, 2},           // kept
		{time.Second, 0, 3},               // over
		{0, 0, 4},                         // what costs nothing is read each time
		{0, 100 * time.Millisecond, 5},    //
		{999 * time.Millisecond, 0, 5},    //
		{time.Millisecond, time.Hour, 6},  //
		{9 * time.Hour, 5 * time.Hour, 6}, //
	} {
		now = now.Add(step.pass)
		if got, err := get(step.takes, nil); err != nil || got != int(step.want) {
			t.Errorf("%+v: got %d, %v", step, got, err)
		}
	}
}
