package handover

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
)

// Service is how systemd says that a service is doing.
type Service struct {
	Load     string // loaded, not-found, masked…
	Active   string // active, inactive, failed, activating…
	Result   string // of the last run: success, exit-code, watchdog, start-limit-hit…
	Enabled  string // enabled, disabled, static…
	Restarts uint32 // by systemd itself, since it was last started by hand
	Watchdog time.Duration
}

// Service asks for a service's state. One that does not exist has the load
// state not-found.
func (Bus) Service(ctx context.Context, unit string) (s Service, err error) {
	err = withBus(ctx, func(c *dbus.Conn) error {
		for name, to := range map[string]*string{"LoadState": &s.Load, "ActiveState": &s.Active, "UnitFileState": &s.Enabled} {
			if *to, err = property(ctx, c, unit, name); err != nil {
				return err
			}
		}
		if s.Load == "not-found" {
			return nil
		}
		own, err := c.GetUnitTypePropertiesContext(ctx, unit, "Service")
		if err != nil {
			return fmt.Errorf("systemd: %s: %w", unit, err)
		}
		s.Result, _ = own["Result"].(string)
		s.Restarts, _ = own["NRestarts"].(uint32)
		micro, _ := own["WatchdogUSec"].(uint64)
		s.Watchdog = time.Duration(min(micro, uint64(24*time.Hour/time.Microsecond))) * time.Microsecond
		return nil
	})
	return s, err
}
