// Package httpguard is the HTTPS client through which everything that the
// agent fetches goes.
//
// Parties. The configured update server is known by name and port: it may
// stand at a private address, it alone gets the token, and where the
// operator named a certificate authority only that one vouches for it. Every
// other server is a stranger that somebody named in a URL (a ROS client, an
// MQTT message, the update server's answer).
//
// A URL named from outside is a lever to make the robot send requests into
// networks that the sender cannot reach. What is refused, at every hop of a
// redirect anew:
//
//   - anything but https, TLS before 1.2, a user name in the URL;
//   - a host outside the allow-list, where there is one; a redirect only leads
//     to the same host, the update server or a host on the list;
//   - an address in a loopback, private, link-local or otherwise special
//     network. It is the address being dialled that is looked at, after name
//     resolution, so a name that resolves to such an address does not help.
//
// Token and trusted authority hang on the transport that is chosen by the
// host, not on the request: no redirect can carry them elsewhere. No cookies,
// no Referer, no proxy from the environment (it would hide the address), no
// decompression, HTTP/1.1 only.
//
// Nothing here makes an image trusted. That is image.Verify's part.
package httpguard
