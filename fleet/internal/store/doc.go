// Package store is the fleet's memory: releases and keys, robots and their
// history, rollouts and their decisions, commands to robots, incidents, people.
//
// Everything is in one SQL database, SQLite in the folder (fleet.db) or
// PostgreSQL, with the same tables and the same behaviour; signed files lie in
// the folder's artifacts/, each under its SHA-256. A file is durable before a
// row names it, and what no live release names nobody is served. Several
// processes may use one store: commands write beside a running server, which
// sees it with its next request, and several servers may share a PostgreSQL.
//
// # Reading and writing
//
// A Store reads what was committed last ([Reader], which it embeds); a [Store.View]
// reads one state of everything. Writing is done in transactions:
//
//	err := s.Update(ctx, "advance", func(tx *store.Tx) error { … })  // durable, as if alone
//	err := s.Note(ctx, "status", func(tx *store.Tx) error { … })     // telemetry: faster
//
// A Tx reads what it has written itself. The function may run more than once
// and has no effect but on tx. Its error undoes all. What is read in it and
// decides about what is written was not changed by others meanwhile: with
// Update whatever was read, with Note at least the rows that are written.
//
// Errors wrap what callers decide on: [ErrNotFound], [ErrExists], [ErrConflict],
// [ErrFenced], [ErrRevoked], and *[ActiveError], *[HeldError], *[WithdrawnError].
//
// # A step of a rollout
//
// All that follows from a decision is one transaction, so that a server that
// dies has done all of it or nothing:
//
//	lease, _ := s.Acquire(ctx, "controller", me, ttl)     // or s.Lead, which keeps it
//	s.Update(ctx, "decide", func(tx *store.Tx) error {
//		if err := tx.Fence(ctx, lease); err != nil { … }      // ErrFenced: somebody else leads
//		r, err := tx.SaveRollout(ctx, r)                      // ErrConflict: r.Revision is old
//		tx.AddDecision(ctx, …)                                // append only
//		tx.Assign(ctx, …)                                     // who has a place keeps it
//		tx.Enqueue(ctx, …)                                    // by id: twice is once
//		tx.SetStatus(ctx, sku, version, release.Withdrawn, by, reason)
//		tx.OpenIncident(ctx, …); tx.AddEntry(ctx, …)
//		return nil
//	})
//
// Plan, state, decision, windows and ledger are JSON of the package rollout,
// which the store hands on without reading it. What it does read stands in
// columns of their own: phase, stage, whether a rollout is active, a robot's
// stage and outcome. From these [Reader.Offered] tells what a robot is offered.
//
// # What there is
//
//	releases    Publish, Release(s), ReleaseNamed, Offered, SetStatus; Artifact, OpenArtifact
//	patches     KeepPatch, PatchTo, Patches, DropPatch
//	keys        AddKey, RevokeKey, Key(s), Trusted; AddKeyring, Keyrings
//	metadata    Metadata, NewestMetadata, AddMetadata
//	robots      AddRobot, EnsureRobot, SaveRobot, RemoveRobot, SetToken; Robot(s), EachRobot, RobotWithToken, RobotWithCertificate
//	            SetState, Silence, NoteCheck; AddEvent, Events; SaveUpdate, UpdateOf, EachUpdate
//	health      AddHealth, EachHour, SetLedger, Ledger
//	downloads   CountDownload, CountBytes, DownloadsOn
//	rollouts    StartRollout, SaveRollout, Rollout(s), ActiveRollouts; Assign, SaveAssignment, Assignment, EachAssignment, AssignmentsOf
//	            AddDecision, Decisions
//	outbox      Enqueue, Due, Sent, Acknowledge, Comply, Drop, Command(s)
//	lease       Acquire, GiveUp, Lead, Lease, Tx.Fence
//	incidents   OpenIncident, AddEntry, SetIncidentData, CloseIncident, Incident(s), Entries
//	people      SaveUser, RemoveUser, User(s); AddSession, Session, SeeSession, EndSession
//	counts      CountRobots, CountVersions, CountKeys, Presence, CountUpdates, CountCommands, CountStages, LastConfirmed
//	care        Migrate, Prune, Check, Backup
//
// Times are kept to the microsecond. Lists of robots and hours are given one by
// one (EachRobot, EachHour, EachAssignment, EachUpdate): the function that gets
// them does not use the same transaction. Package storetest runs tests over
// both databases.
package store
