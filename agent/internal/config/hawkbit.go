package config

import (
	"cmp"
	"regexp"
)

// Source is the kind of update server.
type Source string

// The kinds of update server.
const (
	SourceOwn     Source = "robot-ota" // ota-fleet, or what answers as it does
	SourceHawkbit Source = "hawkbit"   // hawkBit's device protocol (DDI)
)

// Hawkbit is who the robot is at a hawkBit server.
type Hawkbit struct {
	Tenant       string      `yaml:"tenant"`        // letters, digits, . _ -; at most 64
	ControllerID string      `yaml:"controller_id"` // letters, digits, . _ : -; at most 128; "": the robot's id
	Auth         HawkbitAuth `yaml:"auth"`          // whose token server.token_file holds
	Consent      Consent     `yaml:"consent"`       // where the server asks for it before a deployment
}

// HawkbitAuth is whose token the robot shows.
type HawkbitAuth string

// The kinds of token.
const (
	AuthTarget  HawkbitAuth = "target"  // this robot's own
	AuthGateway HawkbitAuth = "gateway" // that of all robots of the tenant
)

// Consent is who gives it.
type Consent string

// The ways to consent.
const (
	ConsentAuto Consent = "auto" // the agent does
	ConsentAsk  Consent = "ask"  // an operator does, at the server
)

func defaultHawkbit() Hawkbit {
	return Hawkbit{Tenant: "DEFAULT", Auth: AuthTarget, Consent: ConsentAuto}
}

var (
	tenantPattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	controllerPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)
)

func (v validator) source(s Server) {
	oneOf(v, "server.source", s.Source, SourceOwn, SourceHawkbit)
	h := s.Hawkbit
	if !tenantPattern.MatchString(h.Tenant) {
		v.wrong("server.hawkbit.tenant", "%q is no tenant: want 1 to 64 letters, digits, '.', '_' and '-'; it is DEFAULT where the server has one", clip(h.Tenant))
	}
	if h.ControllerID != "" && !controllerPattern.MatchString(h.ControllerID) {
		v.wrong("server.hawkbit.controller_id", "%q cannot be part of an address: want at most 128 letters, digits, '.', '_', ':' and '-'; empty for robot.id", clip(h.ControllerID))
	}
	oneOf(v, "server.hawkbit.auth", h.Auth, AuthTarget, AuthGateway)
	oneOf(v, "server.hawkbit.consent", h.Consent, ConsentAuto, ConsentAsk)
}

// report checks that there is one who hears the reports.
func (v validator) report(c Config) {
	switch {
	case !c.Server.Report:
	case c.Server.Source == SourceHawkbit:
		v.wrong("server.report", "a hawkBit server takes no reports but of its deployments: leave it out")
	case c.MQTT.URL != "":
		v.wrong("server.report", "the broker (mqtt.url) is told already: set one of the two")
	}
}

// HawkbitController is who the robot is at a hawkBit server.
func (c Config) HawkbitController() string { return cmp.Or(c.Server.Hawkbit.ControllerID, c.Robot.ID) }

// TokenScheme is how the token is announced to the update server.
func (c Config) TokenScheme() string {
	switch {
	case c.Server.Source != SourceHawkbit:
		return "Bearer"
	case c.Server.Hawkbit.Auth == AuthGateway:
		return "GatewayToken"
	}
	return "TargetToken"
}
