"""What the card does not declare, refused as the protocol demands (A2A 1.0 §3.3.4)."""

from abc import ABC
from typing import Any, NoReturn

from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.utils.errors import PushNotificationNotSupportedError, UnsupportedOperationError


class WithoutPushAndExtendedCard(RequestHandler, ABC):
    """A handler with neither push notifications nor an extended card."""

    async def on_create_task_push_notification_config(self, params: Any, context: Any) -> NoReturn:
        """Refuse: push notifications are not declared."""
        del params, context
        raise PushNotificationNotSupportedError

    async def on_get_task_push_notification_config(self, params: Any, context: Any) -> NoReturn:
        """Refuse: push notifications are not declared."""
        del params, context
        raise PushNotificationNotSupportedError

    async def on_list_task_push_notification_configs(self, params: Any, context: Any) -> NoReturn:
        """Refuse: push notifications are not declared."""
        del params, context
        raise PushNotificationNotSupportedError

    async def on_delete_task_push_notification_config(self, params: Any, context: Any) -> NoReturn:
        """Refuse: push notifications are not declared."""
        del params, context
        raise PushNotificationNotSupportedError

    async def on_get_extended_agent_card(self, params: Any, context: Any) -> NoReturn:
        """Refuse: an extended card is not declared."""
        del params, context
        raise UnsupportedOperationError("There is no extended agent card.")
