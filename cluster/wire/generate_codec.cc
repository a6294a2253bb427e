#include "cluster/wire/generate_codec.h"

#include <cmath>

#include "cluster/schema/generate.capnp.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {
namespace {

using step::FinishReason;
using step::Submission;
using step::TokenDelta;

schema::FinishReason to_schema(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return schema::FinishReason::NONE;
    case FinishReason::kStop:
      return schema::FinishReason::STOP;
    case FinishReason::kLength:
      return schema::FinishReason::LENGTH;
    case FinishReason::kAborted:
      return schema::FinishReason::ABORTED;
    case FinishReason::kFailed:
      return schema::FinishReason::FAILED;
    case FinishReason::kRefused:
      return schema::FinishReason::REFUSED;
  }
  return schema::FinishReason::UNKNOWN;
}

FinishReason read_finish(schema::FinishReason reason) {
  switch (reason) {
    case schema::FinishReason::UNKNOWN:
      break;
    case schema::FinishReason::NONE:
      return FinishReason::kNone;
    case schema::FinishReason::STOP:
      return FinishReason::kStop;
    case schema::FinishReason::LENGTH:
      return FinishReason::kLength;
    case schema::FinishReason::ABORTED:
      return FinishReason::kAborted;
    case schema::FinishReason::FAILED:
      return FinishReason::kFailed;
    case schema::FinishReason::REFUSED:
      return FinishReason::kRefused;
  }
  throw Refusal{bad_input("finish: unknown")};
}

void check(const TokenDelta& delta) {
  if (delta.has_token) {
    wire::check(delta.token);
    require(delta.token.sequence == delta.sequence, "token of another sequence");
  } else {
    require(delta.token == step::SampledToken{}, "a token that is not there");
  }
  require(delta.outputs.size() <= step::kDeltaOutputsMax, "more than 8 outputs");
  for (const auto& rows : delta.outputs) {
    wire::check(rows);
    require(rows.sequence == delta.sequence, "rows of another sequence");
  }
  require(delta.prompt_logprobs.size() <= step::kDeltaOutputsMax, "more than 8 runs of prompt logprobs");
  for (const auto& run : delta.prompt_logprobs) {
    wire::check(run);
    require(run.sequence == delta.sequence, "prompt logprobs of another sequence");
    for (const auto& entry : run.tokens) require(!std::isnan(entry.logprob), "prompt logprob is NaN");
  }
  require(delta.finish != FinishReason::kNone || delta.error.ok(), "an error before the end");
  // What is refused may be tried elsewhere: nothing of it may have been delivered.
  require(delta.finish != FinishReason::kRefused ||
              (!delta.has_token && delta.outputs.empty() && delta.prompt_logprobs.empty()),
          "a refusal with outputs");
  require(delta.cached_tokens <= kSequenceTokensMax, "too many cached tokens");
  for (const float seconds : {delta.queued_s, delta.prefill_s})
    require(std::isfinite(seconds) && seconds >= 0.0F, "seconds not finite or negative");
}

void check(const step::KvSource& source) {
  require(source.epoch != Epoch(), "a source of no generation");
  require(source.tokens <= kSequenceTokensMax, "a source of more than 2^20 tokens");
  require(!source.address.empty(), "a source without an address");
  check_text(source.address, kSourceAddressBytesMax, "source: address");
}

void check(const Submission& submission) {
  require(!submission.tokens.empty(), "no tokens");
  require(submission.tokens.size() <= kSequenceTokensMax, "more than 2^20 tokens");
  check_token_ids(submission.tokens, "negative token id");
  require(submission.prompt_tokens >= 1 && submission.prompt_tokens <= submission.tokens.size(),
          "prompt border outside the tokens");
  require(submission.max_tokens <= kSequenceTokensMax, "max_tokens above 2^20");
  wire::check(submission.sampling);
  require(submission.eos_ids.size() <= kEosIdsMax, "more than 128 end ids");
  require(submission.alone_until <= kSequenceTokensMax, "alone for more than 2^20 tokens");
  check_token_ids(submission.eos_ids, "negative end id");
  if (submission.source.tokens > 0) check(submission.source);
}

step::KvSource read_source(schema::KvSource::Reader from) {
  step::KvSource source{ReplicaId(from.getReplica()), Epoch(from.getEpoch()),
                        read_text(from.getAddress(), kSourceAddressBytesMax, "source: address"), from.getTokens()};
  require(source.tokens > 0, "a source that has no tokens");
  check(source);
  return source;
}

void write(schema::TokenDelta::Builder to, const TokenDelta& delta) {
  to.setGateway(delta.gateway.value);
  to.setSequence(delta.sequence.value);
  to.setAttempt(delta.attempt);
  if (delta.has_token) wire::write(to.initToken(), delta.token);
  auto outputs = to.initOutputs(static_cast<unsigned>(delta.outputs.size()));
  for (unsigned i = 0; i < outputs.size(); ++i) wire::write(outputs[i], delta.outputs[i]);
  if (!delta.prompt_logprobs.empty()) {
    auto runs = to.initPromptLogprobs(static_cast<unsigned>(delta.prompt_logprobs.size()));
    for (unsigned i = 0; i < runs.size(); ++i) wire::write(runs[i], delta.prompt_logprobs[i]);
  }
  to.setFinish(to_schema(delta.finish));
  if (!delta.error.ok()) wire::write(to.initError(), delta.error);
  to.setCachedTokens(delta.cached_tokens);
  to.setQueuedSeconds(delta.queued_s);
  to.setPrefillSeconds(delta.prefill_s);
  to.setPreemptions(delta.preemptions);
}

