package image

import (
	"crypto/sha256"
	"fmt"
	"io"
)

// headSize is the app header, the first segment's header, and the app
// description at the start of the first segment.
const headSize = appHeaderSize + segHeaderSize + descSize

// ParseOutline reads what an app image says of itself without reading its
// segments: header, segment headers, app description and the appended SHA-256,
// in a few short reads. room is how many bytes the image may take, a
// partition's size. It serves for an image in a chip's flash, over a slow line.
//
// Nothing of it is proved: the segments, checksum and SHA-256 are not looked
// at. What is no app image at all, erased flash for instance, wraps [ErrApp];
// other errors are r's.
func ParseOutline(r io.ReaderAt, room uint32) (App, error) {
	room = min(room, MaxImageSize)
	head := make([]byte, headSize)
	if err := readAt(r, head, 0, room); err != nil {
		return App{}, err
	}
	app, count, err := parseAppHeader(head)
	if err != nil {
		return App{}, err
	}
	if app.Desc, err = parseDesc(head[appHeaderSize+segHeaderSize:]); err != nil {
		return App{}, err
	}
	at := uint32(appHeaderSize)
	seg := head[appHeaderSize:]
	for i := range count {
		if i > 0 {
			seg = seg[:segHeaderSize]
			if err := readAt(r, seg, at, room); err != nil {
				return App{}, err
			}
		}
		at += segHeaderSize
		s, err := parseSegment(seg, i, at, room-at)
		if err != nil {
			return App{}, err
		}
		app.Segments = append(app.Segments, s)
		at += s.Size
	}
	hashed := (at/checksumAlign + 1) * checksumAlign
	if err := readAt(r, app.Digest[:], hashed, room); err != nil {
		return App{}, err
	}
	app.Size = hashed + sha256.Size
	return app, nil
}

// readAt fills b from offset at, which must lie within room.
func readAt(r io.ReaderAt, b []byte, at, room uint32) error {
	if at > room || uint32(len(b)) > room-at {
		return appError("it goes on past the %d bytes that it may take", room)
	}
	if n, err := r.ReadAt(b, int64(at)); n < len(b) {
		return fmt.Errorf("read app image at %#x: %w", at, err)
	}
	return nil
}
