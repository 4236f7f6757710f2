// Package dtls is the simulated firmware's DTLS 1.2 server: it shakes hands
// with whoever has the pre-shared key, and fails to as often as it is told.
//
// It knows nothing of the robot; whoever runs it says whether the firmware is
// up. It has nothing to say after the handshake.
package dtls

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
)

// handshakeTime bounds a handshake and the connection after it.
const handshakeTime = 10 * time.Second

// Config of a server.
type Config struct {
	Address  string // to listen at, host:port
	Identity string
	Key      []byte
	// Up says whether the firmware runs; nil: always. A server that is down
	// answers nobody.
	Up  func() bool
	Log *slog.Logger
}

// Server is a DTLS server. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	listener net.Listener

	mu    sync.Mutex
	rate  float64 // of failures
	debt  float64 // failures owed
	count Count
}

// Count is what the server has seen.
type Count struct {
	Tries    uint64  `json:"tries"`
	Failures uint64  `json:"failures"` // on purpose
	Rate     float64 `json:"rate"`
}

var errOnPurpose = errors.New("fails on purpose")

// Listen opens the server's socket; Serve has to be called.
func Listen(cfg Config) (*Server, error) {
	addr, err := net.ResolveUDPAddr("udp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("DTLS server: %w", err)
	}
	s := &Server{cfg: cfg}
	s.listener, err = dtls.ListenWithOptions("udp", addr,
		dtls.WithPSK(s.key), dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_GCM_SHA256))
	if err != nil {
		return nil, fmt.Errorf("DTLS server: %w", err)
	}
	return s, nil
}

// Addr is where the server listens, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// SetFailures lets a part of the handshakes fail, 0-1, evenly spread: at 0.25
// it is each fourth.
func (s *Server) SetFailures(rate float64) error {
	if !(rate >= 0 && rate <= 1) {
		return fmt.Errorf("failure rate %v: want 0 to 1", rate)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rate, s.debt, s.count.Rate = rate, 0, rate
	return nil
}

// Count is what the server has seen so far.
func (s *Server) Count() Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// key is asked once in each handshake.
func (s *Server) key(identity []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Tries++
	s.debt += s.rate
	if s.debt >= 1-1e-9 {
		s.debt--
		s.count.Failures++
		return nil, errOnPurpose
	}
	if string(identity) != s.cfg.Identity {
		return nil, fmt.Errorf("unknown identity %q", identity)
	}
	return s.cfg.Key, nil
}

// Serve shakes hands until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() {
		<-ctx.Done()
		_ = s.listener.Close()
	})
	for {
		conn, err := s.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("DTLS server: %w", err)
		}
		wg.Go(func() { s.shake(ctx, conn) })
	}
}

// shake does one handshake and waits until the client goes.
func (s *Server) shake(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if s.cfg.Up != nil && !s.cfg.Up() {
		return
	}
	bound, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if c, ok := conn.(*dtls.Conn); ok {
		if err := c.HandshakeContext(bound); err != nil {
			s.cfg.Log.Debug("DTLS handshake", "with", conn.RemoteAddr(), "err", err)
			return
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(handshakeTime))
	var b [64]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			return
		}
	}
}
