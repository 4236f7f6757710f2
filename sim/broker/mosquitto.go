package broker

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// MosquittoVariable names the environment variable with the program to use.
const MosquittoVariable = "ROBOT_OTA_MOSQUITTO"

// ErrNoMosquitto says that there is none on this machine.
var ErrNoMosquitto = errors.New("mosquitto is not installed: apt-get install mosquitto")

// FindMosquitto is the path of Mosquitto on this machine.
func FindMosquitto() (string, error) {
	if path := os.Getenv(MosquittoVariable); path != "" {
		return exec.LookPath(path)
	}
	for _, name := range []string{"mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoMosquitto
}

// Mosquitto writes the configuration of a Mosquitto into a folder, in which it
// keeps its sessions and messages too, and returns the arguments to start it
// with. Its addresses have a port.
func Mosquitto(cfg Config, dir string) ([]string, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	users, err := passwords(cfg.Users)
	if err != nil {
		return nil, err
	}
	// As root it would become another user, who may not read the key.
	conf := "user root\nper_listener_settings true\npersistence true\npersistence_location " + dir + "/\nmax_queued_messages 5000\n"
	for _, way := range []struct{ address, rule string }{
		{cfg.ByPassword, "password_file " + file("users")},
		{cfg.ByCert, "cafile " + cfg.CAFile + "\nrequire_certificate true\nuse_identity_as_username true"},
	} {
		if way.address == "" {
			continue
		}
		host, port, err := net.SplitHostPort(way.address)
		if err != nil || port == "0" {
			return nil, fmt.Errorf("mosquitto: address %q: want host:port", way.address)
		}
		conf += fmt.Sprintf("listener %s %s\ncertfile %s\nkeyfile %s\nacl_file %s\nallow_anonymous false\n%s\n",
			port, host, cfg.CertFile, cfg.KeyFile, file("acl"), way.rule)
	}
	acl := "pattern readwrite fleet/%u/#\n"
	if cfg.Operator != "" {
		acl = "user " + cfg.Operator + "\ntopic readwrite #\n\n" + acl
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{"mosquitto.conf": conf, "acl": acl, "users": users} {
		if err := os.WriteFile(file(name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return []string{"-c", file("mosquitto.conf")}, nil
}

// passwords is Mosquitto's password file: name:$7$rounds$salt$hash, by PBKDF2
// with SHA-512, as mosquitto_passwd of version 2 writes it.
func passwords(users map[string]string) (string, error) {
	const rounds = 101
	b64 := base64.StdEncoding.EncodeToString
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(users)) {
		salt := make([]byte, 12)
		if _, err := rand.Read(salt); err != nil {
			return "", err
		}
		hash, err := pbkdf2.Key(sha512.New, users[name], salt, rounds, sha512.Size)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%s:$7$%d$%s$%s\n", name, rounds, b64(salt), b64(hash))
	}
	return out.String(), nil
}
