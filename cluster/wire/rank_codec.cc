#include "cluster/wire/rank_codec.h"

#include <limits>
#include <utility>

#include "cluster/placement/replica_sizing.h"
#include "cluster/schema/rank.capnp.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {
namespace {

using placement::RankDevice;
using placement::RankShape;
using placement::RankSpec;

constexpr std::int64_t kTokensMax = std::int64_t{1} << 20;
constexpr std::int64_t kNumberMax = std::numeric_limits<std::uint32_t>::max();

constexpr std::pair<WeightFormat, schema::Encoding> kEncodings[] = {
    {WeightFormat::kF32, schema::Encoding::FLOAT32}, {WeightFormat::kBF16, schema::Encoding::BFLOAT16},
    {WeightFormat::kF16, schema::Encoding::FLOAT16}, {WeightFormat::kQ8_0, schema::Encoding::Q80},
    {WeightFormat::kQ4_0, schema::Encoding::Q40},   {WeightFormat::kQ4_1, schema::Encoding::Q41},
    {WeightFormat::kQ5_0, schema::Encoding::Q50},   {WeightFormat::kQ5_1, schema::Encoding::Q51},
    {WeightFormat::kQ6_K, schema::Encoding::Q6_K},  {WeightFormat::kQ4_K, schema::Encoding::Q4_K},
    {WeightFormat::kQ5_K, schema::Encoding::Q5_K},
};

schema::Encoding to_schema(WeightFormat weights) {
  for (const auto& [format, encoding] : kEncodings)
    if (format == weights) return encoding;
  return schema::Encoding::UNKNOWN;
}

WeightFormat read_encoding(schema::Encoding weights) {
  for (const auto& [format, encoding] : kEncodings)
    if (encoding == weights) return format;
  throw Refusal{bad_input("encoding: unknown")};
}

schema::CpuIsa to_schema(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kAuto:
      return schema::CpuIsa::BEST;
    case CpuIsa::kReference:
      return schema::CpuIsa::REFERENCE;
    case CpuIsa::kAvx2:
      return schema::CpuIsa::AVX2;
    case CpuIsa::kAvx512:
      return schema::CpuIsa::AVX512;
    case CpuIsa::kAvx512Vnni:
      return schema::CpuIsa::AVX512_VNNI;
    case CpuIsa::kAvx512Bf16:
      return schema::CpuIsa::AVX512_BF16;
  }
  return schema::CpuIsa::UNKNOWN;
}

CpuIsa read_isa(schema::CpuIsa isa) {
  switch (isa) {
    case schema::CpuIsa::UNKNOWN:
      break;
    case schema::CpuIsa::BEST:
      return CpuIsa::kAuto;
    case schema::CpuIsa::REFERENCE:
      return CpuIsa::kReference;
    case schema::CpuIsa::AVX2:
      return CpuIsa::kAvx2;
    case schema::CpuIsa::AVX512:
      return CpuIsa::kAvx512;
    case schema::CpuIsa::AVX512_VNNI:
      return CpuIsa::kAvx512Vnni;
    case schema::CpuIsa::AVX512_BF16:
      return CpuIsa::kAvx512Bf16;
  }
  throw Refusal{bad_input("isa: unknown")};
}

schema::GpuMatmul to_schema(GpuMatmul matmul) {
  return matmul == GpuMatmul::kOrdered ? schema::GpuMatmul::ORDERED : schema::GpuMatmul::CUBLAS_LT;
}

GpuMatmul read_matmul(schema::GpuMatmul matmul) {
  require(matmul == schema::GpuMatmul::ORDERED || matmul == schema::GpuMatmul::CUBLAS_LT, "matmul: unknown");
  return matmul == schema::GpuMatmul::ORDERED ? GpuMatmul::kOrdered : GpuMatmul::kCublasLt;
}

// Inside [low, high]; false for what is negative.
bool is_within(std::int64_t value, std::int64_t low, std::int64_t high) { return low <= value && value <= high; }

// What the other kind of device has stays as a value begins: it does not travel.
void check(const RankDevice& device) {
  const RankDevice fresh;
  if (device.on_gpu) {
    require(is_within(device.gpu, 0, 4095), "gpu outside [0, 4095]");
    require(device.isa == fresh.isa && device.threads == fresh.threads && device.nice == fresh.nice, "a GPU with CPU threads");
  } else {
    require(is_within(device.threads, 1, 4096), "threads outside [1, 4096]");
    require(is_within(device.nice, 0, 19), "nice outside [0, 19]");
    require(device.gpu == fresh.gpu && device.matmul == fresh.matmul && device.graphs == fresh.graphs, "a CPU with a GPU's options");
  }
}

void check(const RankShape& shape) {
  require(placement::check_block_size(shape.block_size));
  require(is_within(shape.blocks, 1, kNumberMax), "blocks outside [1, 2^32)");
  require(is_within(shape.positions_max, 1, kTokensMax), "positions outside [1, 2^20]");
  require(is_within(shape.rows_max, 1, kTokensMax), "rows outside [1, 2^20]");
  require(is_within(shape.sequences_max, 1, 65536), "sequences outside [1, 65536]");
  require(is_within(shape.step_timeout.count(), 1, kNumberMax), "step timeout outside [1, 2^32) ms");
}

