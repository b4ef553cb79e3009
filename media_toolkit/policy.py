"""UploadPolicy: what a browser may have signed, and what must be true of what it then saves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from media_toolkit import naming
from media_toolkit.errors import PolicyError

if TYPE_CHECKING:
    from media_toolkit.asset import Asset

Kind = Literal["image", "video", "raw"]

# Harmless under every policy; `source` is what Cloudinary's own upload widget adds.
_ALWAYS = frozenset({"allowed_formats", "context", "folder", "overwrite", "source", "tags"})
_NAMING = frozenset(
    {"filename_override", "public_id", "public_id_prefix", "unique_filename", "use_filename"}
)
_PLACEHOLDER = re.compile(r"\{\w*\}")
_CONTEXT_PAIR = re.compile(r"(?<!\\)\|")
_CONTEXT_EQUALS = re.compile(r"(?<!\\)=")


class UploadPolicy(BaseModel):
    """What callers of `/generate-signature` may have. Frozen.

    The default forces nothing and lets nobody choose a name: a signature covers its timestamp
    alone, as in Neon's guide. `{user_id}` in folder, tags and context is who asks; another word
    in braces is refused.

    Attributes:
        folder: where uploads go, e.g. "{user_id}"; a caller may ask for a folder below it.
            "" leaves the folder to the caller.
        allowed_formats: e.g. ("jpg", "png"); a caller may ask for fewer. () means any.
        resource_types: the kinds that may be saved.
        max_bytes: the largest that may be saved. Cloudinary has no such parameter.
        tags, context: put on every upload, beside what the caller asks for.
        may_choose_public_id: else each signed name is random.
        may_overwrite: overwrite=true may be asked for, and is signed for an asset of the caller's
            own; else overwrite=false is signed with every name.
        options: further upload options that a caller may ask for, e.g. ("eager", "phash").
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = ""
    allowed_formats: tuple[str, ...] = ()
    resource_types: tuple[Kind, ...] = ("image", "video", "raw")
    max_bytes: int | None = Field(default=None, gt=0)
    tags: tuple[str, ...] = ()
    context: Mapping[str, str] = Field(default_factory=dict)
    may_choose_public_id: bool = False
    may_overwrite: bool = False
    options: frozenset[str] = frozenset()

    @field_validator("allowed_formats", mode="after")
    @classmethod
    def _lower_case(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.lower().lstrip(".") for name in formats)

    @field_validator("folder", "tags", "context", mode="after")
    @classmethod
    def _no_other_placeholder(cls, value: Any) -> Any:
        texts = value.values() if isinstance(value, Mapping) else value
        names = _PLACEHOLDER.findall("\n".join([texts] if isinstance(texts, str) else texts))
        if unknown := sorted(set(names) - {"{user_id}"}):
            raise ValueError(f"names {', '.join(unknown)}; the only placeholder is {{user_id}}")
        return value

    @property
    def forces_nothing(self) -> bool:
        """Whether a signature of the timestamp alone is within the policy."""
        return not (self.folder or self.allowed_formats or self.tags or self.context)

    @property
    def needs_facts(self) -> bool:
        """Whether size, kind or format is limited: of these Cloudinary's answer signs nothing, so
        it is asked for them, whatever the page says."""
        return (
            self.max_bytes is not None or len(self.resource_types) < 3 or bool(self.allowed_formats)
        )

    def permit(
        self, wanted: Mapping[str, Any], user_id: str, *, exact: bool = False
    ) -> dict[str, Any]:
        """What is wanted, with what the policy adds: the options to sign.

        Args:
            wanted: upload options as the SDK takes them; tags and context as text too.
            exact: add nothing, for a caller whose strings stand already (the upload widget).

        Raises:
            PolicyError: naming each objection; the hint says what is allowed.
        """
        allowed = _ALWAYS | self.options | (_NAMING if self.may_choose_public_id else frozenset())
        wrong = [f"{name} may not be chosen" for name in sorted(set(wanted) - allowed)]
        if naming.is_on(wanted.get("overwrite"), False) and not self.may_overwrite:
            wrong.append("overwrite may not be asked for")
        options = dict(wanted)
        wrong += self._fill_folder(options, user_id, exact)
        wrong += self._fill_formats(options, exact)
        wrong += self._fill_labels(options, user_id, exact)
        if wrong:
            raise PolicyError("; ".join(wrong), hint=self.describe(user_id))
        if not naming.is_random(options) and options.get("overwrite") in (None, ""):
            # Cloudinary overwrites unless told otherwise.
            if exact and not self.may_overwrite:
                raise PolicyError(
                    "a chosen public_id needs overwrite=false beside it",
                    hint=self.describe(user_id),
                )
            if not exact:
                options["overwrite"] = False
        return options

    def objections(
        self, asset: Asset, user_id: str, signed: Mapping[str, str] | None = None
    ) -> list[str]:
        """What is not as the policy, or the strings that were signed, would have it; [] if all is.

        Args:
            signed: the parameters of this upload's own signature, where it is known.
        """
        signed = signed or {}
        wrong = []
        folder = signed.get("folder") or self.folder_of(user_id)
        inside = asset.public_id.startswith(f"{folder}/") or _is_within(asset.folder or "", folder)
        if folder and not inside:
            wrong.append(f"it is not in the folder {folder}")
        formats = _words(signed.get("allowed_formats")) or self.allowed_formats
        if formats and _plain_format(asset.format) not in {_plain_format(f) for f in formats}:
            wrong.append(f"its format is {asset.format}, not one of {', '.join(formats)}")
        if asset.resource_type not in self.resource_types:
            wrong.append(f"it is of the kind {asset.resource_type}")
        if self.max_bytes is not None and (asset.bytes is None or asset.bytes > self.max_bytes):
            wrong.append(f"it has {asset.bytes} bytes, and {self.max_bytes} are allowed")
        missing = [
            tag
            for tag in (*self._tags_of(user_id), *_words(signed.get("tags")))
            if tag not in asset.tags
        ]
        if missing:
            wrong.append(f"it lacks the tags {', '.join(dict.fromkeys(missing))}")
        wrong += [
            f"its context {key} is not {value}"
            for key, value in self._context_of(user_id).items()
            if asset.context.get(key) != value
        ]
        return wrong

    def folder_of(self, user_id: str) -> str:
        """The folder of this user's uploads, without outer slashes; "" where all are allowed."""
        return self.folder.replace("{user_id}", as_segment(user_id)).strip("/")

    def describe(self, user_id: str) -> str:
        """What is allowed, in one sentence."""
        names = _ALWAYS | self.options | (_NAMING if self.may_choose_public_id else frozenset())
        told = [f"allowed: {', '.join(sorted(names - {'overwrite', 'source'}))}"]
        if self.folder:
            told.append(f"folder {self.folder_of(user_id)} or one below it")
        if self.allowed_formats:
            told.append(f"formats {', '.join(self.allowed_formats)}")
        if self.max_bytes is not None:
            told.append(f"at most {self.max_bytes} bytes")
        if len(self.resource_types) < 3:
            told.append(f"only {', '.join(self.resource_types)}")
        return "; ".join(told)

    def resource_type_for(self, wanted: str) -> str:
        """The kind of upload to sign the address of; raises PolicyError for one not allowed."""
        if wanted == "auto":
            return self.resource_types[0] if len(self.resource_types) == 1 else "auto"
        if wanted not in self.resource_types:
            raise PolicyError(
                f"uploads of the kind {wanted} are not allowed",
                hint=f"allowed: {', '.join(self.resource_types)}",
            )
        return wanted

    def _fill_folder(self, options: dict[str, Any], user_id: str, exact: bool) -> list[str]:
        own = self.folder_of(user_id)
        asked = str(options.get("folder") or "").strip("/")
        if asked and any(part.strip() in ("", ".", "..") for part in asked.split("/")):
            return [f"the folder {asked} has an empty, '.' or '..' part"]
        if own and (asked or exact) and not _is_within(asked, own):
            return [f"the folder {asked or '(none)'} is not {own} or below it"]
        if (asked or own) and not exact:
            options["folder"] = asked or own
        return []

    def _fill_formats(self, options: dict[str, Any], exact: bool) -> list[str]:
        asked = _words(options.get("allowed_formats"))
        if not self.allowed_formats:
            return []
        foreign = [f for f in asked if f.lower() not in self.allowed_formats]
        if foreign or (exact and not asked):
            return [f"allowed_formats {', '.join(foreign) or '(none)'} is more than is allowed"]
        if not exact:
            options["allowed_formats"] = list(asked or self.allowed_formats)
        return []

    def _fill_labels(self, options: dict[str, Any], user_id: str, exact: bool) -> list[str]:
        asked, forced = _words(options.get("tags")), self._tags_of(user_id)
        context, ruled = read_context(options.get("context")), self._context_of(user_id)
        if exact:
            lacking = [tag for tag in forced if tag not in asked]
            lacking += [f"{k}={v}" for k, v in ruled.items() if context.get(k) != v]
            return [f"{', '.join(lacking)} must be among tags and context"] if lacking else []
        wrong = [
            f"context {k} is {v} for every upload"
            for k, v in ruled.items()
            if context.get(k, v) != v
        ]
        if asked or forced:
            options["tags"] = list(dict.fromkeys((*forced, *asked)))
        if context or ruled:
            options["context"] = {**context, **ruled}
        return wrong

    def _tags_of(self, user_id: str) -> list[str]:
        return [tag.replace("{user_id}", user_id.replace(",", " ")) for tag in self.tags]

    def _context_of(self, user_id: str) -> dict[str, str]:
        return {k: v.replace("{user_id}", user_id) for k, v in self.context.items()}


