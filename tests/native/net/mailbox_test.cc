#include "net/mailbox.h"

#include <gtest/gtest.h>
#include <poll.h>

namespace barnabas::net {
namespace {

bool is_woken(const Mailbox& mailbox) {
  pollfd entry{mailbox.fd(), POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1;
}

TEST(Mailbox, ASleeperIsWokenAndATakerIsNot) {
  Mailbox mailbox(std::move(Mailbox::create_eventfd()).value());
  std::vector<Mailbox::Message> messages;
  mailbox.push(Task([] {}));
  EXPECT_TRUE(is_woken(mailbox)) << "before the first round";
  mailbox.clear_wakeup();
  mailbox.take(messages);
  EXPECT_EQ(messages.size(), 1U);

  mailbox.push(Task([] {}));
  EXPECT_FALSE(is_woken(mailbox)) << "the reactor is awake and looks before it sleeps";
  EXPECT_FALSE(mailbox.prepare_to_sleep());
  mailbox.take(messages);

  EXPECT_TRUE(mailbox.prepare_to_sleep());
  for (int i = 0; i < 100; ++i) mailbox.push(Task([] {}));
  EXPECT_TRUE(is_woken(mailbox));
  mailbox.clear_wakeup();
  EXPECT_FALSE(is_woken(mailbox));
  mailbox.take(messages);
  EXPECT_EQ(messages.size(), 100U);
}

}  // namespace
}  // namespace barnabas::net
