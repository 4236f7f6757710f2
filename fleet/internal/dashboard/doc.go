// Package dashboard is what people see of the fleet: pages that the server
// renders, with a style sheet and a small script of its own and nothing from
// elsewhere.
//
//	GET  /                          the fleet: rates, times, versions, what goes on
//	GET  /rollouts, /rollouts/{id}  stages, gates, decisions with their evidence
//	GET  /robots, /robots/{id}      state, history, evidence
//	GET  /incidents, /incidents/{id}
//	GET  /releases                  what there is, and who may have it
//	GET  /rollouts/{id}/{verb}, /releases/{name}/{verb}
//	                                ask for a reason; POST does it, for operators
//	GET  /live/…                    the content of a page again whenever it changes (server-sent events)
//	GET  /login, POST /login, POST /logout
//
// Parties. A viewer sees everything and changes nothing; an operator steers
// rollouts and takes releases back. Both are users of the store who have logged in: the browser holds
// 256 random bits, the store their hash. A session ends after a while without a
// click, at the latest after half a day, and with any change of its user.
//
// Trust. What robots say of themselves is shown and never believed: it is text
// for the templates, which escape it, and the pages run no script and no style
// that is not this server's file (Content-Security-Policy without exceptions).
// A request that changes something must come from these pages: browsers say so
// (Sec-Fetch-Site, Origin), and a token of the session says so again. Log-ins
// are counted by address and by name, and few passwords are tried at a time.
//
// Live. Without a script a page is as good, and shows the state of its loading.
package dashboard
