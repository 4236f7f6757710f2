package fetch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk"
)

func TestFullDisk(t *testing.T) {
	a := content(400_000, 1)
	for name, offer := range map[string]Offer{"size from the offer": {Size: int64(len(a))}, "size from the server": {}} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, full(a, ""))
			c := s.client(t, Config{Disk: disk.On(layer{Layer: disk.Disk{}, free: func() int64 { return 1_400_000 }})})
			offer.URL = s.URL
			_, _, err := c.Download(t.Context(), offer, nil)
			want := "not enough disk space in " + c.cfg.Dir + ": 1.4 MiB needed (reserve included), 1.3 MiB free; make room there"
			if err == nil || err.Error() != want || codeOf(err) != "disk_full" {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if n := len(s.ranges()); offer.Size > 0 && n != 0 {
				t.Errorf("%d requests were made", n)
			}
			if left := names(t, c.cfg.Dir); len(left) != 0 {
				t.Errorf("left in the store: %v", left)
			}
		})
	}
}

func TestOldImagesGiveWay(t *testing.T) {
	a := content(400_000, 1)
	s := serve(t, full(a, ""))
	old := filepath.Join(t.TempDir(), strings.Repeat("ab", 32)+imageEnd)
	c := s.client(t, Config{Dir: filepath.Dir(old), Disk: disk.On(layer{Layer: disk.Disk{}, free: func() int64 {
		if _, err := os.Stat(old); err == nil {
			return 0
		}
		return 1 << 30
	}})})
	if err := os.WriteFile(old, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	download(t, c, s, a)
	if _, err := os.Stat(old); err == nil {
		t.Error("the old image is still there")
	}
}

// layer is this computer's disk, with another idea of what is free.
type layer struct {
	disk.Layer
	free func() int64
	file func(disk.File) disk.File // nil: as they are
}

func (l layer) Free(string) (int64, error) { return l.free(), nil }

func (l layer) OpenFile(path string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := l.Layer.OpenFile(path, flag, perm)
	if err == nil && l.file != nil {
		f = l.file(f)
	}
	return f, err
}

// failing is a file on a disk that fills up, or breaks, after n bytes.
type failing struct {
	disk.File
	n     *int
	write error
	sync  error
}

func (f failing) Write(b []byte) (int, error) {
	if *f.n -= len(b); *f.n < 0 && f.write != nil {
		half, err := f.File.Write(b[:len(b)/2])
		return half, errors.Join(err, f.write)
	}
	return f.File.Write(b)
}

func (f failing) Sync() error {
	if f.sync != nil {
		return f.sync
	}
	return f.File.Sync()
}

func TestDiskFailsDuringTheDownload(t *testing.T) {
	a := content(600_000, 1)
	for name, tt := range map[string]struct {
		write, sync error
		code        string
		want        string
		kept        bool
	}{
		"full":       {write: syscall.ENOSPC, code: "disk_full", want: "1.0 MiB free; make room there (no space left on device)"},
		"quota":      {write: syscall.EDQUOT, code: "disk_full", want: "(disk quota exceeded)"},
		"full later": {sync: syscall.ENOSPC, code: "disk_full", want: "(no space left on device)"},
		"broken":     {write: syscall.EIO, want: "keep the download: input/output error", kept: true},
		"lost":       {sync: syscall.EIO, want: "keep the download: input/output error", kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, full(a, ""))
			left, asks := 300_000, 0
			c := s.client(t, Config{Disk: disk.On(layer{Layer: disk.Disk{},
				free: func() int64 {
					if asks++; asks < 3 {
						return 1 << 40
					}
					return 1 << 20
				},
				file: func(f disk.File) disk.File { return failing{f, &left, tt.write, tt.sync} },
			})})
			_, _, err := c.Download(t.Context(), Offer{URL: s.URL}, nil)
			if err == nil || codeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v (%s), want %s: %s", err, codeOf(err), tt.code, tt.want)
			}
			if n := len(s.ranges()); n != 1 {
				t.Errorf("%d requests; a broken disk is no reason to ask again", n)
			}
			parts := slices.ContainsFunc(names(t, c.cfg.Dir), func(n string) bool { return strings.HasSuffix(n, partEnd) })
			if parts != tt.kept {
				t.Errorf("left in the store: %v", names(t, c.cfg.Dir))
			}
		})
	}
}
