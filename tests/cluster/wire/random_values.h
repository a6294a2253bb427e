#pragma once
// Valid values of every message, drawn from a seed: for round trips, mutations and fuzz corpora.

#include <random>
#include <vector>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/link_codec.h"
#include "cluster/wire/rank_codec.h"
#include "cluster/wire/step_codec.h"

namespace herd::wire {

using Random = std::mt19937_64;

step::Submission random_submission(Random& random);
std::vector<step::TokenDelta> random_deltas(Random& random);
step::StepPlan random_plan(Random& random);
step::StepResult random_result(Random& random);
step::StepOutputs random_outputs(Random& random);
step::AttemptKey random_attempt(Random& random);
handshake::Hello random_hello(Random& random);
routing::GatewayJoin random_join(Random& random);
routing::ClusterView random_view(Random& random);
routing::ReplicaLoss random_loss(Random& random);
placement::RankSpec random_rank_spec(Random& random);
handshake::Progress random_ping(Random& random);
handshake::Goodbye random_goodbye(Random& random);

}  // namespace herd::wire
