"""What the bodies of requests must look like; also the schemas of `/openapi.json`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, field_validator

from media_toolkit.web.refusals import BadRequest

_MAX_BIGINT = 2**63 - 1
_MAX_INT = 2**31 - 1
Text = Annotated[str, Field(max_length=255)]
Label = Annotated[str, Field(min_length=1, max_length=255)]
Whole = Annotated[int, Field(ge=0, le=_MAX_INT)]
M = TypeVar("M", bound=BaseModel)
# What takes one of several kinds, of each of which pydantic would tell in its own words.
_MEANT = {
    "tags": "a list of tags of 1 to 255 letters, or one text of them, by commas",
    "context": "a mapping of text to text, or key=value|key=value as one text",
    "allowed_formats": "a list of formats, or one text of them, by commas",
    "overwrite": "true or false",
}


class WantedUpload(BaseModel):
    """What `POST /generate-signature` takes: upload options, as Cloudinary names them.

    Which of them are allowed is the upload policy's to say; others than these are its too.
    """

    model_config = ConfigDict(extra="allow", title="WantedUpload")

    resource_type: Literal["auto", "image", "video", "raw"] = "auto"
    folder: Text | None = None
    public_id: Text | None = None
    tags: list[Label] | Annotated[str, Field(max_length=10_000)] | None = None
    context: dict[str, str] | Annotated[str, Field(max_length=10_000)] | None = None
    allowed_formats: list[Label] | Text | None = None
    overwrite: StrictBool | Literal["0", "1", "false", "true"] | None = None
    timestamp: Annotated[int, Field(ge=0, le=99_999_999_999)] | None = Field(
        None, description="sign exactly these strings and this time; add nothing"
    )


class UploadedAsset(BaseModel):
    """What `POST /save-metadata` takes: the guide's three fields or Cloudinary's whole answer."""

    model_config = ConfigDict(extra="allow", title="UploadedAsset")

    public_id: Annotated[str, Field(min_length=1, max_length=255)]
    secure_url: Annotated[str, Field(min_length=1, max_length=2048)]
    resource_type: Literal["image", "video", "raw"]
    type: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")] | None = None
    version: Annotated[int, Field(ge=0, le=_MAX_BIGINT)] | None = None
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")] | None = None
    asset_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    format: Annotated[str, Field(max_length=32)] | None = None
    width: Whole | None = None
    height: Whole | None = None
    bytes: Annotated[int, Field(ge=0, le=_MAX_BIGINT)] | None = None
    duration: Annotated[float, Field(ge=0, le=1e9)] | None = None
    tags: Annotated[list[Text], Field(max_length=1000)] | None = None
    context: dict[str, Any] | None = None
    folder: Text | None = None
    asset_folder: Text | None = None
    original_filename: Annotated[str, Field(max_length=1024)] | None = None
    etag: Text | None = None
    phash: Text | None = None
    created_at: datetime | None = None

    @field_validator("created_at", mode="before")
    @classmethod
    def _iso_8601(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, str):
            raise ValueError("is not an ISO 8601 text")
        return value


def read(model: type[M], values: dict[str, Any]) -> dict[str, Any]:
    """`values` without what is null, if they are as the model says.

    Raises:
        BadRequest: naming each field that is not, without its value.
    """
    try:
        model.model_validate(values)
    except ValidationError as error:
        told = [
            _told(model, item["loc"], item["msg"])
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise BadRequest(
            "; ".join(dict.fromkeys(told[:8])), hint="see /openapi.json for what is taken"
        ) from error
    return {name: value for name, value in values.items() if value is not None}


def _told(model: type[BaseModel], place: tuple[int | str, ...], said: str) -> str:
    name = str(place[0])
    if model is WantedUpload and name in _MEANT:
        return f"{name} is not {_MEANT[name]}"
    return f"{'.'.join(str(part) for part in place[:2])}: {said}"
