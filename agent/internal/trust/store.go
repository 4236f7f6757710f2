package trust

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// Config says what the robot is configured to trust, and where the rest is
// kept.
type Config struct {
	Dir  string // the state directory
	Base keyring.Base
	Disk disk.Disk
}

// Store owns the ring in force. Its methods may be called from any goroutine.
type Store struct {
	file file
	log  *slog.Logger

	mu       sync.Mutex
	ring     keyring.Ring
	accepted accepted // the document in force, zero: none
	damaged  *DamagedError
	refused  *keyring.Refusal
}

// Open reads the accepted document. A damaged one is no error of Open: the
// agent has other work than to install. Then nobody is trusted.
func Open(cfg Config, log *slog.Logger) (*Store, error) {
	f := newFile(cfg.Disk, cfg.Dir)
	if err := f.Prepare(); err != nil {
		return nil, err
	}
	return open(f, cfg.Base, log)
}

func open(f file, base keyring.Base, log *slog.Logger) (*Store, error) {
	s := &Store{file: f, log: log, ring: keyring.NewRing(base)}
	a, mended, err := f.load()
	if errors.As(err, &s.damaged) {
		s.ring = keyring.NewRing(keyring.Base{Threshold: base.Threshold, Lists: base.Lists})
		log.Error("no key is trusted", "err", err)
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if mended != nil {
		log.Warn("one of the two copies of the accepted keyring was not as it should be; the other counts", "err", mended)
	}
	if !a.doc.IsZero() {
		s.ring, s.accepted = keyring.Resume(base, a.doc), a
	}
	return s, nil
}

// Ring is whose signatures count now.
func (s *Store) Ring() image.Keyring {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring.Trusted()
}

// Report is what is in force, for people and machines.
func (s *Store) Report() keyring.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.ring.Report()
	if a := s.accepted; !a.doc.IsZero() {
		p.Accepted, p.From = &a.at, a.from
	}
	p.Refused = s.refused
	if s.damaged != nil {
		p.Damaged = s.damaged.Error()
	}
	return p
}

// Update takes a document that an operator brings; from says who. False: it is
// in force already. What is refused is a *keyring.Refused or a *DamagedError,
// and changes nothing.
func (s *Store) Update(document []byte, from string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.follow([][]byte{document}, from)
}

// Wants says whether the update server's document of that version is to be
// asked for, and after which version its documents are news; 0: it has none.
func (s *Store) Wants(version uint64) (after uint64, wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damaged == nil && s.ring.Newer(version) {
		return s.ring.Document().Version(), true
	}
	s.refused = nil // whatever was refused, the server no longer has it
	return 0, false
}

// Take takes documents of the update server, oldest first, from that address.
// When the last is refused it is logged once and reported until the server has
// another one.
func (s *Store) Take(documents [][]byte, from string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.follow(documents, from); err != nil {
		s.refuse(err, from)
	}
}

// Missed notes that the update server has a newer document and did not hand it
// out.
func (s *Store) Missed(from string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse(err, from)
}

// refuse notes a document of the update server that is not taken. The caller
// holds mu.
func (s *Store) refuse(err error, from string) {
	r := &keyring.Refusal{At: time.Now(), From: from, Code: code(err), Text: err.Error()}
	if before := s.refused; before != nil && before.Code == r.Code && before.Text == r.Text && before.From == r.From {
		return // it was logged then
	}
	s.refused = r
	s.log.Warn("the update server's keyring is not taken", "from", from, "code", r.Code, "attack", r.Code.Attack(), "err", err)
}

// notTaken is the code of what has none.
const notTaken keyring.Code = "keyring_not_taken"

func code(err error) keyring.Code {
	var r *keyring.Refused
	if errors.As(err, &r) {
		return r.Code
	}
	var coded interface{ Code() string }
	if errors.As(err, &coded) && coded.Code() != "" {
		return keyring.Code(coded.Code())
	}
	return notTaken
}

// follow puts into force what the ring accepts of some documents, durable
// first; the error is why the last of them is not. The caller holds mu.
func (s *Store) follow(documents [][]byte, from string) (bool, error) {
	if s.damaged != nil {
		return false, s.damaged
	}
	var parsed []keyring.Document
	var unread error // of the last one
	for _, b := range documents {
		var d keyring.Document
		if d, unread = keyring.Parse(b); unread == nil {
			parsed = append(parsed, d)
		}
	}
	next, err := s.ring.Follow(parsed...)
	if unread != nil {
		err = unread
	}
	if err == nil {
		s.refused = nil
	}
	if d := next.Document(); d.IsZero() || s.ring.Holds(d) {
		return false, err
	}
	if kept := s.keep(next, from); kept != nil {
		return false, kept
	}
	return true, err
}

// keep makes a ring's document durable and then the one in force.
func (s *Store) keep(next keyring.Ring, from string) error {
	a := accepted{doc: next.Document(), at: time.Now().UTC(), from: from}
	spare, err := s.file.Save(a)
	if err != nil {
		return fmt.Errorf("the keyring could not be kept, so it is not in force: %w", err)
	}
	if spare != nil {
		s.log.Warn("the accepted keyring is kept once and not twice", "err", spare)
	}
	s.ring, s.accepted = next, a
	s.log.Info("keyring accepted", "version", a.doc.Version(), "from", from, "trusted", next.Trusted().IDs(), "revoked", next.Revoked())
	return nil
}
