// Package patcher makes the patches with which robots rebuild a new image from
// the one that they keep.
//
// A patch decides about bytes and about nothing else: robots verify what comes of
// it as if it had come whole, and take the whole where there is none. So whatever
// goes wrong here is told, and keeps nobody from an update. Patches are no
// targets of signed metadata, for the same reason: the images that they make are.
//
// Which ones are made follows from the releases and from what robots say they
// run; both change. Each look makes what is missing and removes what nobody will
// be offered any more. Two servers that do so at once do the same work twice, and
// no harm: a patch is named by its content.
package patcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/delta"
)

// Bounds of what is made.
const (
	// maxBases is from how many versions there are patches to one.
	maxBases = 8
	// maxShare of the image's size may a patch have: beyond it is not worth the
	// robot's work and this server's disk.
	maxShare = 0.5
	// maxTime is how long the making of one may take.
	maxTime = 2 * time.Minute
)

// Store is what is needed of the fleet's memory.
type Store interface {
	Releases(ctx context.Context) ([]release.Release, error)
	CountVersions(ctx context.Context) ([]store.VersionCount, error)
	Patches(ctx context.Context) ([]store.Patch, error)
	KeepPatch(ctx context.Context, p store.Patch, file []byte) error
	DropPatch(ctx context.Context, p store.Patch) error
	OpenArtifact(ctx context.Context, sum string) (io.ReadSeekCloser, error)
}

// Made is a patch that was made.
type Made struct {
	From, To release.Release
	Size     int64
	Kept     bool // it is small enough
	Took     time.Duration
	Err      error // why there is none
}

// String is a line for people.
func (m Made) String() string {
	what := fmt.Sprintf("patch %s → %s", m.From.Name, m.To.Version)
	switch share := 100 * float64(m.Size) / float64(m.To.Size); {
	case m.Err != nil:
		return fmt.Sprintf("%s: none, robots take the whole image: %v", what, m.Err)
	case !m.Kept:
		return fmt.Sprintf("%s: not kept, it would have %.0f %% of the image", what, share)
	default:
		return fmt.Sprintf("%s: %d bytes, %.1f %% of the image", what, m.Size, share)
	}
}

// Look makes the patches that are missing, one after the other, tells of each,
// and removes those that are of no use any more. It needs memory for one pair of
// images. Its error says that it could not look.
func Look(ctx context.Context, s Store, tell func(Made)) error {
	releases, err := s.Releases(ctx)
	if err != nil {
		return err
	}
	running, err := s.CountVersions(ctx)
	if err != nil {
		return err
	}
	made, err := s.Patches(ctx)
	if err != nil {
		return err
	}
	for _, p := range useless(releases, made) {
		if err := s.DropPatch(ctx, p); err != nil {
			return err
		}
	}
	there := map[[2]string]bool{}
	for _, p := range made {
		there[[2]string{p.From, p.To}] = true
	}
	for _, w := range wanted(releases, running, maxBases) {
		if there[[2]string{w.from.SHA256, w.to.SHA256}] {
			continue
		}
		m := w.make(ctx, s)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		tell(m)
	}
	return nil
}

// make makes a patch, and keeps it where it is small.
func (w pair) make(ctx context.Context, s Store) Made {
	began := time.Now()
	m := Made{From: w.from, To: w.to}
	m.Err = func() error {
		base, err := read(ctx, s, w.from)
		if err != nil {
			return err
		}
		result, err := read(ctx, s, w.to)
		if err != nil {
			return err
		}
		p := store.Patch{From: w.from.SHA256, To: w.to.SHA256}
		file, err := tried(ctx, base, result)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = s.KeepPatch(ctx, p, nil) // it would take as long the next time
			return errors.Join(fmt.Errorf("it takes longer than %v to make", maxTime), err)
		}
		if err != nil {
			return err
		}
		m.Size = int64(len(file))
		m.Kept = float64(m.Size) <= maxShare*float64(w.to.Size)
		if p.Size = m.Size; !m.Kept {
			file = nil
		}
		return s.KeepPatch(ctx, p, file)
	}()
	m.Took = time.Since(began)
	return m
}

// tried makes a patch in bounded time, and sees that it works.
func tried(ctx context.Context, base, result []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	file, err := delta.Make(ctx, base, result)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := delta.Apply(ctx, &out, base, file); err != nil {
		return nil, fmt.Errorf("it does not work: %w", err)
	}
	if !bytes.Equal(out.Bytes(), result) {
		return nil, errors.New("it makes another image")
	}
	return file, nil
}

func read(ctx context.Context, s Store, r release.Release) (b []byte, err error) {
	f, err := s.OpenArtifact(ctx, r.SHA256)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err = io.ReadAll(io.LimitReader(f, image.HeaderSize+image.MaxImageSize+1))
	if err == nil && int64(len(b)) != r.Size {
		err = fmt.Errorf("the file of %s has %d bytes instead of %d", r.Name, len(b), r.Size)
	}
	return b, err
}
