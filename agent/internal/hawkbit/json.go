package hawkbit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An AnswerError says that the server's answer is not taken.
type AnswerError struct {
	code   string
	Reason string
}

func (e *AnswerError) Error() string { return "the hawkBit server's answer is refused: " + e.Reason }

// Code names the refusal for machines.
func (e *AnswerError) Code() string { return e.code }

// Final: the server has to be put right.
func (*AnswerError) Final() bool { return true }

func badAnswer(format string, args ...any) error {
	return &AnswerError{code: "bad_answer", Reason: fmt.Sprintf(format, args...)}
}

// maxDepth of nested objects and lists; DDI's own documents have 8.
const maxDepth = 16

// read decodes one JSON document. Names that it does not know are passed over;
// a name that stands twice in an object is refused, in whatever case: two
// readers of one answer must not see two deployments.
func read(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := once(d, 0); err != nil {
		return badAnswer("%v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badAnswer("something follows its JSON document")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return badAnswer("it is not of the form of DDI: %v", err)
	}
	return nil
}

// once walks over one value and finds names that are there twice.
func once(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return fmt.Errorf("it is no whole JSON document: %w", err)
	}
	open, nested := t.(json.Delim)
	if !nested {
		return nil
	}
	if depth == maxDepth {
		return fmt.Errorf("its JSON is nested more than %d deep", maxDepth)
	}
	names := make(map[string]bool)
	for d.More() {
		if open == '{' {
			t, err := d.Token()
			if err != nil {
				return fmt.Errorf("it is no whole JSON document: %w", err)
			}
			name, _ := t.(string) // the decoder lets nothing else stand there
			if name = strings.ToLower(name); names[name] {
				return fmt.Errorf("it names %.40q twice", name)
			}
			names[name] = true
		}
		if err := once(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token() // the end
	if err != nil {
		return fmt.Errorf("it is no whole JSON document: %w", err)
	}
	return nil
}
