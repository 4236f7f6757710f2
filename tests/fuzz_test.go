package tests

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// parsers are what reads bytes from outside, or from a disk that may have lost
// some, and the fuzz target that has each.
func parsers() map[string]string {
	return map[string]string{
		"container":                            "firmware/image FuzzParseHeader",
		"container and signature":              "firmware/image FuzzVerify",
		"app image":                            "firmware/image FuzzParseApp",
		"public keys":                          "firmware/image FuzzParseKeys",
		"partition table":                      "firmware/flashmap FuzzParseTable",
		"OTA data":                             "firmware/flashmap FuzzParseOTAData",
		"versions":                             "firmware/compat FuzzParseVersion",
		"keyring":                              "firmware/keyring FuzzParse",
		"keyring's payload":                    "firmware/keyring FuzzPayload",
		"revocation list":                      "firmware/keyring FuzzRevoked",
		"accepted keyring on disk":             "agent/internal/trust FuzzDecode",
		"JSON that decides":                    "firmware/strictjson FuzzObject",
		"SLIP":                                 "agent/internal/esprom FuzzSLIP",
		"loader's responses":                   "agent/internal/esprom FuzzReply",
		"what a chip says without being asked": "agent/internal/esprom FuzzHeard",
		"flasher stub":                         "agent/internal/esprom FuzzStub",
		"RFC 2217":                             "agent/internal/serialport FuzzTelnet",
		"configuration":                        "agent/internal/config FuzzParse",
		"maintenance windows":                  "agent/internal/config FuzzCron",
		"pre-shared key":                       "agent/internal/dtlslink FuzzParseKey",
		"MQTT frames":                          "internal/mqttframe FuzzFrames",
		"MQTT commands":                        "agent/internal/mqttlink FuzzCommand",
		"MQTT outbox":                          "agent/internal/mqttlink FuzzOutbox",
		"MQTT commands that were followed":     "agent/internal/mqttlink FuzzSeen",
		"check answers":                        "agent/internal/updateserver FuzzOffer",
		"URLs":                                 "agent/internal/httpguard FuzzNamed",
		"Retry-After":                          "agent/internal/httpguard FuzzRetryAfter",
		"Content-Range":                        "agent/internal/fetch FuzzContentRange",
		"partial downloads on disk":            "agent/internal/fetch FuzzMeta",
		"requests":                             "agent/internal/update FuzzRequest",
		"sequences of events":                  "agent/internal/update FuzzNext",
		"journal memory":                       "agent/internal/journal FuzzLoad",
		"journal history":                      "agent/internal/journal FuzzVerify",
		"baseline":                             "agent/internal/journal FuzzBaseline",
		"speed of the line":                    "agent/internal/journal FuzzSpeed",
		"schedule":                             "agent/internal/schedule FuzzKept",
		"hand-over marker":                     "agent/internal/handover FuzzMarker",
		"telemetry":                            "agent/internal/robot FuzzFirmware",
		"diagnostics":                          "agent/internal/rosnode FuzzDiagnostic",
		"ROS arguments":                        "agent/internal/rosnode FuzzOverrides",
		"control socket":                       "agent/internal/control FuzzTrigger",
		"hawkBit's answers":                    "agent/internal/hawkbit FuzzDocuments",
		"hawkBit's actions on disk":            "agent/internal/hawkbit FuzzLedger",
		"fleet: questions":                     "fleet/internal/api FuzzQuestion",
		"fleet: ranges":                        "fleet/internal/api FuzzFirstByte",
		"fleet: topics":                        "fleet/internal/ingest FuzzTopic",
		"fleet: reports":                       "fleet/internal/ingest FuzzReport",
		"fleet: status":                        "fleet/internal/ingest FuzzStatus",
		"fleet: events":                        "fleet/internal/ingest FuzzEvent",
		"fleet: health":                        "fleet/internal/ingest FuzzHealth",
		"fleet: online":                        "fleet/internal/ingest FuzzOnline",
		"fleet: diagnostics":                   "fleet/internal/ingest FuzzDiagnostics",
		"fleet: ledger of health":              "fleet/internal/ingest FuzzBook",
		"fleet: plans":                         "fleet/internal/rollout FuzzPlan",
		"fleet: rollouts' state":               "fleet/internal/rollout FuzzState",
		"fleet: where a log-in leads":          "fleet/internal/dashboard FuzzInside",
		"fleet: JSON for a page":               "fleet/internal/dashboard/outline FuzzRead",
		"fleet: password hashes":               "fleet/internal/dashboard/password FuzzVerify",
		"simulator: SLIP":                      "sim/espsim FuzzDeframe",
		"simulator: partition table":           "sim/espsim FuzzParseTable",
		"simulator: app image":                 "sim/espsim FuzzParseApp",
		"simulator: telnet":                    "sim/link FuzzTelnet",
		"simulator: RFC 2217":                  "sim/link FuzzClient",
	}
}

