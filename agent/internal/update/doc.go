// Package update is the state machine of one update, as a pure function.
//
//	          Trigger          Resolved           Fetched           Proven
//	idle ───────────▶ checking ───────▶ downloading ────▶ verifying ─────▶ waiting ◀─┐ Blocked
//	  ▲   NothingNewer │                                                   │  └───────┘
//	  └────────────────┘                                                   │ Clear
//	                                                                       ▼
//	booting ◀──────── attesting ◀──────── writing ◀──────── connecting ◀── handover
//	   │    Switched      ▲ │   Written           Connected        LineTaken  (Blocked: back to waiting)
//	   │ Up               └─┘ Attested: from here on the OTA data may name the new slot
//	   ▼
//	validating ──────▶ confirmed ──────▶ observing ─────▶ idle
//	   │      TrialPassed       Confirmed    │   ObservationOver
//	   │ TrialFailed                         │ Fired, RollbackAsked
//	   └──────────────▶ rolling_back ◀───────┘ (first until Standing: Blocked)
//	                        │ Restored
//	                        ▼
//	                    rolled_back
//
//	any failure before Attested ──▶ failed (the old firmware boots, untouched)
//
// Next takes what the agent remembers and one event, and returns what it is to
// remember and which effects to perform. The engine makes the memory durable
// before it performs the effects, so that a crash at any point is answered by
// the event Restarted: before the switch the work is done again from the
// stored image, after it the agent finds out who is running and ends the trial
// or puts the old slot back.
//
// Memory.Held (the serial line may be ours) and Memory.Loader (the chip may sit
// in its loader) are set before the deed and cleared only by Released or its
// like, so a job may have ended (a pulled cable fails it within seconds) while
// the engine still owes the robot a reset; until that is paid no new job
// starts.
package update
