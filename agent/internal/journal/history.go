package journal

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// maxLine bounds one line of the history.
const maxLine = 1 << 20

// line is one line of the history file.
type line struct {
	// Before is the SHA-256 of the line before, hex; empty in the first.
	Before string        `json:"before"`
	Record update.Record `json:"record"`
}

// ErrTampered says that the history is not the one that was written.
var ErrTampered = errors.New("the history has been changed")

func (j *Journal) history() string { return filepath.Join(j.dir, "history.jsonl") }

// openHistory finds the end of the chain. A last line that a power cut left
// without its end is cut off; anything else that is wrong is left for Verify
// to tell.
func (j *Journal) openHistory() error {
	whole, torn := int64(0), false
	err := j.each(func(raw []byte, ended bool) error {
		if !ended {
			torn = true
			return nil
		}
		whole += int64(len(raw)) + 1
		j.tail = digest(raw)
		return nil
	})
	if err != nil {
		return err
	}
	if torn {
		if err := os.Truncate(j.history(), whole); err != nil {
			return fmt.Errorf("mend the history's torn last line: %w", err)
		}
	}
	return nil
}

// Record appends one update to the history, durably.
func (j *Journal) Record(r update.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	raw, err := json.Marshal(line{Before: j.tail, Record: r})
	if err != nil {
		return fmt.Errorf("encode history: %w", err)
	}
	f, err := os.OpenFile(j.history(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("append to the history: %w", err)
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Write(append(raw, '\n'))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil { // a full disk must not leave half a line before the next one
		err = errors.Join(err, f.Truncate(end))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("append to the history: %w", err)
	}
	j.tail = digest(raw)
	return nil
}

// History returns the last n records, newest last; all with n ≤ 0. It does not
// judge the chain; Verify does.
func (j *Journal) History(n int) ([]update.Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []update.Record
	err := j.each(func(raw []byte, _ bool) error {
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			return nil //nolint:nilerr // Verify tells of damaged lines; the others are still worth reading
		}
		out = append(out, l.Record)
		if n > 0 && len(out) > n {
			out = out[1:]
		}
		return nil
	})
	return out, err
}

// Verify walks the chain and returns how many records it holds; ErrTampered
// with the number of the first line that does not fit.
func (j *Journal) Verify() (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	count, before := 0, ""
	err := j.each(func(raw []byte, ended bool) error {
		count++
		var l line
		switch err := json.Unmarshal(raw, &l); {
		case err != nil:
			return fmt.Errorf("%w: line %d of %s: %w", ErrTampered, count, j.history(), err)
		case !ended:
			return fmt.Errorf("%w: line %d of %s has no end", ErrTampered, count, j.history())
		case l.Before != before:
			return fmt.Errorf("%w: line %d of %s does not follow from the line before", ErrTampered, count, j.history())
		}
		before = digest(raw)
		return nil
	})
	return count, err
}

// each calls f with every line; ended is false for a last one without its end.
func (j *Journal) each(f func(raw []byte, ended bool) error) error {
	file, err := os.Open(j.history())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 64<<10)
	for {
		raw, err := readLine(r)
		if errors.Is(err, io.EOF) && len(raw) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the history: %w", err)
		}
		if ferr := f(raw, err == nil); ferr != nil {
			return ferr
		}
	}
}

// readLine returns one line without its end, at most maxLine bytes of it;
// io.EOF where the end is missing.
func readLine(r *bufio.Reader) ([]byte, error) {
	var raw []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(raw)+len(part) > maxLine {
			return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
		raw = append(raw, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err == nil {
			raw = raw[:len(raw)-1]
		}
		return raw, err
	}
}

func digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
