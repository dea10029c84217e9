"""How a key of a broker is declared."""

from barnabas.config.keys import ConfigType, Importance, Key, Update, Value
from barnabas.config.topic_keys import NO_EFFECT
from barnabas.config.validators import Validator


def broker_key(
    importance: Importance,
    name: str,
    type_: ConfigType,
    default: Value,
    doc: str,
    *,
    check: Validator | None = None,
    update: Update = Update.READ_ONLY,
    used: bool = True,
) -> Key:
    """One without synonyms; `used`: it has an effect here."""
    return Key(
        name=name,
        type=type_,
        default=default,
        doc=doc if used else f"{doc} {NO_EFFECT}",
        importance=importance,
        validator=check,
        update=update,
        nullable=default is None,
        used=used,
    )
