package config

import (
	"strings"
	"testing"
)

func TestHawkbit(t *testing.T) {
	tests := []struct{ section, want string }{
		{"{}", ""},
		{"{source: hawkbit}", ""},
		{"{source: hawkbit, hawkbit: {tenant: fleet-1, controller_id: 'aa:bb:cc', auth: gateway, consent: ask}}", ""},
		{"{source: hawkbitt}", `did you mean "hawkbit"`},
		{"{source: ''}", "is none of robot-ota, hawkbit"},
		{"{hawkbit: {tenant: ''}}", "DEFAULT where the server has one"},
		{"{hawkbit: {tenant: 'a/b'}}", "is no tenant"},
		{"{hawkbit: {controller_id: '../x'}}", "cannot be part of an address"},
		{"{hawkbit: {controller_id: 'a b'}}", "cannot be part of an address"},
		{"{hawkbit: {auth: bearer}}", "is none of target, gateway"},
		{"{hawkbit: {consent: yes}}", "is none of auto, ask"},
		{"{hawkbit: {token: x}}", `unknown key "token"`},
		{"{report: true}", ""},
		{"{report: true, source: hawkbit}", "a hawkBit server takes no reports"},
		{"{report: true}\nmqtt: {url: 'mqtts://broker'}", "set one of the two"},
	}
	for _, tt := range tests {
		c, err := Parse("agent.yaml", []byte(least+"server: "+tt.section+"\n"))
		if tt.want == "" {
			if err != nil || c.Server.Hawkbit.Tenant == "" {
				t.Errorf("%s: %+v, %v", tt.section, c.Server, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.section, err, tt.want)
		}
	}
}
