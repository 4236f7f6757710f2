package outline

import (
	"encoding/json"
	"strings"
	"testing"
)

func encoded(nodes []Node) string {
	b, err := json.Marshal(nodes)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestRead(t *testing.T) {
	show := func(nodes []Node) string { return encoded(nodes) }
	for in, want := range map[string]string{
		``:                            `null`,
		`{"b":1,"a":[true,null,"x"]}`: `[{"Name":"b","Value":"1","Below":null},{"Name":"a","Value":"","Below":[{"Name":"","Value":"yes","Below":null},{"Name":"","Value":"none","Below":null},{"Name":"","Value":"x","Below":null}]}]`,
		`7`:                           `[{"Name":"","Value":"7","Below":null}]`,
		`{}`:                          `[]`,
		`{"a":`:                       `[{"Name":"","Value":"{\"a\":","Below":null}]`,
	} {
		if got := show(Read(json.RawMessage(in))); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	for name, in := range map[string]string{"deep": strings.Repeat("[", 20) + strings.Repeat("]", 20), "many": "[" + strings.Repeat("1,", maxNodes) + "1]"} {
		if got := Read(json.RawMessage(in)); len(got) != 1 || got[0].Value != "too much to be shown here" {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := Read(json.RawMessage(`"` + strings.Repeat("ü", maxText) + `"`)); len(got[0].Value) > maxText+10 || !strings.HasSuffix(got[0].Value, "ü …") {
		t.Errorf("a long text: %d bytes", len(got[0].Value))
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":null}]}`, `[[[[]]]]`, `"\ud800"`, `{"a":1}{"b":2}`, `nul`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		n := 0
		var walk func([]Node, int)
		walk = func(nodes []Node, depth int) {
			for _, m := range nodes {
				if n++; n > maxNodes+1 || depth > maxDepth+1 || len(m.Value) > maxText+10 || len(m.Name) > maxText+10 {
					t.Fatalf("beyond its bounds: %d nodes, %d deep", n, depth)
				}
				walk(m.Below, depth+1)
			}
		}
		walk(Read(json.RawMessage(in)), 0)
	})
}
