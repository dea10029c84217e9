// Produce with transactional batches: what the coordinator is asked, and what its answers do.
#include <thread>

#include "transaction_fixture.h"

namespace barnabas::dataplane {
namespace {

class TransactionProduceTest : public TransactionBrokerTest {};

TEST_F(TransactionProduceTest, one_question_is_asked_for_all_partitions_of_a_request) {
  BrokerClient client(port_);
  for (const int16_t version : {3, 8, 9, 11, 12}) {
    const int64_t producer_id = 100 + version;
    ProduceSpec spec = transactional(0, version, producer_id);
    spec.parts.push_back({.topic = "u", .records = batch_of(0, producer_id)});
    spec.parts.push_back({.partition = 1, .records = batch_of(0, producer_id)});
    const int64_t before = log_end();
    client.send(spec);
    const Asked asked = next_question();
    EXPECT_EQ(asked.api_key, 24);
    EXPECT_EQ(asked.api_version, 5);
    EXPECT_EQ(asked.client_id, std::nullopt);
    EXPECT_EQ(asked.peer_host, "");
    EXPECT_EQ(asked.transactional_id, "tx");
    EXPECT_EQ(asked.producer_id, producer_id);
    EXPECT_EQ(asked.producer_epoch, 0);
    EXPECT_EQ(asked.verify_only, version < 12);
    EXPECT_EQ(asked.partitions, (std::vector<Named>{{"t", 0}, {"t", 1}, {"u", 0}}));
    EXPECT_EQ(log_end(), before);
    answer(asked, {{{"t", 1}, ErrorCode::kInvalidTxnState}});
    const auto answers = decode_produce(client.receive(), version);
    ASSERT_EQ(answers.size(), 3U);
    EXPECT_EQ(answers[0].error, ErrorCode::kNone);
    EXPECT_EQ(answers[0].base_offset, before);
    EXPECT_EQ(answers[1].error, ErrorCode::kNone);
    EXPECT_EQ(answers[2].error, ErrorCode::kInvalidTxnState);
    if (version >= 8) {
      EXPECT_EQ(answers[2].message, "Partition was not added to the transaction");
    }
    EXPECT_EQ(log_end(), before + 1);
    EXPECT_EQ(log_end("t", 1), 0);
  }
  EXPECT_FALSE(question_waits());
}

TEST_F(TransactionProduceTest, nobody_is_asked_while_the_transaction_is_open) {
  BrokerClient client(port_);
  EXPECT_EQ(produce_verified(client, transactional(0)).base_offset, 0);
  EXPECT_EQ(client.produce_one(transactional(1)).base_offset, 1);
  EXPECT_EQ(client.produce_one(transactional(1)).base_offset, 1);  // a retry
  end(true);
  EXPECT_EQ(produce_verified(client, transactional(2)).base_offset, 3);
}

TEST_F(TransactionProduceTest, a_marker_that_comes_first_keeps_the_batch_out) {
  BrokerClient client(port_);
  client.send(transactional(0));
  const Asked asked = next_question();
  end(false);
  answer(asked);
  const auto answers = decode_produce(client.receive(), 11);
  EXPECT_EQ(answers.at(0).error, ErrorCode::kInvalidTxnState);
  EXPECT_EQ(log_end(), 1);
  EXPECT_EQ(engine_->partition_info("t", 0)->last_stable_offset, 1);
}

TEST_F(TransactionProduceTest, the_coordinators_errors_are_told_as_producers_know_them) {
  struct Case {
    ErrorCode answered;
    int16_t version;
    ErrorCode told;
    std::string message;
  };
  const std::string unverified =
      "Unable to verify the partition has been added to the transaction. Underlying error: ";
  const std::string not_added = "Partition was not added to the transaction";
  const ErrorCode retry = ErrorCode::kNotEnoughReplicas;
  const std::vector<Case> cases{
      {ErrorCode::kProducerFenced, 11, ErrorCode::kInvalidProducerEpoch, ""},
      {ErrorCode::kInvalidProducerEpoch, 11, ErrorCode::kInvalidProducerEpoch, ""},
      {ErrorCode::kInvalidProducerIdMapping, 12, ErrorCode::kInvalidProducerIdMapping, ""},
      {ErrorCode::kTransactionAbortable, 10, ErrorCode::kInvalidTxnState, not_added},
      {ErrorCode::kTransactionAbortable, 11, ErrorCode::kTransactionAbortable, ""},
      {ErrorCode::kTransactionAbortable, 12, ErrorCode::kTransactionAbortable, ""},
      {ErrorCode::kConcurrentTransactions, 11, retry, unverified + "CONCURRENT_TRANSACTIONS"},
      {ErrorCode::kNotCoordinator, 12, retry, unverified + "NOT_COORDINATOR"},
      {ErrorCode::kCoordinatorNotAvailable, 9, retry, unverified + "COORDINATOR_NOT_AVAILABLE"},
      {ErrorCode::kCoordinatorLoadInProgress, 9, retry,
       unverified + "COORDINATOR_LOAD_IN_PROGRESS"},
  };
  BrokerClient client(port_);
  for (const Case& one : cases) {
    client.send(transactional(0, one.version));
    answer_all(next_question(), one.answered);
    const auto told = decode_produce(client.receive(), one.version).at(0);
    EXPECT_EQ(told.error, one.told) << static_cast<int>(one.answered);
    EXPECT_EQ(told.message.value_or(""), one.message);
    EXPECT_EQ(told.base_offset, -1);
  }
  client.send(transactional(0));
  answer(next_question(), {}, ErrorCode::kClusterAuthorizationFailed);
  EXPECT_EQ(decode_produce(client.receive(), 11).at(0).error, ErrorCode::kInvalidTxnState);
  client.send(transactional(0));
  engine_->close_connection(next_question().token);
  EXPECT_EQ(decode_produce(client.receive(), 11).at(0).message, unverified + "NETWORK_EXCEPTION");
  client.send(transactional(0));
  engine_->respond(next_question().token, {0, 0, 0, 0, 0, 0});
  EXPECT_EQ(decode_produce(client.receive(), 11).at(0).error, ErrorCode::kUnknownServerError);
  EXPECT_EQ(log_end(), 0);
}

TEST_F(TransactionProduceTest, transactions_v2_ask_again_while_the_last_one_is_being_ended) {
  BrokerClient client(port_);
  client.send(transactional(0, 12));
  for (int i = 0; i < 2; ++i) {
    answer_all(next_question(), ErrorCode::kConcurrentTransactions);
  }
  answer(next_question());
  EXPECT_EQ(decode_produce(client.receive(), 12).at(0).base_offset, 0);
  end(true);

  client.send(transactional(1, 12));
  for (int i = 0; i < 20 && question_waits(1000); ++i) {
    answer_all(next_question(), ErrorCode::kConcurrentTransactions);
  }
  EXPECT_EQ(decode_produce(client.receive(), 12).at(0).error, ErrorCode::kConcurrentTransactions);
}

TEST_F(TransactionProduceTest,
       a_marker_between_two_questions_of_transactions_v2_keeps_nothing_out) {
  BrokerClient client(port_);
  ASSERT_EQ(produce_verified(client, transactional(0, 12)).base_offset, 0);
  ProduceSpec next = produce_of(batch_of(0, 5, 1));
  next.transactional_id = "tx";
  next.version = 12;
  client.send(next);
  const Asked too_early = next_question();
  ASSERT_EQ(append_marker(*engine_, "t", 0, {{5, 1}, true, 0, 2}), ErrorCode::kNone);
  answer_all(too_early, ErrorCode::kConcurrentTransactions);
  answer(next_question());
  const ProduceAnswer told = decode_produce(client.receive(), 12).at(0);
  EXPECT_EQ(told.error, ErrorCode::kNone) << told.message.value_or("");
  EXPECT_EQ(told.base_offset, 2);
}

TEST_F(TransactionProduceTest, a_full_control_queue_pauses_the_producer_and_loses_nothing) {
  ASSERT_TRUE(engine_
                  ->set_broker_config(
                      {{"num.network.threads", int64_t{2}}, {"queued.max.requests", int64_t{1}}})
                  .ok());
  std::vector<std::unique_ptr<BrokerClient>> clients;
  constexpr int kClients = 8;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<BrokerClient>(port_));
    clients.back()->send(transactional(0, 11, 100 + i));
  }
  for (int i = 0; i < kClients; ++i) {
    answer(next_question());
    EXPECT_LE(stat("requests_queued"), 1);
  }
  for (const auto& client : clients) {
    EXPECT_EQ(decode_produce(client->receive(), 11).at(0).error, ErrorCode::kNone);
  }
  EXPECT_EQ(log_end(), kClients);
}

