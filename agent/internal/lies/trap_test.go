package lies

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// trap is something on this computer that no URL from outside may reach. It counts
// who comes.
type trap struct {
	port string
	came atomic.Int32
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	p := &trap{}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, p.port, _ = net.SplitHostPort(l.Addr().String())
	listeners := []net.Listener{l}
	if six, err := net.Listen("tcp6", net.JoinHostPort("::1", p.port)); err == nil {
		listeners = append(listeners, six)
	}
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				p.came.Add(1)
				_ = c.Close()
			}
		})
		t.Cleanup(func() { l.Close() })
	}
	t.Cleanup(wg.Wait)
	t.Cleanup(func() {
		for _, l := range listeners {
			l.Close()
		}
	})
	return p
}

func (p *trap) count() int { return int(p.came.Load()) }

// url is one for the trap, by a host's name in whatever form.
func (p *trap) url(host string) string { return "https://" + host + ":" + p.port + "/" }

// file writes a file of a name of its own.
func (w *world) file(b []byte) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "file")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}
