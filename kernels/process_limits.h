#pragma once
// What the system lets this process have besides memory that exists: threads, address space, files.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>

#include "kernels/status.h"

namespace herd {

// What a person lowers where memory is short, and which limits of it may be raised: for messages.
inline constexpr char kLowerMemoryUse[] =
    "lower --kv-cache-memory, --max-model-len, --max-num-batched-tokens or --threads";
// A refusal of memory, with both; another status as it is.
[[nodiscard]] Status with_memory_advice(Status refused);

// Whether `count` more threads can run at one time, found out by starting them: a library that starts threads of its own
// ends the process when one is refused. kMissing says how many there were, and which limits there are.
[[nodiscard]] Status probe_threads(int count);
// The same words for one thread that was refused.
[[nodiscard]] Status no_thread(const std::system_error& refused);

// Address space (and data segment) that `ulimit -v` (`ulimit -d`) still leaves; none when there is no such limit. `root`
// is "" outside tests.
[[nodiscard]] std::optional<std::uint64_t> address_space_left(const std::string& root = "");
// Of one thread's stack.
[[nodiscard]] std::uint64_t thread_stack_bytes();
// A limit of address space leaves no room for the 64 MiB that malloc sets aside for each thread.
void share_malloc_arenas();
// As many open files as the hard limit allows: a connection is a file, and the soft limit of 1,024 is soon too small.
void raise_file_limit();
// How the limit of files that `error`, an errno, speaks of is raised, after "; "; empty where it speaks of none.
[[nodiscard]] std::string file_limit_advice(int error);
// What an errno says, with that advice.
[[nodiscard]] std::string system_error_text(int error);
// Files that this process may have open at one time, connections included.
[[nodiscard]] std::size_t file_limit();
// As many of `wanted` connections of clients, at least 1, as leave files for what a server cannot do without: connections to
// replicas and to the coordinator, ports, pipes, files. Kept back of `file_limit` are 1,024, or half of it where that is less.
[[nodiscard]] std::size_t connections_within(std::size_t wanted, std::size_t file_limit);
// Memory holds prompts and keys, so a process that dies leaves no core file, neither in a folder nor with a program that collects them,
// and its children leave none either. `allowed`: core files of any size that the hard limit allows.
void limit_core_files(bool allowed);

}  // namespace herd
