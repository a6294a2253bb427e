#pragma once
// ChildSpec: which program a child process runs, and what it is given. Value.

#include <string>
#include <utility>
#include <vector>

namespace herd::children {

struct ChildSpec {
  std::vector<std::string> argv;                        // argv[0]: the program's path; own_program() for our own
  std::vector<std::pair<std::string, std::string>> environment;  // added to ours, which a service
                                                                 // manager's words are no part of; of two with one name the later
  std::vector<std::pair<int, int>> descriptors;         // (its number in the child, ours); at least 3; ours stay open here
  std::vector<int> cpus;                                // that it may run on; empty: as we may
  int oom_score = 0;                                    // added to ours, [0, 1000]: who is ended first when memory is short
  bool captures_stdout = false;                         // its lines are given to on_line too; false: it inherits ours
  bool captures_stderr = true;
  bool own_group = false;                               // signals of the terminal do not reach it
};

}  // namespace herd::children
