// herd convert: a checkpoint as one GGUF file, quantised where that is asked for.

#include <cstdio>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "commands/command_line.h"
#include "commands/standard_output.h"
#include "endpoint/served/model_text.h"
#include "kernels/device.h"
#include "observability/progress_bar.h"
#include "runtime/checkpoint/quantization_mixture.h"
#include "runtime/conversion/conversion_plan.h"
#include "runtime/conversion/written_model.h"
#include "runtime/steady_clock.h"

namespace herd::commands {
namespace {

constexpr int kThreadsMax = 1024;

struct ConvertFlags {
  std::string model;
  std::string out;
  std::string weight_path;
  std::string encoding;
  int threads = 0;  // 0: the CPUs that this process may use
  bool overwrite = false;
  bool quiet = false;
};

std::string encodings_text() {
  std::string names = "float32, float16, bfloat16";
  for (const WeightFormat format : model::kQuantizedTo) names += std::string(", ") + format_name(format);
  return names;
}

// Nothing: every matrix stays as it is.
Expected<std::optional<WeightFormat>> wanted_encoding(const std::string& name) {
  if (name.empty()) return std::nullopt;
  for (const WeightFormat format : kAllFormats) {
    if (name == format_name(format) && (!is_quantized(format) || model::is_quantized_to(format))) return format;
  }
  return fail(usage_error("--quantization-encoding " + name + ": files are written in " + encodings_text()));
}

double megabytes(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

void print_summary(const model::ConversionPlan& plan, const std::string& out, double seconds) {
  std::map<std::string, std::pair<int, std::uint64_t>> encodings;  // tensors, bytes
  std::uint64_t read = 0;
  for (const model::PlannedTensor& tensor : plan.tensors) {
    auto& [count, bytes] = encodings[format_name(tensor.format)];
    ++count;
    bytes += static_cast<std::uint64_t>(tensor.source.rows * row_bytes(tensor.format, tensor.source.cols));
    read += tensor.source.bytes;
  }
  print("%s: %.3f GB from %.3f GB in %.1f s\n", out.c_str(), megabytes(plan.file_bytes) / 1e3, megabytes(read) / 1e3, seconds);
  for (const auto& [encoding, total] : encodings)
    print("  %-10s %5d tensors %10.3f MB\n", encoding.c_str(), total.first, megabytes(total.second));
}

Status write(const ConvertFlags& flags, const model::OpenedModel& model, const model::ConversionPlan& plan) {
  auto file = files::NewFile::create(flags.out, plan.file_bytes, flags.overwrite);
  if (!file) return file.error();
  observability::ProgressBar bar("converting");
  model::ConversionProgress progress;
  if (!flags.quiet) progress = [&bar](std::uint64_t done, std::uint64_t total) { bar.update(done, total); };
  const int threads = flags.threads > 0 ? flags.threads : usable_cpus();
  if (Status status = model::write_model(plan, *model.checkpoint, threads, progress, **file); !status.ok()) return status;
  return (*file)->complete();
}

Status convert(const ConvertFlags& flags) {
  const Instant begin = steady_now();
  const auto wanted = wanted_encoding(flags.encoding);
  if (!wanted) return wanted.error();
  if (flags.threads < 0 || flags.threads > kThreadsMax)
    return usage_error("--threads must be in [0, " + std::to_string(kThreadsMax) + "], not " + std::to_string(flags.threads));
  model::ModelFiles files;
  files.path = flags.model;
  files.weight_path = flags.weight_path;
  const auto model = model::open_model(files);
  if (!model) return model.error();
  std::optional<tokenizer::TokenizerDefinition> definition;
  if (!model->is_gguf()) {
    auto read = served::folder_tokenizer(*model);
    if (!read) return read.error();
    definition = std::move(*read);
  }
  const auto plan = model::plan_conversion(*model, *wanted, definition ? &*definition : nullptr);
  if (!plan) return plan.error();
  for (const std::string& warning : model->warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  if (!flags.quiet)
    for (const std::string& note : plan->notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  if (Status status = write(flags, *model, *plan); !status.ok()) return status;
  if (!flags.quiet) print_summary(*plan, flags.out, static_cast<double>(steady_now().ns - begin.ns) / 1e9);
  return {};
}

}  // namespace

void add_convert(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ConvertFlags>();
  CLI::App* command = app.add_subcommand("convert", "Write a checkpoint as one GGUF file, quantised if asked for");
  command->add_option("model", flags->model, "Hugging Face directory or .gguf file, whole or any part of one in parts")->required();
  command->add_option("out", flags->out, "The GGUF file to write; it takes its name when it is complete")->required();
  command->add_option("--weight-path", flags->weight_path, "Weights elsewhere: safetensors file, index, directory or .gguf");
  command->add_option("--quantization-encoding", flags->encoding,
                      encodings_text() + " (q4_k: llama.cpp's Q4_K_M mixture; default: every matrix as it is)");
  command->add_option("--threads", flags->threads, "Threads that read and quantise (default: what affinity and cgroup allow)");
  command->add_flag("--overwrite", flags->overwrite, "Replace OUT if it exists, once the new file is complete");
  command->add_flag("--quiet,-q", flags->quiet, "No notes, no progress, no summary; errors and warnings only");
  command->callback([flags, exit_code] { *exit_code = report(convert(*flags)); });
}

}  // namespace herd::commands
