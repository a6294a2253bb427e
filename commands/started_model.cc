#include "commands/started_model.h"

#include <utility>

namespace herd::commands {

Expected<StartedModel> start_model(actors::EngineOptions options, served::TextOptions text) {
  auto model = actors::Engine::open(options);
  if (!model) return fail(model.error());
  text.note = options.note;
  text.warn = options.warn;
  auto words = served::open_served_text(*model, text);
  if (!words) return fail(words.error());
  auto engine = actors::Engine::start(std::move(options), std::move(*model));
  if (!engine) return fail(engine.error());
  return StartedModel{std::move(*words), std::move(*engine)};
}

}  // namespace herd::commands
