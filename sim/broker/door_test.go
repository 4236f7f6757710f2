package broker

import (
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// A door closes without the server's help, which may wait for ever: it ends the
// connections itself, returns when nobody is inside, and lets nobody in from then on.
func TestDoorClosesByItself(t *testing.T) {
	d := NewDoor(listeners.Config{ID: "x", Address: "127.0.0.1:0"})
	if err := d.Init(slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	var inside atomic.Int32
	entered, served := make(chan struct{}, 10), make(chan struct{})
	stay := func(_ string, conn net.Conn) error {
		inside.Add(1)
		defer inside.Add(-1)
		entered <- struct{}{}
		_, err := io.Copy(io.Discard, conn)
		return err
	}
	go func() { defer close(served); d.Serve(stay) }()
	for range cap(entered) {
		conn, err := net.Dial("tcp", d.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // the door has closed it
	}
	for range cap(entered) {
		<-entered
	}
	d.Close(func(string) { t.Error("the server is asked for the door's clients") })
	if n := inside.Load(); n != 0 {
		t.Errorf("%d are still inside", n)
	}
	<-served
	a, b := net.Pipe()
	defer b.Close() //nolint:errcheck // the other end of a pipe
	if d.enter(a) {
		t.Error("somebody came in after it was closed")
	}
}
