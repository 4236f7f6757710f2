package api

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// specification is openapi.yaml, and what of it the tests have seen.
type specification struct {
	validator validator.Validator
	answers   map[string]bool // "GET /v1/check 200": declared, and whether it was seen
	paths     map[string]*v3.PathItem

	mu sync.Mutex
}

var specOnce = sync.OnceValues(func() (*specification, error) {
	doc, err := libopenapi.NewDocument(openAPI)
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(doc, config.WithFormatAssertions(), config.WithoutSecurityValidation())
	if len(errs) > 0 {
		return nil, errs[0]
	}
	if ok, errs := v.ValidateDocument(); !ok {
		return nil, fmt.Errorf("it is no OpenAPI 3.1: %w", errs[0])
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		return nil, err
	}
	s := &specification{validator: v, answers: map[string]bool{}, paths: map[string]*v3.PathItem{}}
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		s.paths[path] = item
		for method, op := range item.GetOperations().FromOldest() {
			for status := range op.Responses.Codes.FromOldest() {
				s.answers[answer(method, path, status)] = false
			}
		}
	}
	return s, nil
})

func answer(method, path, status string) string {
	return fmt.Sprintf("%s %s %s", upper(method), path, status)
}

func upper(method string) string { return string(bytes.ToUpper([]byte(method))) }

func description31(t *testing.T) *specification {
	t.Helper()
	s, err := specOnce()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return s
}

// check holds an answer against the description: it has to be declared, and of
// the declared form; where it is no refusal the request has to be so as well.
func (s *specification) check(t *testing.T, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	path := route(r)
	if _, ok := s.paths[path]; !ok {
		if path != "/" {
			t.Errorf("%s is not described", path)
		}
		return
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	name := answer(method, path, fmt.Sprint(w.Code))
	s.mu.Lock()
	_, declared := s.answers[name]
	s.answers[name] = true
	s.mu.Unlock()
	if w.Code == http.StatusMethodNotAllowed {
		return // of a method that is not described
	}
	if !declared {
		t.Errorf("%s is not described", name)
		return
	}
	asked := request(method, r.URL.String(), "", "Host: "+r.Host)
	asked.Header = r.Header.Clone()
	got := w.Result()
	if r.Method == http.MethodHead {
		return // it has no body
	}
	if ok, errs := s.validator.ValidateHttpResponse(asked, got); !ok {
		t.Errorf("%s: the answer is not as described: %v", name, errs)
	}
	if w.Code < 400 && r.Method == http.MethodGet {
		if ok, errs := s.validator.ValidateHttpRequestSync(asked); !ok {
			t.Errorf("%s: %s is not as described: %v", name, r.URL, errs)
		}
	}
}

// unseen lists the answers that are described and that no test has seen.
func (s *specification) unseen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.answers)), func(name string) bool { return s.answers[name] })
}

// whole demands that the tests have seen every answer that is described.
func whole() error {
	s, err := specOnce()
	if err != nil {
		return err
	}
	if missing := s.unseen(); len(missing) > 0 {
		return fmt.Errorf("openapi.yaml describes answers that no test has seen: %q", missing)
	}
	return nil
}

// The check of answers can fail.
func TestDescriptionCatches(t *testing.T) {
	s := description31(t)
	for name, tt := range map[string]struct {
		target, kind, body string
		status             int
	}{
		"no header":      {"/v1/keyring", "application/json", `{"format":"robot-ota-keyring","payload":"","signatures":[]}`, 200},
		"another form":   {"/v1/manifest", "application/json", `{"skus":{"standard":{"version":"0.2"}}}`, 200},
		"one more field": {"/healthz", "application/json", `{"status":"ok","x":1}`, 200},
		"another kind":   {"/v1/manifest", "text/plain", `hello`, 200},
		"a new status":   {"/v1/manifest", "application/json", `{}`, 418},
		"no problem":     {"/v1/keyring", "application/problem+json", `{"type":"about:blank"}`, 404},
	} {
		r := request("GET", tt.target, "")
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", tt.kind)
		if name != "no header" {
			w.Header().Set("Cache-Control", "no-store")
		}
		w.WriteHeader(tt.status)
		_, _ = w.WriteString(tt.body)
		if ok, _ := s.validator.ValidateHttpResponse(r, w.Result()); ok {
			t.Errorf("%s is taken for what is described", name)
		}
	}
}
