package httpguard

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

// drip gives its bytes one a second, until the other side has had enough.
func drip(c net.Conn, again string) {
	for {
		for i := range again {
			if _, err := c.Write([]byte(again[i : i+1])); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
}

// TestASlowServerIsLeft: whichever way a server wastes time before its answer
// begins, it gets no more of it than it is granted. In fake time.
func TestASlowServerIsLeft(t *testing.T) {
	pair := selfSigned(t, time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	shake := func(c net.Conn) net.Conn {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
		_, _ = http.ReadRequest(bufio.NewReader(s))
		return s
	}
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		most  time.Duration
	}{
		"it takes the connection, and says nothing":    {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, tlsTimeout},
		"a byte of the handshake now and then":         {func(c net.Conn) { go drip(c, "\x16\x03\x03\x40\x00\x02\x00"); _, _ = io.Copy(io.Discard, c) }, tlsTimeout},
		"a handshake, and no answer":                   {func(c net.Conn) { _, _ = io.Copy(io.Discard, shake(c)) }, headTimeout},
		"a handshake, and a byte of the head at times": {func(c net.Conn) { drip(shake(c), "HTTP/1.1 200 OK\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") }, headTimeout},
		"a handshake, and hints for ever":              {func(c net.Conn) { drip(shake(c), "HTTP/1.1 103 E\r\n\r\n") }, headTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := New(Config{Server: &url.URL{Scheme: "https", Host: "127.0.0.1"}})
				if err != nil {
					t.Fatal(err)
				}
				c.server.TLSClientConfig.RootCAs = x509.NewCertPool()
				c.server.TLSClientConfig.RootCAs.AddCert(pair.Leaf)
				ended := make(chan struct{})
				c.server.DialContext = func(context.Context, string, string) (net.Conn, error) {
					near, far := net.Pipe()
					go func() { defer close(ended); tt.serve(far); _ = far.Close() }()
					return near, nil
				}
				began := time.Now()
				_, err = get(t, c, "https://127.0.0.1/x")
				// TLS says goodbye for 5 s at most, to a pipe that nobody reads.
				if took := time.Since(began); took > tt.most+5*time.Second || took < tt.most-time.Second {
					t.Errorf("it was left after %v, it is granted %v", took, tt.most)
				}
				var u *UnreachableError
				if !errors.As(err, &u) || u.Final() {
					t.Errorf("got %v", err)
				}
				c.CloseIdleConnections()
				<-ended
				time.Sleep(2 * time.Second) // for who drips to notice
			})
		})
	}
}
