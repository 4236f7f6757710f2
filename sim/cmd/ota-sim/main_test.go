package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/robot-platform/robot-ota/sim/broker"
	"github.com/robot-platform/robot-ota/sim/broker/brokertest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"ota-sim": func() { os.Exit(run(os.Args[1:])) },
	})
}

func TestScripts(t *testing.T) {
	certs := t.TempDir()
	brokertest.Certificates(t, certs)
	for name, text := range map[string]string{"passwords": "operator:secret\n", "operator.password": "secret\n"} {
		if err := os.WriteFile(filepath.Join(certs, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	free := []string{"CERTS=" + certs, "ADDRESS=" + brokertest.FreePort(t), "ADDRESS_CERT=" + brokertest.FreePort(t)}
	testscript.Run(t, testscript.Params{
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, free...)
			return nil
		},
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			_, err := broker.FindMosquitto()
			return name == "mosquitto" && err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// poll TEXT COMMAND… runs a command until it prints the text.
			"poll": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: poll TEXT COMMAND…")
				}
				for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
					if err := ts.Exec(args[1], args[2:]...); err == nil && strings.Contains(ts.ReadFile("stdout"), args[0]) {
						return
					}
				}
				ts.Fatalf("%s does not come to print %q", strings.Join(args[1:], " "), args[0])
			},
		},
	})
}
