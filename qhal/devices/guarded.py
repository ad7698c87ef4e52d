"""Objects that take no new public attributes: ``voa.attenuation_db = 20`` must not pass for setting anything."""

from difflib import get_close_matches


class Guarded:
    """Public attributes are those that the class annotates; any other assignment raises AttributeError.

    Names with an underscore are free: they belong to the class's author.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_") or any(
            name in getattr(kind, "__annotations__", ()) for kind in type(self).__mro__
        ):
            object.__setattr__(self, name, value)
            return
        attribute = getattr(type(self), name, None)
        if callable(attribute):
            raise AttributeError(f"{self!r}: {name} is a method; call it: {name}(...)")
        verbs = [
            verb
            for verb in dir(type(self))
            if not verb.startswith("_") and callable(getattr(type(self), verb))
        ]
        likely = [f"set_{name}"] if f"set_{name}" in verbs else get_close_matches(name, verbs, 3, 0.5)
        hint = f"; call {' or '.join(f'{verb}(...)' for verb in likely)}" if likely else ""
        if isinstance(attribute, property):
            raise AttributeError(f"{self!r}: {name} can only be read{hint}")
        raise AttributeError(f"{self!r}: no attribute {name!r} to assign{hint}")