// corpusHead begins each file of a corpus.
const corpusHead = "go test fuzz v1\n"

// TestEveryParserIsFuzzed: each parser has a target, each target a committed
// corpus, and no corpus is left of a target that went.
func TestEveryParserIsFuzzed(t *testing.T) {
	targets, corpora, err := fuzzed("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range unfuzzed(parsers(), targets, corpora) {
		t.Error(fault)
	}
	if len(targets) < len(parsers()) {
		t.Errorf("%d targets only", len(targets))
	}
}

// TestFuzzRulesCatch shows that each rule can fail.
func TestFuzzRulesCatch(t *testing.T) {
	for want, faults := range map[string][]string{
		"the parser \"x\" has no fuzz target":  unfuzzed(map[string]string{"x": "a FuzzX"}, nil, nil),
		"a FuzzX has no committed corpus":      unfuzzed(nil, []string{"a FuzzX"}, nil),
		"a FuzzX is a corpus without a target": unfuzzed(nil, nil, []string{"a FuzzX"}),
	} {
		if len(faults) != 1 || !strings.Contains(faults[0], want) {
			t.Errorf("%q, want %q", faults, want)
		}
	}
	if f := unfuzzed(map[string]string{"x": "a FuzzX"}, []string{"a FuzzX"}, []string{"a FuzzX"}); len(f) != 0 {
		t.Error(f)
	}
}

func unfuzzed(wanted map[string]string, targets, corpora []string) (faults []string) {
	for _, parser := range slices.Sorted(maps.Keys(wanted)) {
		if !slices.Contains(targets, wanted[parser]) {
			faults = append(faults, "the parser \""+parser+"\" has no fuzz target "+wanted[parser])
		}
	}
	for _, target := range targets {
		if !slices.Contains(corpora, target) {
			faults = append(faults, target+" has no committed corpus: put inputs into its package's testdata/fuzz/"+target[strings.Index(target, " ")+1:])
		}
	}
	for _, corpus := range corpora {
		if !slices.Contains(targets, corpus) {
			faults = append(faults, corpus+" is a corpus without a target: remove it, or bring the target back")
		}
	}
	return faults
}

// fuzzed lists the fuzz targets of the tree and those that have a corpus, each as
// "package FuzzName".
func fuzzed(root string) (targets, corpora []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && rel != "." && (strings.HasPrefix(d.Name(), ".") || rel == "bin" || rel == "dist" || rel == "internal/rosmsgs"):
			return fs.SkipDir
		case strings.HasSuffix(rel, "_test.go"):
			found, err := targetsIn(path)
			for _, name := range found {
				targets = append(targets, filepath.ToSlash(filepath.Dir(rel))+" "+name)
			}
			return err
		}
		dir, file := filepath.Split(rel)
		pkg, name, in := strings.Cut(strings.TrimSuffix(filepath.ToSlash(dir), "/"), "/testdata/fuzz/")
		if d.IsDir() || !in || file == "" {
			return nil
		}
		b, err := os.ReadFile(path)
		if c := pkg + " " + name; bytes.HasPrefix(b, []byte(corpusHead)) && !slices.Contains(corpora, c) {
			corpora = append(corpora, c)
		}
		return err
	})
	return targets, corpora, err
}

// targetsIn are the fuzz targets of a file.
func targetsIn(path string) (names []string, err error) {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") {
			names = append(names, fn.Name.Name)
		}
	}
	return names, nil
}