TEST_F(TransactionProduceTest, what_follows_on_the_connection_waits_and_others_do_not) {
  BrokerClient client(port_);
  client.send(transactional(0));
  client.send(transactional(1));
  client.send(fetch_of(0));
  const Asked asked = next_question();
  BrokerClient other(port_);
  EXPECT_EQ(other.produce_one(ProduceSpec{}).base_offset, 0);
  EXPECT_FALSE(question_waits(20)) << "the second batch must not be asked for before the first";
  answer(asked);
  EXPECT_EQ(decode_produce(client.receive(), 11).at(0).base_offset, 1);
  EXPECT_EQ(decode_produce(client.receive(), 11).at(0).base_offset, 2);
  EXPECT_EQ(base_offsets(decode_fetch(client.receive(), 12).parts.at(0).records),
            (std::vector<int64_t>{0, 1, 2}));
}

TEST_F(TransactionProduceTest, a_client_that_comes_back_meanwhile_leaves_one_copy) {
  Asked first;
  {
    BrokerClient client(port_);
    client.send(transactional(0));
    first = next_question();
  }
  BrokerClient again(port_);
  again.send(transactional(0));
  const Asked second = next_question();
  answer(first);
  answer(second);
  EXPECT_EQ(decode_produce(again.receive(), 11).at(0).base_offset, 0);
  EXPECT_EQ(log_end(), 1);
  EXPECT_TRUE(parked(0));
}

