// Package disktest is a disk for tests: one that loses power at a chosen
// operation, and then holds what a real file system may hold.
//
// [Model] is a file system in memory. It numbers every operation that changes
// something, from 1. At a chosen number the power is cut: that operation and
// all that follow, reading ones too, answer [ErrCut], so that what is left of a
// process sees a world that stands still. [Model.After] is the disk that the
// next process finds. At other numbers the disk answers errors ([Fault]).
//
// What may be lost is what POSIX leaves open and file systems are known to do
// (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014; Mohan et
// al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing",
// OSDI 2018):
//
//   - The content of a file is safe once the file was synced. Before that each
//     write may be there, be missing, be there in part (a beginning, or sectors
//     in any order), or have made the file longer without its bytes: zeros.
//   - A name (of a new file, after a rename, after a removal) is safe once its
//     folder was synced. Before that each change of a name may be there or not,
//     whatever became of the others and of the content. A rename is atomic.
//   - A sync that failed has lost what it was to make safe, and the next one
//     says that all is well, as on Linux.
//
// [Sweep] drives a program over a Model and cuts at every operation, with every
// [Fate], and again at every operation of what follows.
package disktest
