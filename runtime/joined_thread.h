#pragma once
// A thread that does one piece of work for the scope it stands in: it is waited for on every way out of that scope, and what
// its work throws (memory that ran out, most of all) is thrown again where it is waited for. A std::thread ends the process
// in both cases.

#include <exception>
#include <system_error>
#include <thread>
#include <utility>

namespace herd {

class JoinedThread {
 public:
  // False where no thread is to be had: nothing runs then. Again only after join().
  template <class Work>
  [[nodiscard]] bool start(Work work) {
    try {
      thread_ = std::jthread([this, work = std::move(work)] {
        try {
          work();
        } catch (...) {
          thrown_ = std::current_exception();
        }
      });
    } catch (const std::system_error&) {
      return false;
    }
    return true;
  }

  // Waits for the end of the work, where some was started, and throws what it threw.
  void join() {
    if (thread_.joinable()) thread_.join();
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  }

 private:
  std::exception_ptr thrown_;
  std::jthread thread_;  // last: its destructor waits for what writes thrown_
};

}  // namespace herd
