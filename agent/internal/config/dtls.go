package config

import (
	"net"
	"strconv"
	"strings"
	"time"
)

// DTLS is the firmware's DTLS server, whose handshakes are tried.
type DTLS struct {
	Address  string   `yaml:"address"`  // host or host:port; "": nothing is tried
	Identity string   `yaml:"identity"` // of the pre-shared key; "": the key file has it
	KeyFile  string   `yaml:"key_file"` // mode 0600; absolute
	Every    Duration `yaml:"every"`    // 1 s - 1 h
}

func defaultDTLS() DTLS { return DTLS{Every: Duration(30 * time.Second)} }

func (v validator) dtls(d DTLS) {
	between(v, "dtls.every", d.Every, Duration(time.Second), Duration(time.Hour), "")
	v.optionalPath("dtls.key_file", d.KeyFile)
	if len(d.Identity) > 128 || strings.ContainsFunc(d.Identity, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		v.wrong("dtls.identity", "%q is no identity: want at most 128 bytes, such as robot_1a2b3c4d", clip(d.Identity))
	}
	if d.Address == "" {
		return
	}
	if !dtlsAddress(d.Address) {
		v.wrong("dtls.address", "%q is no address: want the firmware's host, or host:port", clip(d.Address))
	}
	if d.KeyFile == "" {
		if _, said := v.at["dtls.key_file"]; !said {
			v.at["dtls.key_file"] = v.at["dtls.address"]
		}
		v.wrong("dtls.key_file", "is missing: want the file that holds the pre-shared key, such as /etc/robot-ota/dtls.psk")
	}
}

func dtlsAddress(s string) bool {
	if len(s) > 260 || strings.ContainsAny(s, " \t\n/@") {
		return false
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return net.ParseIP(s) != nil || !strings.Contains(s, ":")
	}
	n, err := strconv.Atoi(port)
	return err == nil && host != "" && n >= 1 && n <= 65535
}
