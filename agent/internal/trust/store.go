package trust

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// Config says what the robot is configured to trust, and where the rest is
// kept.
type Config struct {
	Dir  string // the state directory
	Base keyring.Base
}

// Store owns the ring in force. Its methods may be called from any goroutine.
type Store struct {
	folder folder
	log    *slog.Logger

	mu       sync.Mutex
	ring     keyring.Ring
	accepted accepted // the document in force, zero: none
	damaged  *DamagedError
	refused  *keyring.Refusal
}

// Open reads the accepted document. A damaged one is no error of Open: the
// agent has other work than to install. Then nobody is trusted.
func Open(cfg Config, log *slog.Logger) (*Store, error) {
	f, err := newFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	return open(f, cfg.Base, log)
}

func open(f folder, base keyring.Base, log *slog.Logger) (*Store, error) {
	s := &Store{folder: f, log: log, ring: keyring.NewRing(base)}
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
	return s.accept(document, from)
}

// Wants says whether the update server's document of that version is to be
// asked for; 0: it has none.
func (s *Store) Wants(version uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damaged == nil && s.ring.Newer(version) {
		return true
	}
	s.refused = nil // whatever was refused, the server no longer has it
	return false
}

// Take takes a document of the update server, from that address. What is
// refused is logged once and reported until the server has another one.
func (s *Store) Take(document []byte, from string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.accept(document, from); err != nil {
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

// accept puts a document into force: durable first. The caller holds mu.
func (s *Store) accept(document []byte, from string) (bool, error) {
	if s.damaged != nil {
		return false, s.damaged
	}
	d, err := keyring.Parse(document)
	if err != nil {
		return false, err
	}
	next, err := s.ring.Accept(d)
	if err != nil {
		return false, err
	}
	if s.ring.Holds(d) {
		s.refused = nil
		return false, nil
	}
	a := accepted{doc: d, at: time.Now().UTC(), from: from}
	spare, err := s.folder.save(a)
	if err != nil {
		return false, fmt.Errorf("the keyring could not be kept, so it is not in force: %w", err)
	}
	if spare != nil {
		s.log.Warn("the accepted keyring is kept once and not twice", "err", spare)
	}
	s.ring, s.accepted, s.refused = next, a, nil
	s.log.Info("keyring accepted", "version", d.Version(), "from", from, "trusted", next.Trusted().IDs(), "revoked", next.Revoked())
	return true, nil
}
