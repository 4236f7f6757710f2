package main

import (
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ota-sign": main, "sign_firmware": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mkapp": mkapp, "flip": flip, "handpack": handpack, "unpack": unpack,
			"mode": mode, "keyfile": keyfile, "exitcode": exitcode,
		},
	})
}

// mkapp FILE [version=V] [project=P] [chip=N] [body=N] makes an app image.
func mkapp(ts *testscript.TestScript, _ bool, args []string) {
	var o imagetest.Options
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "version":
			o.Version = value
		case "project":
			o.Project = value
		case "chip":
			o.Chip, o.ChipSet = image.ChipID(number(ts, value)), true
		case "body":
			o.Body = make([]byte, number(ts, value))
		default:
			ts.Fatalf("mkapp: %s", arg)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), imagetest.App(o), 0o644))
}

// flip FILE OFFSET changes a byte.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	b := []byte(ts.ReadFile(args[0]))
	b[number(ts, args[1])] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// handpack APP DER-SIGNATURE VERSION OUT packs a container by hand, with a
// signature that openssl made.
func handpack(ts *testscript.TestScript, _ bool, args []string) {
	app := []byte(ts.ReadFile(args[0]))
	var rs struct{ R, S *big.Int }
	_, err := asn1.Unmarshal([]byte(ts.ReadFile(args[1])), &rs)
	ts.Check(err)
	version, err := compat.ParseVersion(args[2])
	ts.Check(err)
	sum := sha256.Sum256(app)
	b := binary.LittleEndian.AppendUint32([]byte("OBOR"), version.Packed())
	b = binary.LittleEndian.AppendUint32(b, uint32(len(app)))
	b = append(b, sum[:]...)
	b = append(b, rs.R.FillBytes(make([]byte, 32))...)
	b = append(b, rs.S.FillBytes(make([]byte, 32))...)
	b = append(b, make([]byte, 28)...)
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), append(b, app...), 0o644))
}

// unpack SIGNED OUT takes the signature out of a container and writes it as
// openssl wants it, DER.
func unpack(ts *testscript.TestScript, _ bool, args []string) {
	b := []byte(ts.ReadFile(args[0]))
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(b[44:76]), new(big.Int).SetBytes(b[76:108])})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), der, 0o644))
}

// exitcode N PROGRAM ARGS… demands an exit code.
func exitcode(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != number(ts, args[0]) {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// mode FILE OCTAL demands a file's permissions.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// keyfile FILE makes a text file readable by its owner only, as a key is.
func keyfile(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.Chmod(ts.MkAbs(args[0]), 0o600))
}

func number(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}
