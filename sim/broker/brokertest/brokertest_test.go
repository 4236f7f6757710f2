package brokertest

import (
	"net"
	"testing"
)

func TestFreePortsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		address := FreePort(t)
		if seen[address] {
			t.Fatalf("%s twice", address)
		}
		seen[address] = true
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}
