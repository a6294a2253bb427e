#include "observability/progress_bar.h"

#include <cstdio>

#include <unistd.h>

#include "runtime/steady_clock.h"

namespace herd::observability {

ProgressBar::ProgressBar(std::string what) : what_(std::move(what)), begin_(steady_now()), terminal_(isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

void ProgressBar::update(std::size_t done, std::size_t total) {
  if (!terminal_ || total == 0) return;
  const int percent = static_cast<int>(100.0 * static_cast<double>(done) / static_cast<double>(total));
  if (percent == percent_) return;
  percent_ = percent;
  constexpr int kWidth = 40;
  const int filled = kWidth * percent / 100;
  std::string bar(static_cast<std::size_t>(filled), '#');
  bar.resize(kWidth, '.');
  const double seconds = seconds_between(begin_, steady_now());
  const double rate = seconds > 0 ? static_cast<double>(done) * 1e-9 / seconds : 0.0;
  std::fprintf(stderr, "\r%s [%s] %3d %%, %.2f of %.2f GB, %.2f GB/s\x1b[K", what_.c_str(), bar.c_str(), percent,
               static_cast<double>(done) * 1e-9, static_cast<double>(total) * 1e-9, rate);
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace herd::observability