TokenDelta read(schema::TokenDelta::Reader from) {
  TokenDelta delta;
  delta.gateway = GatewayId(from.getGateway());
  delta.sequence = SequenceId(from.getSequence());
  delta.attempt = from.getAttempt();
  delta.has_token = from.hasToken();
  if (delta.has_token) delta.token = read_sampled(from.getToken());
  const auto outputs = from.getOutputs();
  require(outputs.size() <= step::kDeltaOutputsMax, "more than 8 outputs");
  for (const auto rows : outputs) delta.outputs.push_back(read_rows(rows));
  const auto runs = from.getPromptLogprobs();
  require(runs.size() <= step::kDeltaOutputsMax, "more than 8 runs of prompt logprobs");
  for (const auto run : runs) delta.prompt_logprobs.push_back(read_prompt_logprobs(run));
  delta.finish = read_finish(from.getFinish());
  if (from.hasError()) delta.error = read_status(from.getError());
  delta.cached_tokens = from.getCachedTokens();
  delta.queued_s = from.getQueuedSeconds();
  delta.prefill_s = from.getPrefillSeconds();
  delta.preemptions = from.getPreemptions();
  return delta;
}

}  // namespace

Status validate(const Submission& submission) {
  return status_of([&] { check(submission); });
}

Status validate(std::span<const TokenDelta> deltas) {
  return status_of([&] {
    require(deltas.size() <= kDeltasMax, "more than 65536 deltas");
    for (const auto& delta : deltas) check(delta);
  });
}

Status validate(const step::AttemptKey&) { return {}; }

Frame encode(const Submission& submission) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::Submission>();
  to.setGateway(submission.gateway.value);
  to.setSequence(submission.sequence.value);
  to.setAttempt(submission.attempt);
  to.setTokens(kj::arrayPtr(submission.tokens.data(), submission.tokens.size()));
  to.setPromptTokens(submission.prompt_tokens);
  to.setTokensMax(submission.max_tokens);
  wire::write(to.initSampling(), submission.sampling);
  to.setEosIds(kj::arrayPtr(submission.eos_ids.data(), submission.eos_ids.size()));
  to.setPriority(submission.priority);
  to.setCacheSalt(submission.cache_salt);
  to.setOutput(wire::to_schema(submission.output));
  to.setAloneUntil(submission.alone_until);
  if (submission.source.tokens > 0) {
    auto source = to.initSource();
    source.setReplica(submission.source.replica.value);
    source.setEpoch(submission.source.epoch.value);
    source.setAddress(text(submission.source.address));
    source.setTokens(submission.source.tokens);
  }
  return {FrameKind::kSubmission, to_words(message)};
}

Frame encode(const step::AttemptKey& aborted) {
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<schema::Abort>().initAttempt(), aborted);
  return {FrameKind::kAbort, to_words(message)};
}

Frame encode(std::span<const TokenDelta> deltas) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::TokenDeltas>().initDeltas(static_cast<unsigned>(deltas.size()));
  for (unsigned i = 0; i < to.size(); ++i) write(to[i], deltas[i]);
  return {FrameKind::kTokenDeltas, to_words(message)};
}

Expected<Submission> decode_submission(std::span<const std::uint64_t> words) {
  return read_message<schema::Submission, Submission>(
      FrameKind::kSubmission, "submission", words, [](schema::Submission::Reader from) {
        Submission submission;
        submission.gateway = GatewayId(from.getGateway());
        submission.sequence = SequenceId(from.getSequence());
        submission.attempt = from.getAttempt();
        submission.tokens = read_numbers<TokenId>(from.getTokens(), kSequenceTokensMax, "more than 2^20 tokens");
        submission.prompt_tokens = from.getPromptTokens();
        submission.max_tokens = from.getTokensMax();
        submission.sampling = read_sampling(from.getSampling());
        submission.eos_ids = read_numbers<TokenId>(from.getEosIds(), kEosIdsMax, "more than 128 end ids");
        submission.priority = from.getPriority();
        submission.cache_salt = from.getCacheSalt();
        submission.output = read_selector(from.getOutput());
        submission.alone_until = from.getAloneUntil();
        if (from.hasSource()) submission.source = read_source(from.getSource());
        check(submission);
        return submission;
      });
}

Expected<step::AttemptKey> decode_abort(std::span<const std::uint64_t> words) {
  return read_message<schema::Abort, step::AttemptKey>(FrameKind::kAbort, "abort", words, [](schema::Abort::Reader from) {
    require(from.hasAttempt(), "names no attempt");
    return read_attempt(from.getAttempt());
  });
}

Expected<std::vector<TokenDelta>> decode_token_deltas(std::span<const std::uint64_t> words) {
  return read_message<schema::TokenDeltas, std::vector<TokenDelta>>(
      FrameKind::kTokenDeltas, "deltas", words, [](schema::TokenDeltas::Reader from) {
        const auto list = from.getDeltas();
        require(list.size() <= kDeltasMax, "more than 65536 deltas");
        std::vector<TokenDelta> deltas;
        deltas.reserve(list.size());
        for (const auto delta : list) {
          deltas.push_back(read(delta));
          check(deltas.back());
        }
        return deltas;
      });
}

}  // namespace herd::wire
