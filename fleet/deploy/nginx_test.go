package deploy_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
)

// publish signs an image of so many bytes, publishes it, and gives the file.
func (f *fleet) publish(t testing.TB, version string, size int) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := image.NewKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := image.Sign(imagetest.App(imagetest.Options{Version: version, Body: bytes.Repeat([]byte("firmware"), size/8)}), key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"pub.der": public.DER(), "signed.bin": signed} {
		if err := os.WriteFile(f.file(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, f.program, "publish", "--data", f.file("data"), "--sku", "standard", "--stable", "--key", f.file("pub.der"), f.file("signed.bin"))
	return signed
}

// nginx starts nginx with an example in its http or at its top level.
func nginx(t testing.TB, listen, head, example string) {
	t.Helper()
	path, dir := program(t, "nginx", "nginx"), t.TempDir()
	main := filepath.Join(dir, "nginx.conf")
	conf := "daemon off;\nmaster_process on;\nworker_processes 1;\npid " + dir + "/pid;\nerror_log stderr warn;\n" + head + "\nevents {}\n"
	if os.Geteuid() == 0 {
		conf = "user root;\n" + conf // the folders of tests are for their user alone
	}
	include := "include " + example + ";\n"
	if !strings.Contains(example, "stream") {
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			include += kind + "_temp_path " + dir + "/" + kind + ";\n"
		}
		include = "http {\naccess_log off;\n" + include + "}\n"
	}
	conf += include
	if err := os.WriteFile(main, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := run(t, path, "-t", "-c", main); !strings.Contains(said, "test is successful") || strings.Contains(said, "[warn]") {
		t.Errorf("nginx -t:\n%s", said)
	}
	process(t, []string{listen}, path, "-c", main)
}

// cached starts nginx with the server's example in front of the fleet.
func (f *fleet) cached(t testing.TB) string {
	t.Helper()
	listen, dir := freePort(t), t.TempDir()
	nginx(t, listen, "", adapted(t, "nginx/ota-fleet.conf", filepath.Join(dir, "ota-fleet.conf"), map[string]string{
		`/var/cache/nginx/ota-fleet`:             f.file("cache"),
		`127\.0\.0\.1:8443`:                      f.address,
		`listen 443 `:                            "listen " + listen + " ",
		`/etc/ota-fleet/tls/public\.pem`:         f.file("tls/server.pem"),
		`/etc/ota-fleet/tls/public-key\.pem`:     f.file("tls/server-key.pem"),
		`/etc/ota-fleet/tls/ca\.pem`:             f.file("tls/ca.pem"),
		`proxy_ssl_name +updates\.example\.org;`: "proxy_ssl_name localhost;",
		`(server_name) updates\.example\.org;`:   "$1 localhost;",
		`rate=30r/m`:                             "rate=6000r/s", // a test is in a hurry
	}))
	return listen
}

// client trusts the fleet's authority, and comes with a certificate where a
// robot is named.
func (f *fleet) client(t testing.TB, robot string) *http.Client {
	t.Helper()
	ca, err := os.ReadFile(f.file("tls/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	cfg := &tls.Config{RootCAs: pool}
	if robot != "" {
		pair, err := tls.LoadX509KeyPair(f.file("tls/robots/"+robot+".pem"), f.file("tls/robots/"+robot+"-key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	tr := &http.Transport{TLSClientConfig: cfg}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

// get asks with a token, or without where it is empty.
func get(t testing.TB, c *http.Client, url, token string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

// The server's example: what is kept, for whom, and for how long.
func TestNginx(t *testing.T) {
	program(t, "nginx", "nginx")
	f := newFleet(t)
	signed := f.publish(t, "0.2.1", 400_000)
	f.serve(t, "--public-url", "https://updates.example.org")
	listen := f.cached(t)
	c, base := f.client(t, ""), "https://"+listen
	r1, r2 := f.token(t, "r1"), f.token(t, "r2")

	var offer struct{ URL, SHA256 string }
	resp, body := get(t, c, base+"/v1/check?sku=standard&version=0.1.0", r1)
	if err := json.Unmarshal(body, &offer); err != nil || resp.Header.Get("X-Cache") != "" || offer.URL != "https://updates.example.org/v1/artifacts/"+offer.SHA256 {
		t.Fatalf("the check: %d %s, %v", resp.StatusCode, body, err)
	}
	artifact := base + "/v1/artifacts/" + offer.SHA256
	for _, tt := range []struct {
		name, token string
		headers     []string
		status      int
		cache       string
		want        []byte // nil: does not matter
	}{
		{"nobody, before it is kept", "", nil, 401, "", nil},
		{"the first", r1, nil, 200, "MISS", signed},
		{"the second", r2, nil, 200, "HIT", signed},
		{"the rest of it", r1, []string{"Range: bytes=100000-", `If-Range: "` + offer.SHA256 + `"`}, 206, "HIT", signed[100_000:]},
		{"the last bytes", r1, []string{"Range: bytes=-7"}, 206, "HIT", signed[len(signed)-7:]},
		{"the rest of another", r1, []string{"Range: bytes=100000-", `If-Range: "other"`}, 200, "HIT", signed},
		{"beyond its end", r1, []string{"Range: bytes=99999999-"}, 416, "HIT", nil},
		{"many ranges are none", r1, []string{"Range: bytes=0-1,2-3,4-5"}, 200, "HIT", signed},
		{"had already", r1, []string{`If-None-Match: "` + offer.SHA256 + `"`}, 304, "HIT", []byte{}},
		{"nobody", "", nil, 401, "", nil},
		{"somebody else's guess", "wrong", nil, 401, "", nil},
	} {
		resp, got := get(t, c, artifact, tt.token, tt.headers...)
		if resp.StatusCode != tt.status || resp.Header.Get("X-Cache") != tt.cache || tt.want != nil && !bytes.Equal(got, tt.want) {
			t.Errorf("%s: %d, %q, %d bytes", tt.name, resp.StatusCode, resp.Header.Get("X-Cache"), len(got))
		}
		if tt.status == 200 && resp.Header.Get("ETag") != `"`+offer.SHA256+`"` {
			t.Errorf("%s: ETag %s", tt.name, resp.Header.Get("ETag"))
		}
	}
	for path, status := range map[string]int{
		"/v1/artifacts/" + strings.Repeat("0", 64): 404, "/may-have": 404,
		"/v1/artifacts/..%2f..%2fetc%2fpasswd": 404, "/v1/artifacts/" + offer.SHA256 + "/../../../etc/passwd": 404,
	} {
		if resp, body := get(t, c, base+path, r1); resp.StatusCode != status || bytes.Contains(body, []byte("root:")) {
			t.Errorf("%s: %d, %.100s", path, resp.StatusCode, body)
		}
	}

	// What is withdrawn ends at once, kept or not; the check says so as well.
	run(t, f.program, "halt", "--data", f.file("data"), "--release", "standard-0.2.1", "--reason", "it bites", "--yes")
	if resp, body := get(t, c, artifact, r2); resp.StatusCode != http.StatusGone || !bytes.Contains(body, []byte("withdrawn")) {
		t.Errorf("withdrawn: %d, %.100s", resp.StatusCode, body)
	}
	if resp, _ := get(t, c, base+"/v1/check?sku=standard&version=0.1.0", r1); resp.StatusCode != http.StatusNoContent {
		t.Errorf("the check afterwards: %d", resp.StatusCode)
	}
	if conn, err := tls.Dial("tcp", listen, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is taken")
	}
}

// The example for client certificates: ota-fleet sees who comes.
func TestNginxPassesCertificatesOn(t *testing.T) {
	program(t, "nginx", "nginx")
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	head := "load_module " + module + ";"
	if _, err := os.Stat(module); err != nil {
		t.Skip("no module stream on this machine: apt-get install libnginx-mod-stream")
	}
	f := newFleet(t)
	f.publish(t, "0.2.1", 4000)
	f.serve(t)
	listen := freePort(t)
	nginx(t, listen, head, adapted(t, "nginx/ota-fleet-stream.conf", f.file("stream.conf"), map[string]string{
		`127\.0\.0\.1:8443`: f.address, `listen +4443`: "listen " + listen,
	}))
	const question = "/v1/check?sku=standard&version=0.1.0&robot_id="
	for robot, status := range map[string]int{"r1": 200, "": 401} {
		if resp, body := get(t, f.client(t, robot), "https://"+listen+question+"r1", ""); resp.StatusCode != status {
			t.Errorf("robot %q: %d, %.200s", robot, resp.StatusCode, body)
		}
	}
	if resp, _ := get(t, f.client(t, "r2"), "https://"+listen+question+"r1", ""); resp.StatusCode != http.StatusForbidden {
		t.Errorf("r2 as r1: %d", resp.StatusCode)
	}
}

// Artifacts from the cache, each asked for anew at the server, to eight robots
// at a time.
func BenchmarkNginxArtifacts(b *testing.B) {
	program(b, "nginx", "nginx")
	f := newFleet(b)
	signed := f.publish(b, "0.2.1", 1<<20)
	f.serve(b, "--downloads", "1000000")
	url := "https://" + f.cached(b) + fmt.Sprintf("/v1/artifacts/%x", sha256.Sum256(signed))
	token := f.token(b, "r1")
	b.SetBytes(int64(len(signed)))
	b.SetParallelism(4)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c := f.client(b, "")
		for pb.Next() {
			if resp, got := get(b, c, url, token); resp.StatusCode != 200 || len(got) != len(signed) {
				b.Errorf("%d, %d bytes", resp.StatusCode, len(got))
				return
			}
		}
	})
}