def as_segment(user_id: str) -> str:
    """A user id as one part of a folder: no two are alike, and none leads out of the folder."""
    safe = re.sub(r"[^\w.@-]", lambda found: f"={ord(found[0]):x}=", user_id)
    return re.sub(r"^\.", "=2e=", safe)


def read_context(context: Any) -> dict[str, str]:
    """`{"alt": "…"}`, or Cloudinary's own `alt=…|caption=…`, as a mapping."""
    if isinstance(context, str):
        pairs = (_CONTEXT_EQUALS.split(pair, 1) for pair in _CONTEXT_PAIR.split(context) if pair)
        return {_unescaped(p[0]): _unescaped(p[1]) if len(p) > 1 else "" for p in pairs}
    return {str(key): str(value) for key, value in (context or {}).items()}


def _unescaped(text: str) -> str:
    return text.replace(r"\|", "|").replace(r"\=", "=")


def _words(value: Any) -> list[str]:
    words = value.split(",") if isinstance(value, str) else value or ()
    return [word for one in words if (word := str(one).strip())]


def _is_within(folder: str, outer: str) -> bool:
    return folder == outer or folder.startswith(f"{outer}/")


def _plain_format(name: str | None) -> str:
    lower = (name or "").lower()
    return {"jpeg": "jpg", "tiff": "tif", "htm": "html"}.get(lower, lower)
