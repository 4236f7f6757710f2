package link

import (
	"io"
	"net"
	"testing"

	"github.com/robot-platform/robot-ota/sim/espsim"
)

// discarding is a client of a chip without power, whose answers go nowhere.
func discarding(t *testing.T) *client {
	t.Helper()
	chip, err := espsim.New(espsim.Config{FlashSize: 1 << 20, Unpaced: true})
	if err != nil {
		t.Fatal(err)
	}
	chip.PowerCut()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, theirs)
	}()
	t.Cleanup(func() {
		_ = ours.Close()
		<-done
		_ = theirs.Close()
		chip.Close()
	})
	return &client{conn: ours, port: chip.Open(), baud: 115200, enabled: map[[2]byte]bool{}}
}
