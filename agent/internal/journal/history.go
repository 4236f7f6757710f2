package journal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// Bounds of one line of the history, and of what is written anew at its end.
const (
	maxLine = 1 << 20
	maxTail = 8 << 20
)

// line is one line of the history file.
type line struct {
	// Before is the SHA-256 of the line before, hex; empty in the first.
	Before string        `json:"before"`
	Record update.Record `json:"record"`
}

// openHistory finds the end of the chain. A last line that a power cut left
// without its end is cut off; anything else that is wrong is left for Verify
// to tell.
func (j *Journal) openHistory() error {
	k, err := j.read()
	if err == nil {
		j.head, j.owed = j.headOf(k), k.Owed
	}
	var sure, whole int64 // bytes up to the head, and up to the last line's end
	torn, held := false, j.head == nil || j.head.Records == 0
	err = j.each(func(l rawLine) error {
		if !l.ended {
			torn = true
			return nil
		}
		whole += l.size
		j.tail = head{j.tail.Records + 1, digest(l.text)}
		j.see(l.text)
		if j.head != nil && j.tail == *j.head {
			sure, held = whole, true
		}
		return nil
	})
	if err != nil {
		return err
	}
	if torn || whole > sure {
		if err := j.mend(max(sure, whole-maxTail), whole); err != nil {
			return fmt.Errorf("mend the end of the history: %w", err)
		}
	}
	if held { // else the memory keeps the head that is missed, for Verify to tell again and again
		j.head = &head{j.tail.Records, j.tail.SHA256}
	}
	return nil
}

// mend takes away what the history holds beyond whole bytes, and makes the
// lines beyond sure bytes durable: the head is about to count them, and a
// killed agent may have left them in memory alone. They are written anew, as a
// sync that failed then would not be repeated by one that is asked for now.
func (j *Journal) mend(sure, whole int64) error {
	f, err := j.disk.OpenFile(j.historyFile(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	lines := make([]byte, whole-sure)
	_, err = f.Seek(sure, io.SeekStart)
	if err == nil {
		_, err = io.ReadFull(f, lines)
	}
	if err == nil {
		_, err = f.Seek(sure, io.SeekStart)
	}
	if err == nil && len(lines) > 0 {
		_, err = f.Write(lines)
	}
	return errors.Join(err, f.Truncate(whole), f.Sync(), f.Close())
}

// add writes one record to the history, durably; mu is held.
func (j *Journal) add(r update.Record) error {
	raw, err := json.Marshal(line{Before: j.tail.SHA256, Record: r})
	if err != nil {
		return fmt.Errorf("encode history: %w", err)
	}
	if err := j.append(raw); err != nil {
		return fmt.Errorf("append to the history: %w", err)
	}
	sound := j.head != nil && *j.head == j.tail
	j.tail = head{j.tail.Records + 1, digest(raw)}
	j.noted(r)
	if sound {
		j.head = &head{j.tail.Records, j.tail.SHA256}
	}
	return nil
}

func (j *Journal) append(raw []byte) error {
	f, err := j.disk.OpenFile(j.historyFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if j.stray != nil {
		if err := f.Truncate(*j.stray); err != nil {
			return errors.Join(err, f.Close())
		}
		j.stray = nil
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil { // what is there must stay
		return errors.Join(err, f.Close())
	}
	_, err = f.Write(append(raw, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err == nil && end == 0 { // else Open has done it
		err = j.disk.SyncDir(j.dir)
	}
	if err != nil { // a full disk must not leave half a line before the next one
		if terr := f.Truncate(end); terr != nil {
			j.stray, err = &end, errors.Join(err, terr)
		}
	}
	return errors.Join(err, f.Close())
}

// History returns the last n records, newest last; all with n ≤ 0. It does not
// judge the chain; Verify does.
func (j *Journal) History(n int) ([]update.Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.records(n)
}

func (f folder) records(n int) ([]update.Record, error) {
	var out []update.Record
	err := f.each(func(raw rawLine) error {
		var l line
		if err := json.Unmarshal(raw.text, &l); err != nil {
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

// rawLine is a line as it stands in the file.
type rawLine struct {
	text  []byte // without its end; of one that is too long, its beginning
	size  int64  // in the file, its end included
	ended bool   // false: the file's last line, and a power cut has left some of it
}

// each calls see with every line.
func (f folder) each(see func(rawLine) error) error {
	file, err := f.disk.Open(f.historyFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 64<<10)
	for {
		l, err := readLine(r)
		if errors.Is(err, io.EOF) && l.size == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the history: %w", err)
		}
		if l.ended && bytes.IndexByte(l.text, 0) >= 0 { // JSON has no such byte: a sector that was not written
			_, err := r.Peek(1)
			l.ended = err == nil
		}
		if serr := see(l); serr != nil {
			return serr
		}
	}
}

// readLine returns one line; io.EOF where its end is missing. Of a line that is
// longer than any that was written it keeps the beginning, which is no JSON.
func readLine(r *bufio.Reader) (rawLine, error) {
	var l rawLine
	for {
		part, err := r.ReadSlice('\n')
		l.size += int64(len(part))
		l.text = append(l.text, part[:min(len(part), maxLine+1-len(l.text))]...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if l.ended = err == nil; l.ended && l.size <= maxLine {
			l.text = l.text[:len(l.text)-1]
		}
		return l, err
	}
}

func digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
