// Package hawkbit takes updates from a server that speaks hawkBit's Direct
// Device Integration (DDI) API: hawkBit itself, Memfault's gateway, goosebit.
//
// Parties: the fleet's operators assign deployments ("actions") to this robot
// at the server; the robot polls, and tells how it goes. The server is trusted
// to say which image this robot should have, and with no more: DDI carries
// hashes and no signatures, so what is installed is decided by image.Verify,
// and when, by the robot's own gates. A forged or replaced answer can at worst
// ask for an image that the fleet's keys have signed, or hold updates back.
//
//	GET  base                          what there is to do, and when to ask again
//	GET  base/deploymentBase/{id}      → engine.Trigger; POST …/feedback as it goes on
//	GET  base/cancelAction/{id}        → engine.Cancel; POST …/feedback: accepted or refused
//	POST base/confirmationBase/{id}/feedback   consent, where the configuration gives it
//	PUT  base/configData               what this robot is and runs
//
// base is {server.url}/{tenant}/controller/v1/{controller id}. Links in answers
// are followed only where they lead to the same server and to these places:
// what the token opens must not be asked for by a link that somebody made up.
//
// Layers, one file each:
//
//	json.go      bytes → one strict, bounded JSON document              pure
//	ddi.go       the server's documents, checked                        pure
//	deployment.go  a deployment → an offer, or why there is none        pure
//	feedback.go  what is told the server                                pure
//	teller.go    when it is told                                        pure
//	action.go    what is known of an action, by the steps of its job    pure
//	ledger.go    the actions, on disk
//	client.go    requests and answers
//	link.go      the engine's side: source, observer, inhibitor
//	poll.go      the loop: ask, act, wait
//	act.go       what is done about a deployment, a cancellation, a consent
//
// An action is closed once. Success is told when the engine observes the
// confirmed firmware, never before. How an action ended is on disk before it
// is told, and is told until the server has taken it; an action that is
// offered again after it ended is answered again, not installed again.
package hawkbit
