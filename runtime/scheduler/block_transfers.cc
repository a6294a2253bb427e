#include "runtime/scheduler/block_transfers.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/check.h"

namespace herd::scheduler {
namespace {

Status check_new(bool in_use, std::size_t transfers, TransferId transfer, const char* kind) {
  if (in_use) return bad_input(std::string(kind) + " " + std::to_string(transfer.value) + " is not over yet");
  if (transfers >= kTransfersMax)
    return {StatusCode::kOverloaded, "there are " + std::to_string(transfers) + " " + kind + "s already"};
  return {};
}

template <class Transfers>
auto* find_in(Transfers& transfers, TransferId id) {
  const auto found = std::ranges::find_if(transfers, [id](const auto& transfer) { return transfer.id == id; });
  return found == transfers.end() ? nullptr : &*found;
}

// The last one that nobody ended yet.
template <class Transfers>
auto* last_not_ended(Transfers& transfers) {
  const auto found = std::find_if(transfers.rbegin(), transfers.rend(), [](const auto& transfer) { return !transfer.ended; });
  return found == transfers.rend() ? nullptr : &*found;
}

}  // namespace

BlockTransfers::Export* BlockTransfers::find_export(TransferId transfer) { return find_in(exports_, transfer); }

BlockTransfers::Import* BlockTransfers::find_import(TransferId transfer) { return find_in(imports_, transfer); }

Expected<ExportBegun> BlockTransfers::begin_export(kv::BlockManager& blocks, TransferId transfer,
                                                   std::span<const kv::BlockHash> hashes, std::uint64_t salt,
                                                   std::uint32_t first) {
  if (Status status = check_new(find_export(transfer) != nullptr, exports_.size(), transfer, "export"); !status.ok())
    return fail(std::move(status));
  Export& begun = exports_.emplace_back();
  begun.id = transfer;
  ExportBegun found;
  found.tokens = blocks.pin(begun.table, hashes, salt, config_.watermark_blocks);
  found.blocks = begun.end_block();
  begun.next = std::min(first, found.blocks);
  begun.granted = begun.next;
  settle(blocks);
  return found;
}

void BlockTransfers::grant(TransferId transfer, std::uint32_t blocks) {
  Export* const found = find_export(transfer);
  if (found == nullptr) return;
  found->granted += std::min(blocks, found->end_block() - found->granted);
}

void BlockTransfers::end_export(kv::BlockManager& blocks, TransferId transfer) {
  Export* const found = find_export(transfer);
  if (found == nullptr) return;
  found->end(TransferEnd::Cause::kEnded);
  settle(blocks);
}

Expected<std::uint32_t> BlockTransfers::begin_import(kv::BlockManager& blocks, TransferId transfer,
                                                     std::vector<TokenId> tokens, std::uint64_t salt) {
  const bool in_use = find_import(transfer) != nullptr || std::ranges::count(forgotten_, transfer) > 0;
  const std::size_t open = imports_.size() + forgotten_.size();
  if (Status status = check_new(in_use, open, transfer, "import"); !status.ok()) return fail(std::move(status));
  if (!config_.prefix_caching || config_.transfer_blocks_per_step == 0)
    return fail(missing("this replica has no prefix cache, or copies none of its blocks"));
  if (tokens.empty() || tokens.size() % config_.block_size != 0)
    return fail(bad_input("an import of " + std::to_string(tokens.size()) + " tokens; it must be whole blocks of " +
                          std::to_string(config_.block_size)));
  Import import;
  import.id = transfer;
  const auto cached = blocks.reserve(import.table, tokens, salt, config_.watermark_blocks);
  if (!cached)
    return fail({StatusCode::kOverloaded, "no room for " + std::to_string(tokens.size() / config_.block_size) + " KV blocks"});
  import.tokens = std::move(tokens);
  import.salt = salt;
  import.states.assign(import.table.blocks.size(), BlockState::kWanted);
  std::fill_n(import.states.begin(), *cached, BlockState::kFilled);
  import.filled = *cached;
  import.wanted_end = static_cast<std::uint32_t>(import.states.size());
  imports_.push_back(std::move(import));
  settle(blocks);
  return *cached;
}

void BlockTransfers::shorten_import(kv::BlockManager& blocks, TransferId transfer, std::uint32_t num_blocks) {
  Import* const import = find_import(transfer);
  if (import == nullptr) return;
  import->wanted_end = std::min(import->wanted_end, std::max(num_blocks, import->filled));
  std::erase_if(import->arrived, [import](std::uint32_t index) { return index >= import->wanted_end; });
  settle(blocks);
}

bool BlockTransfers::wants(TransferId transfer, std::uint32_t index) const {
  const Import* const import = find_in(imports_, transfer);
  return import != nullptr && !import->ended && index < import->wanted_end && import->states[index] == BlockState::kWanted;
}

void BlockTransfers::on_block_arrived(TransferId transfer, std::uint32_t index) {
  if (!wants(transfer, index)) return;
  Import* const import = find_import(transfer);
  import->states[index] = BlockState::kArrived;
  import->arrived.push_back(index);
}

std::uint32_t BlockTransfers::unwritten(TransferId transfer) const {
  const Import* const import = find_in(imports_, transfer);
  return import == nullptr ? 0 : static_cast<std::uint32_t>(import->arrived.size()) + import->in_flight;
}

void BlockTransfers::end_import(kv::BlockManager& blocks, TransferId transfer) {
  Import* const import = find_import(transfer);
  if (import == nullptr) return;
  import->end(TransferEnd::Cause::kEnded);
  settle(blocks);
}

void BlockTransfers::add_copies(step::StepPlan& plan, CopiesInFlight& record) {
  const std::size_t copies_max = config_.transfer_blocks_per_step;
  for (Export& transfer : exports_) {
    for (; transfer.reads_next() && plan.reads.size() < copies_max; ++transfer.next, ++transfer.in_flight)
      plan.reads.push_back({transfer.id, transfer.next, transfer.table.blocks[transfer.next]});
  }
  for (Import& import : imports_) {
    if (import.ended) continue;
    const auto count = std::min(import.arrived.size(), copies_max - plan.writes.size());
    for (const std::uint32_t index : std::span(import.arrived).first(count)) {
      plan.writes.push_back({import.id, index, import.table.blocks[index]});
      import.states[index] = BlockState::kPlanned;
    }
    import.arrived.erase(import.arrived.begin(), import.arrived.begin() + static_cast<std::ptrdiff_t>(count));
    import.in_flight += static_cast<std::uint32_t>(count);
  }
  plan.forgotten = std::exchange(forgotten_, {});
  record = {plan.reads, plan.writes};
}

void BlockTransfers::on_step_done(kv::BlockManager& blocks, const CopiesInFlight& copies, const step::StepResult& result) {
  for (const step::BlockCopy& copy : copies.reads) {
    Export& transfer = *find_export(copy.transfer);
    --transfer.in_flight;
    transfer.copied += result.status.ok() ? 1 : 0;
    counters_.blocks_exported += result.status.ok() ? 1 : 0;
  }
  if (!result.status.ok()) {
    for (Export& transfer : exports_) transfer.end(TransferEnd::Cause::kFailed);
    for (Import& import : imports_) import.end(TransferEnd::Cause::kFailed);
  }
  const bool written = result.blocks_written == copies.writes.size();
  for (const step::BlockCopy& copy : copies.writes) {
    Import& import = *find_import(copy.transfer);
    --import.in_flight;
    const step::DamagedBlock name{copy.transfer, copy.index};
    const bool sound = written && std::ranges::find(result.damaged, name) == result.damaged.end();
    import.states[copy.index] = sound && result.status.ok() ? BlockState::kFilled : BlockState::kWanted;
    if (sound || !result.status.ok()) continue;
    // As if it had not come: nothing behind it can be published.
    ++counters_.blocks_damaged;
    import.end(TransferEnd::Cause::kDamaged);
  }
  for (Import& import : imports_) publish(blocks, import);
  settle(blocks);
}

void BlockTransfers::publish(kv::BlockManager& blocks, Import& import) {
  const std::uint32_t before = import.filled;
  while (import.filled < import.states.size() && import.states[import.filled] == BlockState::kFilled) ++import.filled;
  if (import.filled == before) return;
  blocks.on_computed(import.table, std::span(import.tokens).first(std::size_t{import.filled} * config_.block_size), import.salt);
  counters_.blocks_imported += import.filled - before;
}

bool BlockTransfers::give_way(kv::BlockManager& blocks) {
  Transfer* last = last_not_ended(imports_);
  if (last == nullptr) last = last_not_ended(exports_);
  if (last == nullptr) return false;
  last->end(TransferEnd::Cause::kNoRoom);
  settle(blocks);
  return true;
}

std::uint32_t BlockTransfers::blocks_returning(const kv::BlockManager& blocks) const {
  std::uint32_t returning = 0;
  for (const Export& transfer : exports_) returning += transfer.ended ? blocks.exclusive_blocks(transfer.table) : 0;
  for (const Import& import : imports_) returning += import.ended ? blocks.exclusive_blocks(import.table) : 0;
  return returning;
}

void BlockTransfers::settle(kv::BlockManager& blocks) {
  std::erase_if(exports_, [&](Export& transfer) {
    if (!transfer.over()) return false;
    blocks.free(transfer.table);
    ends_.push_back({transfer.id, TransferEnd::Kind::kExport, transfer.cause, transfer.copied});
    return true;
  });
  std::erase_if(imports_, [&](Import& import) {
    if (!import.over()) return false;
    settle(blocks, import);
    return true;
  });
}

void BlockTransfers::settle(kv::BlockManager& blocks, Import& import) {
  blocks.free(import.table);
  ends_.push_back({import.id, TransferEnd::Kind::kImport, import.cause, import.filled});
  counters_.blocks_given_up += import.states.size() - import.filled;
  // Its ranks may have been given what no plan wrote.
  if (import.filled < import.states.size()) forgotten_.push_back(import.id);
}

std::vector<TransferEnd> BlockTransfers::take_ends() { return std::exchange(ends_, {}); }

void BlockTransfers::clear(kv::BlockManager& blocks) {
  for (Export& transfer : exports_) blocks.free(transfer.table);
  for (Import& import : imports_) blocks.free(import.table);
  exports_.clear();
  imports_.clear();
  forgotten_.clear();
  ends_.clear();
}

void BlockTransfers::report(SchedulerStats& stats) const {
  stats.num_exports = static_cast<std::uint32_t>(exports_.size());
  stats.num_imports = static_cast<std::uint32_t>(imports_.size());
  stats.blocks_exported = counters_.blocks_exported;
  stats.blocks_imported = counters_.blocks_imported;
  stats.blocks_damaged = counters_.blocks_damaged;
  stats.blocks_given_up = counters_.blocks_given_up;
}

void BlockTransfers::list_tables(std::vector<const kv::BlockTable*>& tables) const {
  for (const Export& transfer : exports_) tables.push_back(&transfer.table);
  for (const Import& import : imports_) tables.push_back(&import.table);
}

void BlockTransfers::check_integrity(std::span<const CopiesInFlight* const> outstanding) const {
  const auto copies_of = [&](TransferId transfer, auto list) {
    std::uint32_t copies = 0;
    for (const CopiesInFlight* plan : outstanding)
      copies += static_cast<std::uint32_t>(std::ranges::count(plan->*list, transfer, &step::BlockCopy::transfer));
    return copies;
  };
  for (const Export& transfer : exports_) {
    HERD_CHECK(transfer.in_flight == copies_of(transfer.id, &CopiesInFlight::reads), "reads in flight are miscounted");
    HERD_CHECK(transfer.next <= transfer.granted && transfer.granted <= transfer.end_block(), "an export's blocks are out of order");
    HERD_CHECK(!transfer.over(), "an export is over and not settled");
  }
  for (const Import& import : imports_) {
    HERD_CHECK(import.in_flight == copies_of(import.id, &CopiesInFlight::writes), "writes in flight are miscounted");
    HERD_CHECK(import.in_flight == std::ranges::count(import.states, BlockState::kPlanned), "blocks and writes differ");
    HERD_CHECK(std::ranges::all_of(import.arrived, [&](auto i) { return import.states[i] == BlockState::kArrived; }),
               "a block that has not arrived is to be written");
    HERD_CHECK(!import.over(), "an import is over and not settled");
  }
}

}  // namespace herd::scheduler
