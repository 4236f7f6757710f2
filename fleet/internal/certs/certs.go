// Package certs keeps a server's TLS configuration up with the files that it is
// made of, so that a renewed certificate needs no restart.
//
// A handshake looks at the files, at most once in a few seconds, and reads them
// anew when they have changed. What cannot be used (a certificate without its
// key, half a file) is logged once and changes nothing: the pair that was good
// stays until the files are. TLS is 1.2 or later.
package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// Files names what a server's TLS is made of.
type Files struct {
	Cert, Key string // PEM: the chain, and its private key
	// ClientCA holds the authorities whose client certificates count (PEM); "":
	// none do.
	ClientCA string
}

// often is how often the files are looked at, at most.
const often = 5 * time.Second

// maxFile is the most bytes of a file.
const maxFile = 1 << 20

// Source gives the TLS configuration of each handshake.
type Source struct {
	files Files
	now   func() time.Time
	log   *slog.Logger

	mu     sync.Mutex
	config *tls.Config
	read   [][]byte // what config was made of
	failed [][]byte // what could not be used, and was told
	looked time.Time
}

// New reads the files; an error says what is wrong with them.
func New(files Files, now func() time.Time, log *slog.Logger) (*Source, error) {
	s := &Source{files: files, now: now, log: log, looked: now()}
	read, err := s.contents()
	if err != nil {
		return nil, err
	}
	if s.config, err = s.make(read); err != nil {
		return nil, err
	}
	s.read = read
	return s, nil
}

// Config is the configuration to serve with.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols(),
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.current(), nil
		},
	}
}

// protocols are those of the HTTP server, which sees the outer configuration alone.
func protocols() []string { return []string{"h2", "http/1.1"} }

// current is the configuration of the latest files that could be used. As long
// as they stay the same so does the configuration, and with it sessions resume.
func (s *Source) current() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.looked) >= often || now.Before(s.looked) {
		s.looked = now
		s.renew()
	}
	return s.config
}

// renew takes the files over where they have changed.
func (s *Source) renew() {
	read, err := s.contents()
	if err == nil && same(read, s.read) {
		s.failed = nil
		return
	}
	if err != nil {
		read = [][]byte{[]byte(err.Error())}
	}
	if s.failed != nil && same(read, s.failed) {
		return // it was told
	}
	var config *tls.Config
	if err == nil {
		config, err = s.make(read)
	}
	if err != nil {
		s.failed = read
		s.log.Error("the new certificate cannot be used; the one before stays in use", "err", err)
		return
	}
	s.config, s.read, s.failed = config, read, nil
	s.log.Info("the certificate was renewed", "subject", config.Certificates[0].Leaf.Subject.String(), "until", config.Certificates[0].Leaf.NotAfter)
}

// contents reads the files.
func (s *Source) contents() ([][]byte, error) {
	var out [][]byte
	for _, path := range []string{s.files.Cert, s.files.Key, s.files.ClientCA} {
		var b []byte
		if path != "" {
			info, err := os.Stat(path)
			if err != nil {
				return nil, err
			}
			if info.Size() > maxFile {
				return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
			}
			if b, err = os.ReadFile(path); err != nil {
				return nil, err
			}
		}
		out = append(out, b)
	}
	return out, nil
}

// make builds a configuration of the files' contents.
func (s *Source) make(read [][]byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(read[0], read[1])
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", s.files.Cert, s.files.Key, err)
	}
	if now := s.now(); now.After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("%s: it expired on %s", s.files.Cert, pair.Leaf.NotAfter.Format(time.DateTime))
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols(), Certificates: []tls.Certificate{pair}, Time: s.now}
	if s.files.ClientCA == "" {
		return c, nil
	}
	// Who has no certificate may have a token.
	c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(read[2]) {
		return nil, fmt.Errorf("%s: %w", s.files.ClientCA, errNoAuthority)
	}
	return c, nil
}

var errNoAuthority = errors.New("it holds no certificate (PEM)")

func same(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }
