package store

import (
	"context"
	"fmt"
	"time"
)

// Download is a robot's, or with an address in the robot's place somebody's,
// who asks for a part of an artifact.
type Download struct {
	Taker  string
	SHA256 string
	Size   int64 // of the artifact
	// Resumes says that it does not begin at the first byte.
	Resumes bool
}

// slack is how many times an artifact's size may be sent for each download
// that was counted: what is sent again after a lost connection.
const slack = 2

// CountDownload counts a download, unless the taker has had the limit on this
// day (UTC) already: false. One that resumes what was begun today or yesterday
// is counted already, as long as not more was sent than such a thing explains.
func (tx *Tx) CountDownload(ctx context.Context, d Download, limit int) (bool, error) {
	at := tx.now().UTC()
	today := day(at)
	if d.Resumes {
		// The row of the download that goes on, which keeps counting its bytes.
		n, err := changed(ctx, tx.q, `UPDATE downloads SET last = $5 WHERE taker = $1 AND sha256 = $2 AND bytes < count * $6
			AND day = (SELECT max(day) FROM downloads WHERE taker = $1 AND sha256 = $2 AND day >= $3 AND day <= $4)`,
			d.Taker, d.SHA256, today-1, today, stamp(at), slack*d.Size)
		if err != nil || n > 0 {
			return n > 0, err
		}
	}
	had, err := number(ctx, tx.q, `SELECT COALESCE(sum(count), 0) FROM downloads WHERE taker = $1 AND day = $2`, d.Taker, today)
	if err != nil || had >= int64(limit) {
		return false, err
	}
	return true, exec(ctx, tx.q, `INSERT INTO downloads (taker, day, sha256, count, bytes, first, last) VALUES ($1, $2, $3, 1, 0, $4, $4)
		ON CONFLICT (taker, day, sha256) DO UPDATE SET count = downloads.count + 1, last = excluded.last`, d.Taker, today, d.SHA256, stamp(at))
}

// CountBytes adds what was sent to the download that it belongs to.
func (tx *Tx) CountBytes(ctx context.Context, taker, sha256 string, bytes int64) error {
	today := day(tx.now())
	return exec(ctx, tx.q, `UPDATE downloads SET bytes = bytes + $5 WHERE taker = $1 AND sha256 = $2
		AND day = (SELECT max(day) FROM downloads WHERE taker = $1 AND sha256 = $2 AND day >= $3 AND day <= $4)`, taker, sha256, today-1, today, bytes)
}

// DownloadsOn counts what a taker has had on the day of a moment.
func (r *Reader) DownloadsOn(ctx context.Context, taker string, t time.Time) (int, error) {
	n, err := number(ctx, r.q, `SELECT COALESCE(sum(count), 0) FROM downloads WHERE taker = $1 AND day = $2`, taker, day(t))
	if err != nil {
		return 0, fmt.Errorf("store: downloads: %w", err)
	}
	return int(n), nil
}

// day counts days in UTC from 1970.
func day(t time.Time) int64 {
	const seconds = 24 * 60 * 60
	return t.Unix() / seconds
}