TEST_F(TransactionProduceTest, a_connection_that_is_reset_takes_its_request_along) {
  Asked asked;
  {
    BrokerClient client(port_);
    client.send(transactional(0));
    asked = next_question();
    ASSERT_TRUE(parked(1));
    client.socket().reset();
  }
  EXPECT_TRUE(parked(0));
  answer(asked);
  BrokerClient again(port_);
  EXPECT_EQ(produce_verified(again, transactional(0)).base_offset, 0);
  EXPECT_EQ(log_end(), 1);
}

TEST_F(TransactionProduceTest, a_stop_does_not_wait_for_an_answer) {
  BrokerClient client(port_);
  client.send(transactional(0));
  next_question();
  ASSERT_TRUE(engine_->stop(3'600'000).ok());
  EXPECT_EQ(decode_produce(client.receive(), 11).at(0).error, ErrorCode::kNotLeaderOrFollower);
}

TEST_F(TransactionProduceTest, a_request_of_two_producers_is_refused_as_a_whole) {
  BrokerClient client(port_);
  ProduceSpec spec = transactional(0);
  spec.parts.push_back({.partition = 1, .records = batch_of(0, 6)});
  spec.parts.push_back({.topic = "u"});
  for (const auto& told : client.produce(spec)) {
    EXPECT_EQ(told.error, ErrorCode::kInvalidProducerIdMapping);
  }
  EXPECT_EQ(log_end(), 0);
}

TEST_F(TransactionProduceTest, plain_batches_in_a_transactional_request_are_asked_for_by_nobody) {
  BrokerClient client(port_);
  ProduceSpec spec;
  spec.transactional_id = "tx";
  EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kNone);
  spec = transactional(0);
  spec.parts[0].topic = "missing";
  EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_FALSE(question_waits());
}