void check(const RankSpec& spec) {
  require(spec.ranks == 1 || spec.ranks == 2 || spec.ranks == 4 || spec.ranks == 8, "ranks: not 1, 2, 4 or 8");
  require(spec.rank < spec.ranks, "rank: not below ranks");
  require(!spec.model.path.empty(), "a model without a path");
  check_text(spec.model.path, kPathBytesMax, "path of the model");
  check_text(spec.model.weight_path, kPathBytesMax, "path of the weights");
  require(is_within(spec.model.layers, 0, 65536), "layers outside [0, 65536]");
  check(spec.device);
  check(spec.shape);
}

RankDevice read_device(schema::RankSpec::Device::Reader from) {
  RankDevice device;
  switch (from.which()) {
    case schema::RankSpec::Device::CPU: {
      require(from.hasCpu(), "a rank without a device");
      const auto cpu = from.getCpu();
      device.isa = read_isa(cpu.getIsa());
      device.threads = static_cast<std::int32_t>(cpu.getThreads());
      device.nice = static_cast<std::int32_t>(cpu.getNice());
      return device;
    }
    case schema::RankSpec::Device::GPU: {
      require(from.hasGpu(), "a rank without a device");
      const auto gpu = from.getGpu();
      device.on_gpu = true;
      device.gpu = static_cast<std::int32_t>(gpu.getIndex());
      device.matmul = read_matmul(gpu.getMatmul());
      device.graphs = gpu.getGraphs();
      return device;
    }
  }
  throw Refusal{bad_input("device: unknown")};
}

RankSpec read(schema::RankSpec::Reader from) {
  RankSpec spec;
  spec.replica = ReplicaId(from.getReplica());
  spec.rank = from.getRank();
  spec.ranks = from.getRanks();
  spec.model.path = read_text(from.getModelPath(), kPathBytesMax, "path of the model");
  spec.model.weight_path = read_text(from.getWeightPath(), kPathBytesMax, "path of the weights");
  spec.model.layers = static_cast<int>(from.getLayers());
  spec.model.random_weights = from.getRandomWeights();
  spec.model.random_seed = from.getRandomSeed();
  spec.weights = read_encoding(from.getWeights());
  spec.device = read_device(from.getDevice());
  spec.shape.block_size = static_cast<std::int32_t>(from.getBlockSize());
  spec.shape.blocks = from.getBlocks();
  spec.shape.positions_max = from.getPositionsMax();
  spec.shape.rows_max = from.getRowsMax();
  spec.shape.sequences_max = from.getSequencesMax();
  spec.shape.step_timeout = std::chrono::milliseconds(from.getStepTimeoutMs());
  spec.shape.hash_logits = from.getHashLogits();
  return spec;
}

void write(schema::RankSpec::Device::Builder to, const RankDevice& device) {
  if (device.on_gpu) {
    auto gpu = to.initGpu();
    gpu.setIndex(static_cast<std::uint32_t>(device.gpu));
    gpu.setMatmul(to_schema(device.matmul));
    gpu.setGraphs(device.graphs);
    return;
  }
  auto cpu = to.initCpu();
  cpu.setIsa(to_schema(device.isa));
  cpu.setThreads(static_cast<std::uint32_t>(device.threads));
  cpu.setNice(static_cast<std::uint32_t>(device.nice));
}

}  // namespace

Status validate(const RankSpec& spec) {
  return status_of([&] { check(spec); });
}

Frame encode(const RankSpec& spec) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::RankSpec>();
  to.setReplica(spec.replica.value);
  to.setRank(spec.rank);
  to.setRanks(spec.ranks);
  to.setModelPath(text(spec.model.path));
  to.setWeightPath(text(spec.model.weight_path));
  to.setLayers(static_cast<std::uint32_t>(spec.model.layers));
  to.setRandomWeights(spec.model.random_weights);
  to.setRandomSeed(spec.model.random_seed);
  to.setWeights(to_schema(spec.weights));
  write(to.getDevice(), spec.device);
  to.setBlockSize(static_cast<std::uint32_t>(spec.shape.block_size));
  to.setBlocks(static_cast<std::uint32_t>(spec.shape.blocks));
  to.setPositionsMax(static_cast<std::uint32_t>(spec.shape.positions_max));
  to.setRowsMax(static_cast<std::uint32_t>(spec.shape.rows_max));
  to.setSequencesMax(static_cast<std::uint32_t>(spec.shape.sequences_max));
  to.setStepTimeoutMs(static_cast<std::uint32_t>(spec.shape.step_timeout.count()));
  to.setHashLogits(spec.shape.hash_logits);
  return {FrameKind::kRankSpec, to_words(message)};
}

Expected<RankSpec> decode_rank_spec(std::span<const std::uint64_t> words) {
  return read_message<schema::RankSpec, RankSpec>(FrameKind::kRankSpec, "rank", words, [](schema::RankSpec::Reader from) {
    RankSpec spec = read(from);
    check(spec);
    return spec;
  });
}

}  // namespace herd::wire
