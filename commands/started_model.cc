#include "commands/started_model.h"

#include <future>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

namespace herd::commands {
namespace {

using Say = std::function<void(const std::string&)>;

// What two threads have to say, in the order in which it would come if one worked after the other: the text's lines, then the
// engine's. Kept until release(), passed on from then on.
class Lines {
 public:
  enum class From : std::uint8_t { kText, kEngine };

  // `say` may be empty.
  static Say kept(const std::shared_ptr<Lines>& lines, From from, Say say) {
    if (!say) return {};
    return [lines, from, say = std::move(say)](const std::string& line) { lines->add(from, say, line); };
  }
  void release() {
    const std::scoped_lock lock(mutex_);
    for (auto* const kept : {&text_, &engine_})
      for (const auto& [say, line] : *kept) say(line);
    released_ = true;
  }

 private:
  void add(From from, const Say& say, const std::string& line) {
    const std::scoped_lock lock(mutex_);
    if (released_) return say(line);
    (from == From::kText ? text_ : engine_).emplace_back(say, line);
  }

  std::mutex mutex_;
  bool released_ = false;
  std::vector<std::pair<Say, std::string>> text_, engine_;
};

// On a thread of its own where there is one to be had, else when it is waited for.
template <class Work>
auto beside(const Work& work) {
  try {
    return std::async(std::launch::async, work);
  } catch (const std::system_error&) {
    return std::async(std::launch::deferred, work);
  }
}

}  // namespace

Expected<StartedModel> start_model(actors::EngineOptions options, served::TextOptions text) {
  auto model = actors::Engine::open(options);
  if (!model) return fail(model.error());
  const auto lines = std::make_shared<Lines>();
  text.note = Lines::kept(lines, Lines::From::kText, options.note);
  text.warn = Lines::kept(lines, Lines::From::kText, options.warn);
  options.note = Lines::kept(lines, Lines::From::kEngine, options.note);
  options.warn = Lines::kept(lines, Lines::From::kEngine, options.warn);
  std::stop_source no_words;
  options.stop = no_words.get_token();
  auto reading = beside([&no_words, text, model = *model] {
    auto words = served::open_served_text(model, text);
    if (!words) no_words.request_stop();
    return words;
  });
  auto engine = actors::Engine::start(std::move(options), std::move(*model));
  auto words = reading.get();
  lines->release();
  if (!words) return fail(words.error());
  if (!engine) return fail(engine.error());
  return StartedModel{std::move(*words), std::move(*engine)};
}

}  // namespace herd::commands
