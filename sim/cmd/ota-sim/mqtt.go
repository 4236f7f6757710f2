package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/spf13/cobra"
)

// mqttOptions are the flags of an MQTT client.
type mqttOptions struct {
	broker, ca, user, passwordFile, cert, key string
}

func (o *mqttOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.broker, "broker", "mqtts://127.0.0.1:8883", "the broker")
	f.StringVar(&o.ca, "ca", "", "authority of the broker's certificate, PEM; none: those that the system trusts")
	f.StringVar(&o.user, "user", "operator", "name at the broker")
	f.StringVar(&o.passwordFile, "password-file", "", "file with the password of that name")
	f.StringVar(&o.cert, "cert", "", "certificate of this client, PEM")
	f.StringVar(&o.key, "key", "", "its private key, PEM")
	c.MarkFlagsRequiredTogether("cert", "key")
}

// Bounds of what a client waits for and reads.
const (
	mqttPatience = 10 * time.Second
	maxMessage   = 1 << 20
)

// client is a connection that is to be made.
func (o *mqttOptions) client() (*mqtt.ClientOptions, error) {
	u, err := url.Parse(o.broker)
	if err != nil || u.Scheme != "mqtts" || u.Host == "" {
		return nil, fmt.Errorf("--broker %q: want mqtts://host:port", o.broker)
	}
	if u.Port() == "" {
		u.Host += ":8883"
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca: %s holds no certificate in PEM form", o.ca)
		}
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, fmt.Errorf("--cert: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	password := ""
	if o.passwordFile != "" {
		b, err := os.ReadFile(o.passwordFile)
		if err != nil {
			return nil, fmt.Errorf("--password-file: %w", err)
		}
		password = strings.TrimRight(string(b), "\r\n")
	}
	return mqtt.NewClientOptions().AddBroker("ssl://" + u.Host).SetTLSConfig(c).SetClientID("ota-sim-" + rand.Text()).SetProtocolVersion(4).
		SetUsername(o.user).SetPassword(password).SetCleanSession(true).SetConnectTimeout(mqttPatience), nil
}

// connecting is what failed when no connection can be made.
func (o *mqttOptions) connecting() string {
	if o.cert != "" {
		return fmt.Sprintf("connect to %s with %s", o.broker, o.cert)
	}
	return fmt.Sprintf("connect to %s as %s", o.broker, o.user)
}

// done waits for the broker's answer.
func done(ctx context.Context, what string, t mqtt.Token) error {
	patience := time.NewTimer(mqttPatience)
	defer patience.Stop()
	select {
	case <-t.Done():
		if err := t.Error(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	case <-patience.C:
		return fmt.Errorf("%s: the broker has not answered for %s", what, mqttPatience)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func publishCommand() *cobra.Command {
	var (
		o      mqttOptions
		retain bool
	)
	c := &cobra.Command{
		Use:   "publish TOPIC PAYLOAD",
		Short: "Say something to the fleet's MQTT broker, such as a command to a robot",
		Long: `Say something to the fleet's MQTT broker, with QoS 1, and wait until it has it.
A payload of - is read from the standard input.`,
		Example: `  ota-sim publish --ca tls/ca.pem --password-file operator.password \
    fleet/robot_01/commands/ota '{"url": "https://…", "sha256": "…", "version": "0.2.1"}'`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			payload := []byte(args[1])
			if args[1] == "-" {
				var err error
				if payload, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxMessage+1)); err != nil {
					return err
				}
			}
			if len(payload) > maxMessage {
				return fmt.Errorf("the payload has more than %d bytes", maxMessage)
			}
			opts, err := o.client()
			if err != nil {
				return err
			}
			client := mqtt.NewClient(opts.SetAutoReconnect(false))
			if err := done(cmd.Context(), o.connecting(), client.Connect()); err != nil {
				return err
			}
			defer client.Disconnect(100)
			return done(cmd.Context(), "publish on "+args[0], client.Publish(args[0], 1, retain, payload))
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&retain, "retain", false, "leave it on the broker for those who come later")
	return c
}

// heard is one message as `ota-sim subscribe` prints it.
type heard struct {
	At       time.Time       `json:"at"`
	Topic    string          `json:"topic"`
	Retained bool            `json:"retained,omitempty"`
	Payload  json.RawMessage `json:"payload"` // as it came, or as text where it is no JSON
}

func subscribeCommand() *cobra.Command {
	var (
		o     mqttOptions
		count int
	)
	c := &cobra.Command{
		Use:   "subscribe TOPIC…",
		Short: "Print what is said on topics of the fleet's MQTT broker, a JSON object a line",
		Long: `Print what is said on topics of the fleet's MQTT broker, a JSON object a line,
until interrupted. A lost connection is made again.`,
		Example: `  ota-sim subscribe --ca tls/ca.pem --password-file operator.password 'fleet/+/ota/#'`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, topics []string) error {
			opts, err := o.client()
			if err != nil {
				return err
			}
			return o.subscribe(cmd.Context(), opts, topics, count, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.flags(c)
	c.Flags().IntVarP(&count, "count", "n", 0, "end after so many messages; 0: never")
	return c
}

// subscribe prints what comes. The subscriptions are asked for anew with each
// connection.
func (o *mqttOptions) subscribe(ctx context.Context, opts *mqtt.ClientOptions, topics []string, count int, out, errOut io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	messages := make(chan mqtt.Message)
	filters := make(map[string]byte)
	for _, t := range topics {
		filters[t] = 1
	}
	client := mqtt.NewClient(opts.SetMaxReconnectInterval(time.Second).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			select {
			case messages <- m:
			case <-ctx.Done():
			}
		}).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { fmt.Fprintln(errOut, "connection lost:", err) }).
		SetOnConnectHandler(func(c mqtt.Client) {
			if err := granted(ctx, c, filters); err != nil {
				cancel(err)
				return
			}
			fmt.Fprintln(errOut, "subscribed")
		}))
	if err := done(ctx, o.connecting(), client.Connect()); err != nil {
		return err
	}
	defer client.Disconnect(100)
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-messages:
			if err := printMessage(out, m); err != nil || n == count {
				return err
			}
		}
	}
}

// granted subscribes, and fails where the broker refuses a topic.
func granted(ctx context.Context, c mqtt.Client, filters map[string]byte) error {
	t := c.SubscribeMultiple(filters, nil)
	if err := done(ctx, "subscribe", t); err != nil {
		return err
	}
	for topic, code := range t.(*mqtt.SubscribeToken).Result() {
		if code > 2 {
			return fmt.Errorf("the broker refuses the subscription to %s", topic)
		}
	}
	return nil
}

func printMessage(out io.Writer, m mqtt.Message) error {
	payload := json.RawMessage(m.Payload())
	if !json.Valid(payload) {
		payload, _ = json.Marshal(string(m.Payload()))
	}
	var line bytes.Buffer
	err := json.NewEncoder(&line).Encode(heard{time.Now(), m.Topic(), m.Retained(), payload})
	_, werr := out.Write(line.Bytes())
	return errors.Join(err, werr)
}
