package release

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func signed(t *testing.T, o imagetest.Options) ([]byte, image.Keyring) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := image.Sign(imagetest.App(o), k)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := image.NewKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return b, image.NewKeyring(pub)
}

func TestProve(t *testing.T) {
	b, keys := signed(t, imagetest.Options{Version: "0.2.1"})
	got, err := Prove(b, keys, image.ESP32S3, []string{"basic", "standard"}, noon)
	if err != nil || len(got) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	r := got[1]
	if r.Name != "standard-0.2.1" || r.Protocol != 1 || r.Size != int64(len(b)) || r.Published != noon || r.Key != keys.IDs()[0] || r.Check() != nil {
		t.Errorf("got %+v, %v", r, r.Check())
	}
	if got[0].SHA256 != r.SHA256 || got[0].SKU != "basic" {
		t.Errorf("got %+v", got[0])
	}
}

func TestNotProven(t *testing.T) {
	b, keys := signed(t, imagetest.Options{Project: "robot-platform-basic"})
	unlisted, its := signed(t, imagetest.Options{Version: "0.9.0"})
	_, others := signed(t, imagetest.Options{})
	for name, tt := range map[string]struct {
		signed []byte
		keys   image.Keyring
		chip   image.ChipID
		skus   []string
		code   image.RefusalCode
		want   string
	}{
		"other SKU":        {b, keys, image.ESP32S3, []string{"basic", "standard"}, image.RefusedSKU, `this robot is "standard"`},
		"other chip":       {b, keys, image.ESP32, []string{"basic"}, image.RefusedChip, "esp32"},
		"other key":        {b, others, image.ESP32S3, []string{"basic"}, image.RefusedSignature, "not signed by a known key"},
		"no image":         {[]byte("hello"), keys, image.ESP32S3, []string{"basic"}, image.RefusedNotAnImage, ""},
		"no SKU":           {b, keys, image.ESP32S3, nil, "", "no SKU: want one or more of basic, industrial, standard"},
		"unknown SKU":      {b, keys, image.ESP32S3, []string{"deluxe"}, "", `unknown SKU "deluxe": want one of basic, industrial, standard`},
		"unlisted version": {unlisted, its, image.ESP32S3, []string{"basic"}, "", "firmware 0.9.0 is not in the compatibility table"},
	} {
		_, err := Prove(tt.signed, tt.keys, tt.chip, tt.skus, noon)
		var refused *image.Refused
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &refused) != (tt.code != "") || refused != nil && refused.Code != tt.code {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func of(sku string, minor uint8, sum string) Release {
	return Release{SKU: sku, Version: compat.Version{Minor: minor}, SHA256: strings.Repeat(sum, 64), Name: sku, Status: Stable}
}

func TestLatest(t *testing.T) {
	all := []Release{of("basic", 1, "a"), of("basic", 10, "b"), of("basic", 9, "c"), of("standard", 11, "d")}
	if r, ok := Latest(all, "basic"); !ok || r.Version.Minor != 10 {
		t.Errorf("got %+v, %v", r, ok)
	}
	all[1].Status = Withdrawn
	if r, ok := Latest(all, "basic"); !ok || r.Version.Minor != 9 {
		t.Errorf("without what is withdrawn: %+v, %v", r, ok)
	}
	if r, ok := Latest(all, "industrial"); ok {
		t.Errorf("got %+v", r)
	}
}
