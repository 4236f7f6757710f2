package esprom_test

import (
	"log/slog"
	"math/rand/v2"
	"testing"
)

// content is n bytes that deflate to about 0.6 of that, as code does.
func content(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, 0, n+64)
	for len(b) < n {
		if len(b) > 64 && r.IntN(3) > 0 {
			from := r.IntN(len(b) - 32)
			if far := len(b) - 30000; from < far {
				from = far + r.IntN(20000)
			}
			b = append(b, b[from:from+4+r.IntN(8)]...)
			continue
		}
		for range 4 {
			b = append(b, byte(r.Uint32()))
		}
	}
	return b[:n]
}

// testLog logs to the test.
func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
