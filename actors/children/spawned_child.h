#pragma once
// One child process: fork, and what happens between it and exec. Beside other threads a child may call nothing there but what is
// safe in a signal handler (fork(2), signal-safety(7)): all that needs memory is made before the fork.

#include <sys/types.h>

#include "actors/children/child_spec.h"
#include "kernels/status.h"

namespace herd::children {

// Descriptors are the caller's to close; all are close-on-exec, and reads of the pipes do not wait.
struct SpawnedChild {
  pid_t pid = 0;
  int pidfd = -1;   // readable once it has ended
  int output = -1;  // what it writes on its standard output; -1: not captured
  int errors = -1;  // on standard error; -1: not captured
};

// The program runs when this returns. Its standard input is empty. It is killed when the thread that calls this ends.
// kMissing: no such program, no memory, no descriptors, no such CPU; the message names the program.
[[nodiscard]] Expected<SpawnedChild> spawn_child(const ChildSpec& spec);

}  // namespace herd::children