TEST_F(TransactionProduceTest, epochs_and_plain_batches_are_checked_against_the_transaction) {
  BrokerClient client(port_);
  ProduceSpec later = transactional(0);
  later.parts[0].records = batch_of(0, 5, 2);
  EXPECT_EQ(produce_verified(client, later).error, ErrorCode::kNone);
  EXPECT_EQ(client.produce_one(transactional(0)).error, ErrorCode::kInvalidProducerEpoch);
  const auto plain =
      storage::make_batch({.producer_id = 5, .producer_epoch = 2, .base_sequence = 1});
  EXPECT_EQ(client.produce_one(produce_of(plain)).error, ErrorCode::kInvalidTxnState);
  EXPECT_FALSE(question_waits());
}

TEST_F(TransactionProduceTest, without_verification_only_transactions_v2_ask) {
  ASSERT_TRUE(engine_
                  ->set_broker_config({{"num.network.threads", int64_t{2}},
                                       {"transaction.partition.verification.enable", false}})
                  .ok());
  BrokerClient client(port_);
  EXPECT_EQ(client.produce_one(transactional(0)).base_offset, 0);
  end(true);
  EXPECT_EQ(produce_verified(client, transactional(1, 12)).base_offset, 2);
}

TEST_F(TransactionProduceTest, a_topic_obeys_what_the_broker_is_set_to_while_it_is_made) {
  const std::vector<std::pair<int32_t, int32_t>> partitions{{0, 0}};
  const auto creation =
      engine_->begin_creation("new", id_of(3), partitions, {{"segment.ms", INT64_MAX}});
  ASSERT_TRUE(creation.ok());
  ASSERT_TRUE(engine_
                  ->set_broker_config({{"num.network.threads", int64_t{2}},
                                       {"transaction.partition.verification.enable", false}})
                  .ok());
  ASSERT_TRUE((*creation)->carry_out().ok());
  ProduceSpec spec = transactional(0);
  spec.parts[0].topic = "new";
  BrokerClient client(port_);
  client.send(spec);
  EXPECT_FALSE(question_waits(100));
  EXPECT_EQ(decode_produce(client.receive(), 11).at(0).base_offset, 0);
}

TEST_F(TransactionProduceTest, a_batch_that_takes_long_to_expand_goes_on_behind_its_verification) {
  ProduceSpec spec = transactional(0);
  spec.parts[0].records = storage::make_batch({.records = 1,
                                               .value_bytes = 6 << 20,
                                               .producer_id = 5,
                                               .transactional = true,
                                               .codec = record::Codec::kZstd});
  BrokerClient client(port_);
  EXPECT_EQ(produce_verified(client, spec).base_offset, 0);
  EXPECT_EQ(engine_->partition_info("t", 0)->last_stable_offset, 0);
}

TEST_F(TransactionProduceTest, many_producers_at_once_are_each_answered_once) {
  constexpr int kThreads = 4;
  constexpr int kTransactions = 50;
  std::atomic<bool> done{false};
  std::thread coordinator([&] {
    while (!done) {
      if (!question_waits(10)) continue;
      const Asked asked = next_question();
      answer(asked);
    }
  });
  std::vector<std::thread> producers;
  for (int i = 0; i < kThreads; ++i) {
    producers.emplace_back([&, id = 100 + i] {
      BrokerClient client(port_);
      for (int n = 0; n < kTransactions; ++n) {
        EXPECT_EQ(client.produce_one(transactional(2 * n, 11, id)).error, ErrorCode::kNone);
        EXPECT_EQ(client.produce_one(transactional(2 * n + 1, 11, id)).error, ErrorCode::kNone);
        end(n % 2 == 0, id);
      }
    });
  }
  for (auto& producer : producers) producer.join();
  done = true;
  coordinator.join();
  EXPECT_EQ(log_end(), kThreads * kTransactions * 3);
  EXPECT_EQ(engine_->partition_info("t", 0)->last_stable_offset, log_end());
}

}  // namespace
}  // namespace barnabas::dataplane
