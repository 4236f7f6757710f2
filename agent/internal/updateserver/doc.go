// Package updateserver asks the update server which version this robot should
// have: GET /v1/check. Where the answer's header Robot-OTA-Keyring announces a
// newer keyring document than the robot's, it is fetched from /v1/keyring and
// handed to who decides by its signatures.
//
// What is trusted. TLS says that the answer is the configured server's; nothing
// in it is signed. So it decides only what is downloaded and looked at: the
// image's own signature and signed version decide what is installed. Every
// field is bounded and checked, and the URL must be one that the agent fetches.
//
// Attacks by whoever holds the server or stands in front of it as a CDN:
//
//   - roll-back: an offer older than what runs is refused here, and the image
//     again by image.Verify;
//   - mix-and-match: offered version and signed version must agree, see there;
//   - freeze, an old answer replayed for ever: cannot be told from "nothing
//     new" without a signed time, which release metadata brings (package
//     metadata) where it is required; else it
//     costs updates, not safety; a keyring that is held back shows in the
//     version that robots report. Requests forbid caches to answer
//     (Cache-Control: no-cache), so that it takes ill will;
//   - endless data: the answer is bounded.
package updateserver
