package check

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
)

// Broker looks at the fleet's broker: that it is reached, proves who it is, and
// lets this robot in. Where the running agent is connected (line) nobody logs
// in beside it: some brokers make the client's id out of the user's name, and
// would end the agent's session.
func Broker(cfg mqttlink.Config, line *control.Broker) doctor.Check {
	return doctor.Check{Name: "broker", About: "the fleet's MQTT broker", Within: 30 * time.Second, Run: func(ctx context.Context) []doctor.Finding {
		if cfg.URL == "" {
			return []doctor.Finding{doctor.Skip("no broker is configured (mqtt.url)")}
		}
		addr, expires, err := mqttlink.Reach(ctx, cfg)
		if err != nil {
			return []doctor.Finding{brokerFault(addr, err)}
		}
		var findings []doctor.Finding
		if line != nil && line.Connected {
			findings = append(findings, doctor.Good("the agent is connected to %s since %s", addr, line.Since.Local().Format(time.DateTime)))
		} else {
			findings = append(findings, logIn(ctx, addr, cfg))
		}
		if !expires.IsZero() {
			findings = append(findings, certificate("broker", expires, time.Now()))
		}
		if line != nil && !line.Connected && line.Err != "" && findings[0].Level == doctor.OK {
			findings = append(findings, doctor.Doubt("wait: it tries again every two minutes at the latest; or "+restart, "the agent itself is not connected: %s", line.Err))
		}
		if line != nil && line.Waiting > manyEvents {
			findings = append(findings, doctor.Doubt("see that the broker takes them: journalctl -u robot-ota | grep broker", "%d events wait to be sent", line.Waiting))
		}
		return findings
	}}
}

// manyEvents wait when the broker was not there for longer than one update.
const manyEvents = 100

func logIn(ctx context.Context, addr string, cfg mqttlink.Config) doctor.Finding {
	err := mqttlink.LogIn(ctx, cfg)
	base := "fleet/" + cfg.RobotID + "/"
	switch {
	case err == nil:
		return doctor.Good("%s lets this robot in, and to its topics", addr)
	case errors.Is(err, mqttlink.ErrEcho):
		return doctor.Doubt("let the broker's access rules give this robot's user write on "+base+"ota/# and read on "+base+"commands/#", "%s lets this robot in, but %v: it may not publish there, or may not hear it, which it need not", addr, err)
	case errors.Is(err, mqttlink.ErrTopics):
		return doctor.Bad("let the broker's access rules give this robot's user read on "+base+"commands/#", "%v", err)
	case errors.Is(err, mqttlink.ErrLogin):
		return doctor.Bad("see that mqtt.username and the file mqtt.password_file, or mqtt.cert_file, are what the broker knows of this robot", "%v", err)
	}
	return brokerFault(addr, err)
}

func brokerFault(addr string, err error) doctor.Finding {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case unseen(err):
		return doctor.Skip("%v: %s", err, asRoot)
	case errors.Is(err, mqttlink.ErrSecret):
		return doctor.Bad("correct the files that section mqtt of the configuration names", "%v", err)
	case errors.As(err, &unknown):
		return doctor.Bad("put the certificate (PEM) of the authority that signed the broker's into the file mqtt.ca_file", "%s cannot prove that it is the fleet's broker: %v", addr, err)
	case errors.As(err, &name):
		return doctor.Bad("use the name that its certificate was issued for in mqtt.url", "%s cannot prove that it is the fleet's broker: %v", addr, err)
	case errors.As(err, new(x509.CertificateInvalidError)):
		return doctor.Bad("have it renewed, or set this computer's clock: ota-agent doctor --only clock", "%s cannot prove that it is the fleet's broker: %v", addr, err)
	}
	host, _, _ := net.SplitHostPort(addr)
	do, ok := networkAdvice(err, "mqtt.url", host, addr)
	if !ok {
		do = "look at the broker's log"
	}
	return doctor.Bad(do, "%s: %v", addr, err)
}
