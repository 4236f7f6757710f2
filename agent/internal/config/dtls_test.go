package config

import (
	"strings"
	"testing"
	"time"
)

func TestDTLS(t *testing.T) {
	tests := []struct{ section, want string }{
		{"{}", ""},
		{"{address: 10.0.0.2, key_file: /etc/psk}", ""},
		{"{address: '10.0.0.2:5684', identity: robot_01020304, key_file: /etc/psk, every: 1s}", ""},
		{"{address: 'fe80::1', key_file: /etc/psk}", ""},
		{"{address: esp32.local, key_file: /etc/psk}", ""},
		{"{address: 10.0.0.2}", "dtls.key_file: is missing"},
		{"{address: 10.0.0.2, key_file: psk}", "want an absolute path"},
		{"{address: '10.0.0.2:0', key_file: /etc/psk}", "is no address"},
		{"{address: 'https://h', key_file: /etc/psk}", "is no address"},
		{"{address: h, key_file: /etc/psk, every: 999ms}", "out of range"},
		{"{every: 61m}", "out of range"},
		{"{key: 00}", "key_file"},
	}
	for _, tt := range tests {
		c, err := Parse("agent.yaml", []byte(least+"dtls: "+tt.section+"\n"))
		if tt.want == "" {
			if err != nil || c.DTLS.Every.Std() < time.Second {
				t.Errorf("%s: %+v, %v", tt.section, c.DTLS, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.section, err, tt.want)
		}
	}
}
