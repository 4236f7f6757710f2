package broker

import (
	"net"
	"sync"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// Door is a way into an embedded broker over TCP or TLS, which closes by itself: the server's own
// way looks for the door's clients under a lock that it takes twice, and waits for
// ever where one of them leaves in between (mochi-mqtt v2.7.9, Clients.GetByListener).
type Door struct {
	*listeners.TCP
	mu     sync.Mutex // guards what follows
	shut   bool
	inside map[net.Conn]struct{}
	guests sync.WaitGroup
}

// NewDoor is a listener for mochi's Server.AddListener.
func NewDoor(c listeners.Config) *Door {
	return &Door{TCP: listeners.NewTCP(c), inside: map[net.Conn]struct{}{}}
}

// Serve lets connections in until Close.
func (d *Door) Serve(establish listeners.EstablishFn) {
	d.TCP.Serve(func(id string, conn net.Conn) error {
		if !d.enter(conn) {
			return conn.Close()
		}
		defer d.leave(conn)
		return establish(id, conn)
	})
}

// Close ends the door's connections, and returns when nobody is left.
func (d *Door) Close(listeners.CloseFn) {
	d.TCP.Close(func(string) {})
	d.mu.Lock()
	d.shut = true
	for conn := range d.inside {
		conn.Close() //nolint:errcheck // who is inside sees it
	}
	d.mu.Unlock()
	d.guests.Wait()
}

func (d *Door) enter(conn net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return false
	}
	d.inside[conn] = struct{}{}
	d.guests.Add(1)
	return true
}

func (d *Door) leave(conn net.Conn) {
	d.mu.Lock()
	delete(d.inside, conn)
	d.mu.Unlock()
	d.guests.Done()
}
