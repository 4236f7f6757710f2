// Package broker is the fleet's MQTT broker for demonstrations and tests, with
// the access rules of the real one.
//
// Every way in is by TLS. A client is a user by the password of its name, or by
// its certificate, whose common name is the user. A user reaches
// fleet/{its name}/ alone; the operator reaches everything. There are no
// others: who is nobody stays outside.
//
// Two brokers keep the same Config: Embedded runs in this process and forgets
// everything when it ends; Mosquitto is a program of its own, which production
// uses too, and keeps sessions and messages in a folder.
package broker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Config is who may come in, and how.
type Config struct {
	// CertFile and KeyFile are the broker's own, PEM.
	CertFile, KeyFile string
	// ByPassword and ByCert are the addresses, host:port, of the two ways in;
	// "" for one that is closed. Embedded takes port 0 for a free one.
	ByPassword, ByCert string
	// Users are those who come with a password.
	Users map[string]string
	// CAFile vouches for the clients' certificates, PEM; for ByCert.
	CAFile string
	// Operator is the user who reaches everything; "": nobody does.
	Operator string
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	switch {
	case c.ByPassword == "" && c.ByCert == "":
		return errors.New("the broker has no address to listen at")
	case c.ByCert != "" && c.CAFile == "":
		return errors.New("client certificates need an authority that vouches for them")
	case c.ByPassword != "" && len(c.Users) == 0:
		return errors.New("nobody has a password")
	}
	for name := range c.Users {
		if !known(name) {
			return badName(name)
		}
	}
	if c.Operator != "" && !known(c.Operator) {
		return badName(c.Operator)
	}
	return nil
}

func badName(name string) error {
	return fmt.Errorf("user %.80q: want 1 to %d letters, digits, - and _", name, maxName)
}

// Bounds of a file of passwords.
const (
	maxName  = 64
	maxUsers = 1 << 20 // bytes of the file
)

// known says that a name can be a user's. It must not hold what means more
// than itself in a topic: a user "+" would reach every robot.
func known(name string) bool {
	return len(name) >= 1 && len(name) <= maxName && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// reaches is the access rule: whether a user may read and write a topic, or
// subscribe to a filter.
func (c Config) reaches(user, topic string) bool {
	if !known(user) {
		return false
	}
	return user == c.Operator || strings.HasPrefix(topic, "fleet/"+user+"/")
}

// ReadUsers reads a file of lines name:password. Empty lines and those that
// begin with # do not count.
func ReadUsers(path string) (map[string]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s: others may read the passwords in it: chmod 0600 %s", path, path)
	case info.Size() > maxUsers:
		return nil, fmt.Errorf("%s: %d bytes are more than the %d it may have", path, info.Size(), maxUsers)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	users := make(map[string]string)
	n := 0
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if n++; line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, password, _ := strings.Cut(line, ":")
		switch _, twice := users[name]; {
		case !known(name):
			return nil, fmt.Errorf("%s:%d: %w", path, n, badName(name))
		case password == "":
			return nil, fmt.Errorf("%s:%d: %s has no password: want name:password", path, n, name)
		case twice:
			return nil, fmt.Errorf("%s:%d: %s is there twice", path, n, name)
		}
		users[name] = password
	}
	return users, nil
}
