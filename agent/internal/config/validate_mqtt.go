package config

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxUsername is more than any broker needs, in bytes.
const maxUsername = 256

func (v validator) mqtt(m MQTT) {
	v.broker(m.URL)
	v.optionalPath("mqtt.ca_file", m.CAFile)
	v.optionalPath("mqtt.cert_file", m.CertFile)
	v.optionalPath("mqtt.key_file", m.KeyFile)
	v.optionalPath("mqtt.password_file", m.PasswordFile)
	if (m.CertFile == "") != (m.KeyFile == "") {
		v.wrong("mqtt.cert_file", "a certificate and its key go together: set both cert_file and key_file, or neither")
	}
	if len(m.Username) > maxUsername || strings.ContainsFunc(m.Username, func(r rune) bool { return !unicode.IsPrint(r) }) {
		v.wrong("mqtt.username", "want at most %d printable characters", maxUsername)
	}
	between(v, "mqtt.keepalive", m.KeepAlive, Duration(5*time.Second), Duration(20*time.Minute), "")
	if m.KeepAlive.Std()%time.Second != 0 {
		v.wrong("mqtt.keepalive", "%s: MQTT counts whole seconds", m.KeepAlive)
	}
}

// broker checks the broker's address. What goes there in the clear could be
// read and forged by anybody on the way, so that way must not leave this
// computer.
func (v validator) broker(address string) {
	const key, want = "mqtt.url", "want mqtts://host or mqtts://host:port"
	if address == "" {
		return
	}
	u, err := url.Parse(address)
	if err != nil {
		v.wrong(key, "%q is no broker: %s", clip(address), want)
		return
	}
	switch {
	case u.Hostname() == "" || strings.HasSuffix(u.Host, ":") || u.Scheme != "mqtts" && u.Scheme != "mqtt":
		v.wrong(key, "%q is no broker: %s", clip(address), want)
	case u.User != nil:
		v.wrong(key, "holds a user or password: put them into mqtt.username and the file mqtt.password_file")
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		v.wrong(key, "%q has more than a host and a port: %s", clip(address), want)
	case u.Scheme == "mqtt" && !loopback(u.Hostname()):
		v.wrong(key, "%q is not protected on its way: want mqtts (mqtt is for a broker on this computer alone)", clip(address))
	}
	if n, err := strconv.Atoi(u.Port()); err == nil && (n < 1 || n > 65535) {
		v.wrong(key, "%q has no port that can be: want 1 to 65535", clip(address))
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
