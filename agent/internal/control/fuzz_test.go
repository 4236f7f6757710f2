package control

import "testing"

func FuzzTrigger(f *testing.F) {
	for _, s := range []string{``, `{}`, `{"url":"https://a/b","sha256":"00","version":"0.2.1","force":true}`, `{"url":"https://u:p@a"}`, `[]`, `{}{}`, `null`, `{"url":"\u0000"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Trigger
		if decodeStrict(b, &m) != nil {
			return
		}
		r, err := m.request()
		if err != nil {
			return
		}
		if err := r.Validate(); err != nil {
			t.Errorf("%q became a request that is not valid: %v", b, err)
		}
		if r != r.Normalized() {
			t.Errorf("%q became a request that is not normal: %+v", b, r)
		}
	})
}
