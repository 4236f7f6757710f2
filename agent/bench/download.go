package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/robot-platform/robot-ota/agent/internal/fetch"
	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/internal/bounded"
	"github.com/robot-platform/robot-ota/internal/delta"
	"github.com/robot-platform/robot-ota/internal/delta/deltatest"
)

// patchMark is the share of the image that a patch between neighbouring releases
// may have, in percent.
const patchMark = 15

// release is two neighbouring ones of a firmware.
type release struct {
	name          string
	before, after []byte // signed files
}

// download measures the bytes of updates.
func download(ctx context.Context, o options, out io.Writer) ([]row, error) {
	all, err := releases(o)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, r := range all {
		if !strings.Contains(r.name, o.only) {
			continue
		}
		fmt.Fprintf(out, "download: %s\n", r.name)
		measured, err := r.measure(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		rows = append(rows, measured...)
	}
	return rows, nil
}

// releases are those that are measured.
func releases(o options) ([]release, error) {
	if o.firmware != "" {
		return realReleases(o.firmware)
	}
	const functions = 3900 // about the size of the other parts' image
	signed := func(s deltatest.Spec) []byte {
		s.Functions = functions
		return append(make([]byte, image.HeaderSize), deltatest.App(s)...) // nobody asks for the signature here
	}
	before := signed(deltatest.Spec{Version: "0.2.0"})
	var all []release
	for _, c := range []struct {
		name             string
		grown, rewritten int
	}{
		{"version only", 0, 0},
		{"small change: 3 functions of 3,900", 3, 0},
		{"a release: 60 functions changed, 20 new", 60, 20},
		{"large change: 8 % changed, 4 % new", functions * 8 / 100, functions * 4 / 100},
	} {
		all = append(all, release{c.name, before, signed(deltatest.Spec{Version: "0.2.1", Grown: c.grown, Rewritten: c.rewritten})})
	}
	return all, nil
}

// realReleases are the files of a folder, by name.
func realReleases(dir string) ([]release, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []release
	var last []byte
	for _, e := range entries {
		b, err := bounded.File(filepath.Join(dir, e.Name()), image.MaxImageSize)
		if err != nil {
			return nil, err
		}
		if b = append(make([]byte, image.HeaderSize), b...); last != nil {
			all = append(all, release{e.Name(), last, b})
		}
		last = b
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("-firmware %s: want two files or more", dir)
	}
	return all, nil
}

// measure gives the rows of one.
func (r release) measure(ctx context.Context) ([]row, error) {
	began := time.Now()
	patch, err := delta.Make(ctx, r.before, r.after)
	if err != nil {
		return nil, err
	}
	made := time.Since(began)
	by, took, err := r.fetch(ctx, patch)
	if err != nil {
		return nil, err
	}
	whole, _, err := r.fetch(ctx, nil)
	if err != nil {
		return nil, err
	}
	dict, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderDictRaw(1, r.before), zstd.WithWindowSize(8<<20))
	if err != nil {
		return nil, err
	}
	packed := int64(len(dict.EncodeAll(r.after, nil))) + by - int64(len(patch)) // with the same TLS and headers
	if err := dict.Close(); err != nil {
		return nil, err
	}
	share := 100 * float64(len(patch)) / float64(len(r.after))
	met := "met"
	if share > patchMark {
		met = "missed"
	}
	return []row{
		{Case: r.name, Who: "agent, by patch", Unit: "B", Values: []float64{float64(by)},
			More: []figure{{Name: "patch", Value: float64(len(patch)), Unit: "B"}, {Name: "made in", Value: made.Seconds(), Unit: "s"}, {Name: "fetched and rebuilt in", Value: took.Seconds(), Unit: "s"}},
			Mark: fmt.Sprintf("%d %% of the image, %.2f %%: %s", patchMark, share, met)},
		{Case: r.name, Who: "agent, whole", Unit: "B", Values: []float64{float64(whole)}},
		{Case: r.name, Who: "Zstandard with dictionary", Unit: "B", Values: []float64{float64(packed)}},
	}, nil
}

// fetch gives the bytes that came until the agent has the image, by the patch
// unless it is nil, and how long that took.
func (r release) fetch(ctx context.Context, patch []byte) (came int64, took time.Duration, err error) {
	dir, err := os.MkdirTemp("", "robot-ota-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b := r.after
		if q.URL.Path == "/patch" {
			b = patch
		}
		w.Header().Set("ETag", `"`+digest(b)+`"`)
		http.ServeContent(w, q, "", time.Time{}, strings.NewReader(string(b)))
	}))
	var sent atomic.Int64
	server.Listener = counting{server.Listener, &sent}
	server.StartTLS()
	defer server.Close()
	store, err := r.store(dir, server)
	if err != nil {
		return 0, 0, err
	}
	offer := fetch.Offer{URL: server.URL + "/whole", SHA256: digest(r.after), Size: int64(len(r.after))}
	if patch != nil {
		p := &offer.Patch
		p.URL, p.SHA256, p.Size, p.From = server.URL+"/patch", digest(patch), int64(len(patch)), digest(r.before)
	}
	began := time.Now()
	got, err := store.Fetch(ctx, offer, func(int64, int64) {})
	switch {
	case err != nil:
		return 0, 0, err
	case got.Patched != (patch != nil):
		return 0, 0, fmt.Errorf("fetched %+v", got)
	}
	return sent.Load(), time.Since(began), nil
}

// store is an agent's, with the release before in it.
func (r release) store(dir string, server *httptest.Server) (*fetch.Client, error) {
	ca := filepath.Join(dir, "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, cert, 0o600); err != nil {
		return nil, err
	}
	u, err := url.Parse(server.URL)
	if err != nil {
		return nil, err
	}
	guard, err := httpguard.New(httpguard.Config{Server: u, CAFile: ca})
	if err != nil {
		return nil, err
	}
	images := filepath.Join(dir, "images")
	c, err := fetch.New(fetch.Config{Dir: images, Patches: true}, guard, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return c, os.WriteFile(filepath.Join(images, digest(r.before)+".img"), r.before, 0o600)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// counting counts what is sent on its connections.
type counting struct {
	net.Listener
	sent *atomic.Int64
}

// Accept waits for the next connection.
func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return counted{c, l.sent}, nil
}

type counted struct {
	net.Conn
	sent *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	return n, err
}
