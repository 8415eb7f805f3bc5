"""What every GoogleAccess port keeps, in memory and against a Google."""

import pytest

from services.common.errors import AppError, Kind
from tests.contract.ports.worlds import World


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"client_id": "x"}'])
def test_a_token_file_that_is_none_is_refused(world: World, text):
    """A wrong file is a typed error that names the field."""
    with pytest.raises(AppError) as refused:
        world.google.read_grant(text)
    assert (refused.value.kind, refused.value.reason) == (Kind.INVALID_ARGUMENT, "TOKEN_FILE_INVALID")
    assert refused.value.fields[0].field == "token_json"
