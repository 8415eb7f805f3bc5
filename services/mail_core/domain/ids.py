"""Ids of the mail core, told apart by the type checker. All but Gmail's are lower-case UUIDs."""

from typing import NewType

TeamId = NewType("TeamId", str)
MailboxId = NewType("MailboxId", str)
SubscriptionId = NewType("SubscriptionId", str)
OperationId = NewType("OperationId", str)
AttemptId = NewType("AttemptId", str)
GmailMessageId = NewType("GmailMessageId", str)
