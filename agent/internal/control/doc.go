// Package control is how the command line reaches the running agent: HTTP with
// JSON over a unix socket.
//
// # Parties
//
//	Client (ota-agent status, trigger, …)  ── unix socket ──  Server (ota-agent run)
//	                                                             │ three small interfaces
//	                                                          the engine and its journal
//
// # Trust
//
// Who may open the socket may command the agent: mode 0660, owner and group
// decide. Commands are still validated as if they came from a stranger, every
// body is bounded and read strictly, and each is logged with the user id that
// the kernel names. Nothing that comes in here can make an image genuine or
// open a gate; a keyring document has to prove itself by its signatures.
//
// # Interface
//
//	GET  /v1/status    update.Status
//	GET  /v1/events    update.Status as one JSON line at every change (NDJSON),
//	                   at most ten a second; the last state is always told
//	POST /v1/trigger   Trigger → Started
//	POST /v1/check     {} → Started: what the update server offers
//	POST /v1/plan      Trigger → update.Plan
//	POST /v1/cancel    {} → {}
//	POST /v1/rollback  Rollback → Started
//	POST /v1/inhibit   Inhibit → {}
//	GET  /v1/history   ?n=20: [update.Record], newest last
//	GET  /v1/keys      keyring.Report: whose signatures count
//	POST /v1/keys      a keyring document → KeysUpdated
//	GET  /v1/history/audit  update.Audit: does the history hold together?
//	GET  /v1/health    Health: what only the running agent knows
//	POST /v1/visit     {} → update.Visit: the chip into its loader and back
//
// What is refused is answered with application/problem+json (RFC 9457) and a
// code that never changes its meaning: see Code.
package control
