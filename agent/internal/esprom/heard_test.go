package esprom

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClassify(t *testing.T) {
	for _, tc := range []struct {
		name   string
		heard  string
		frames int
		want   Heard
	}{
		{"nothing", "", 0, HeardNothing},
		{"boot of an S3", "ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021\r\nrst:0x1 (POWERON),boot:0x8 (SPI_FAST_FLASH_BOOT)\r\n", 0, HeardApp},
		{"boot of an ESP32", "rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\nconfigsip: 0\r\nentry 0x400805f0\r\n", 0, HeardApp},
		{"log of an app", "\x1b[0;32mI (312) cpu_start: Pro cpu up.\x1b[0m\r\n", 0, HeardApp},
		{"unknown text", "motor driver ready, battery 24.1 V\r\n", 0, HeardApp},
		{"blank flash", "invalid header: 0xffffffff\r\ninvalid header: 0xffffffff\r\n", 0, HeardApp},
		{"download", "rst:0x1 (POWERON),boot:0x0 (DOWNLOAD(USB/UART0))\r\nwaiting for download\r\n", 0, HeardDownload},
		{"wrong speed", "\x80\x1f\xf8\x06\x9e\xfe\x80\x00\x1e\xe6\xe0", 0, HeardGarbage},
		{"few letters", "abc", 0, HeardGarbage},
		{"frames", "\xC0\x01\x13\x02\x00\x00\x00\x00\x00\x00\x00\xC0", 1, HeardFrames},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := classify([]byte(tc.heard), tc.frames)
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if got.advice() == "" {
				t.Error("no advice")
			}
		})
	}
}

func FuzzHeard(f *testing.F) {
	f.Add([]byte("waiting for download\r\n"), 0)
	f.Add([]byte("\xC0\xff\x00entry 0x"), 2)
	f.Fuzz(func(t *testing.T, heard []byte, frames int) {
		var e ear
		e.hear(heard)
		e.hear(heard)
		if len(e.tail) > 2*earSize+len(heard) {
			t.Fatal("the ear keeps too much")
		}
		if classify(heard, frames).advice() == "" {
			t.Fatal("no advice")
		}
		ready(heard)
		if s := sample(heard); len(s) > 80 || !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x1b\x00") {
			t.Fatalf("sample %q", s)
		}
	})
}
