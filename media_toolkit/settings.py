"""Settings: explicit > environment > `.env` > `st.secrets` > the embedded stack.

One table, `Settings`; every field names its environment variable in `VARIABLES`, and
`.env.example` lists them all. A part of an account is an error, never a silent fall back.
"""

from __future__ import annotations

import getpass
import ipaddress
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from dotenv import find_dotenv
from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic import model_validator as model_check
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from media_toolkit import connection_string
from media_toolkit.errors import SettingsError
from media_toolkit.policy import UploadPolicy

VARIABLES: dict[str, str] = {
    "CLOUDINARY_URL": "cloudinary://<key>:<secret>@<cloud>[?upload_prefix=…&cname=…]",
    "CLOUDINARY_CLOUD_NAME": "the account's cloud name, instead of CLOUDINARY_URL",
    "CLOUDINARY_API_KEY": "the account's API key, instead of CLOUDINARY_URL",
    "CLOUDINARY_API_SECRET": "the account's API secret, instead of CLOUDINARY_URL",
    "DATABASE_URL": "Neon's connection string, pooled or direct",
    "DATABASE_DIRECT_URL": "direct string for migrations; derived by dropping -pooler",
    "MEDIA_TOOLKIT_HOME": "where the embedded stack keeps its data",
    "MEDIA_TOOLKIT_USER": "who acts in notebooks and scripts; else the system's user",
    "MEDIA_TOOLKIT_AUTH": "oidc or none: how callers of the dashboard are known",
    "MEDIA_TOOLKIT_ADMINS": "user ids with the admin role, separated by commas",
    "MEDIA_TOOLKIT_AUDIENCE": "audience of bearer tokens; the client_id of [auth] unless set",
    "MEDIA_TOOLKIT_ORIGINS": "other origins whose pages may call the HTTP API, by commas",
    "MEDIA_TOOLKIT_HOSTS": "names by which the HTTP API is reached without sign-in, by commas",
    "MEDIA_TOOLKIT_RATE_LIMIT": "signatures, and saves, that one user may have in a minute",
    "MEDIA_TOOLKIT_UPLOAD_POLICY": "JSON: what a browser may have signed and save",
    "MEDIA_TOOLKIT_UNCLAIMED_OWNER": "owner of notified uploads that nobody asked us to sign",
    "MEDIA_TOOLKIT_POLICY": "team or private: whose assets a user may read; team at first",
    "MEDIA_TOOLKIT_CLOUD_PORT": "port of the embedded Cloudinary server; chosen once otherwise",
    "MEDIA_TOOLKIT_POSTGRES_PORT": "port of the embedded Postgres; chosen once otherwise",
}

_ACCOUNT = ("cloud_name", "api_key", "api_secret")


class CloudAccount:
    """A Cloudinary account, or the embedded server: what `cloud` needs to speak to one.

    Attributes:
        cloud_name, api_key: as in the console. api_secret: masked in repr and str.
        upload_prefix: base of the API, without a trailing slash.
        cname: host[:port] that delivers over plain HTTP (embedded), or None for the CDN.
    """

    __slots__ = ("api_key", "api_secret", "cloud_name", "cname", "upload_prefix")

    def __init__(
        self,
        cloud_name: str,
        api_key: str,
        api_secret: str,
        upload_prefix: str = "https://api.cloudinary.com",
        cname: str | None = None,
    ) -> None:
        self.cloud_name = cloud_name
        self.api_key = api_key
        self.api_secret = SecretStr(api_secret)
        self.upload_prefix = upload_prefix.rstrip("/")
        self.cname = cname

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read `cloudinary://key:secret@cloud?upload_prefix=…&cname=…`.

        Raises:
            SettingsError: naming the part that is missing; the secret is never quoted.
        """
        try:
            parts = urlsplit(url.strip())
        except ValueError:
            parts = urlsplit("")
        if parts.scheme != "cloudinary":
            raise SettingsError(
                "CLOUDINARY_URL does not start with cloudinary://",
                hint="copy it from the Cloudinary console (API Keys, API environment variable),"
                " without the name CLOUDINARY_URL= before it",
                ids=("CLOUDINARY_URL",),
            )
        credentials, _, cloud = parts.netloc.rpartition("@")
        key, _, secret = credentials.partition(":")
        missing = [
            name
            for name, value in zip(_ACCOUNT, (cloud, key, secret), strict=True)
            if not value or (value.startswith("<") and value.endswith(">"))
        ]
        if missing:
            raise SettingsError(
                f"CLOUDINARY_URL lacks its {' and '.join(missing)}",
                hint="its form is cloudinary://<api_key>:<api_secret>@<cloud_name>",
                ids=("CLOUDINARY_URL",),
            )
        query = dict(parse_qsl(parts.query))
        return cls(
            cloud,
            unquote(key),
            unquote(secret),
            query.get("upload_prefix", "https://api.cloudinary.com"),
            query.get("cname"),
        )

    @property
    def is_local(self) -> bool:
        """Whether the API is on this machine: the embedded server, not Cloudinary."""
        return _is_loopback(urlsplit(self.upload_prefix).hostname)

    def __repr__(self) -> str:
        return (
            f"CloudAccount(cloud_name={self.cloud_name!r}, api_key={self.api_key!r}, "
            f"api_secret='**********', upload_prefix={self.upload_prefix!r}, cname={self.cname!r})"
        )


class Settings(BaseSettings):
    """All that decides where the toolkit works and as whom. Frozen; secrets are masked.

    Give fields explicitly, or leave them to the environment, `.env` and `st.secrets`. What
    is still unset means the embedded stack.

    Raises:
        SettingsError: naming the variable that is missing or malformed, never its value.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    cloudinary_url: SecretStr | None = None
    cloud_name: str | None = Field(None, validation_alias="CLOUDINARY_CLOUD_NAME")
    api_key: str | None = Field(None, validation_alias="CLOUDINARY_API_KEY")
    api_secret: SecretStr | None = Field(None, validation_alias="CLOUDINARY_API_SECRET")
    database_url: SecretStr | None = None
    database_direct_url: SecretStr | None = None
    home: Path = Field(
        default_factory=lambda: user_data_path("media_toolkit", appauthor=False),
        validation_alias="MEDIA_TOOLKIT_HOME",
    )
    user_id: str = Field(
        default_factory=getpass.getuser, validation_alias="MEDIA_TOOLKIT_USER", min_length=1
    )
    auth: Literal["oidc", "none"] | None = Field(None, validation_alias="MEDIA_TOOLKIT_AUTH")
    admins_list: str = Field("", validation_alias="MEDIA_TOOLKIT_ADMINS")
    audience: str | None = Field(None, validation_alias="MEDIA_TOOLKIT_AUDIENCE")
    origins_list: str = Field("", validation_alias="MEDIA_TOOLKIT_ORIGINS")
    hosts_list: str = Field("", validation_alias="MEDIA_TOOLKIT_HOSTS")
    rate_limit: int = Field(600, validation_alias="MEDIA_TOOLKIT_RATE_LIMIT", gt=0)
    upload_policy: Annotated[UploadPolicy, NoDecode] = Field(
        UploadPolicy(), validation_alias="MEDIA_TOOLKIT_UPLOAD_POLICY"
    )
    unclaimed_owner_id: str | None = Field(None, validation_alias="MEDIA_TOOLKIT_UNCLAIMED_OWNER")
    policy: Literal["team", "private"] | None = Field(None, validation_alias="MEDIA_TOOLKIT_POLICY")
    cloud_port: int | None = Field(
        None, validation_alias="MEDIA_TOOLKIT_CLOUD_PORT", gt=0, lt=65536
    )
    postgres_port: int | None = Field(
        None, validation_alias="MEDIA_TOOLKIT_POSTGRES_PORT", gt=0, lt=65536
    )

    def __init__(self, **explicit: Any) -> None:
        unknown = sorted(set(explicit) - set(type(self).model_fields))
        if unknown:
            known = ", ".join(type(self).model_fields)
            raise SettingsError(f"unknown setting {', '.join(unknown)}", hint=f"known: {known}")
        # Not pydantic's populate_by_name: with it, `home` would be read from HOME as well.
        variables = {_variable(name): value for name, value in explicit.items()}
        if set(_ACCOUNT) & set(explicit):
            # Parts given here must not lose to a CLOUDINARY_URL of the environment.
            variables.setdefault("cloudinary_url", None)
        try:
            # python-dotenv's search upwards: a notebook in notebooks/ finds the project's .env.
            super().__init__(_env_file=find_dotenv(usecwd=True) or None, **variables)
        except ValidationError as error:
            raise _explain(error) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Explicit, then environment, then `.env`, then `st.secrets`."""
        return init_settings, env_settings, dotenv_settings, _StreamlitSecrets(settings_cls)

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _postgres_only(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        return SecretStr(connection_string.read(url.get_secret_value()))

    @field_validator("upload_policy", mode="before")
    @classmethod
    def _policy_from_json(cls, policy: Any) -> Any:
        if not isinstance(policy, str):
            return policy
        try:
            return json.loads(policy)
        except ValueError as error:
            raise ValueError(f"is not JSON: {error}") from error

    @field_validator("origins_list")
    @classmethod
    def _origins_only(cls, listed: str) -> str:
        for origin in _words(listed):
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"names {origin}; an origin is like https://app.example.org")
        return listed

    @model_check(mode="after")
    def _whole_account(self) -> Self:
        given = [name for name in _ACCOUNT if getattr(self, name)]
        if self.cloudinary_url is None and 0 < len(given) < len(_ACCOUNT):
            missing = [f"CLOUDINARY_{n.upper()}" for n in _ACCOUNT if n not in given]
            raise ValueError(
                f"{' and '.join(missing)} missing, though "
                f"{' and '.join(f'CLOUDINARY_{n.upper()}' for n in given)} is set"
            )
        if self.cloudinary_url is not None:
            CloudAccount.from_url(self.cloudinary_url.get_secret_value())
        if self.database_direct_url is not None and self.database_url is None:
            # Else the work went to the embedded Postgres, and its migrations elsewhere.
            raise ValueError("DATABASE_URL missing, though DATABASE_DIRECT_URL is set")
        return self

    @property
    def cloud(self) -> CloudAccount | None:
        """The Cloudinary account, or None: the embedded server."""
        if self.cloudinary_url is not None:
            return CloudAccount.from_url(self.cloudinary_url.get_secret_value())
        if self.cloud_name and self.api_key and self.api_secret:
            return CloudAccount(self.cloud_name, self.api_key, self.api_secret.get_secret_value())
        return None

    @property
    def pooled_url(self) -> str | None:
        """Postgres for work, or None: the embedded one. Of a Neon string, its pooled form."""
        if self.database_url is None:
            return None
        return connection_string.of_neon(self.database_url.get_secret_value(), True)

    @property
    def direct_url(self) -> str | None:
        """Postgres for migrations: Neon's pooler keeps no session state."""
        if self.database_direct_url is not None:
            return self.database_direct_url.get_secret_value()
        if self.database_url is None:
            return None
        return connection_string.of_neon(self.database_url.get_secret_value(), False)

    @property
    def may_be_apart(self) -> bool:
        """Whether DATABASE_DIRECT_URL says more than what follows from DATABASE_URL, so that
        the two may lead to two databases."""
        if self.database_direct_url is None or self.database_url is None:
            return False
        given = self.database_url.get_secret_value()
        follows = (connection_string.of_neon(given, is_pooled) for is_pooled in (True, False))
        return self.direct_url not in (given, *follows)

    @property
    def is_embedded(self) -> bool:
        """Whether any part comes from the embedded stack."""
        return self.cloud is None or self.pooled_url is None

    @property
    def is_local(self) -> bool:
        """Whether both services are on this machine, embedded or by loopback address."""
        cloud, url = self.cloud, self.pooled_url
        return (cloud is None or cloud.is_local) and (url is None or _is_local_database(url))

    @property
    def admins(self) -> frozenset[str]:
        """User ids with the admin role."""
        return frozenset(_words(self.admins_list))

    @property
    def origins(self) -> frozenset[str]:
        """Origins whose pages may call the HTTP API from a browser."""
        return frozenset(_words(self.origins_list))

    @property
    def hosts(self) -> frozenset[str]:
        """Names by which the HTTP API may be reached without sign-in; `*` means any."""
        return frozenset(word.lower() for word in _words(self.hosts_list))

    @property
    def unclaimed_owner(self) -> str:
        """Whose notified uploads are that nobody asked us to sign: from the console, say."""
        return self.unclaimed_owner_id or self.user_id


class _StreamlitSecrets(PydanticBaseSettingsSource):
    """`st.secrets`, read only when Streamlit is already running in this process."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        runtime = sys.modules.get("streamlit.runtime")
        if runtime is None or not runtime.exists():
            return {}
        import streamlit as st

        try:
            found: Mapping[str, Any] = st.secrets.to_dict()
        except FileNotFoundError:
            return {}
        values = {}
        for name in self.settings_cls.model_fields:
            if (variable := _variable(name)).upper() in found:
                values[variable] = found[variable.upper()]
        return values


def _variable(name: str) -> str:
    """The name under which pydantic takes a field: its alias where it has one."""
    return str(Settings.model_fields[name].validation_alias or name)


def _explain(error: ValidationError) -> SettingsError:
    """Pydantic's account as one sentence; inputs are left out, they may be secrets."""
    told, names = [], []
    for item in error.errors(include_input=False, include_url=False, include_context=False):
        name = str(item["loc"][0]).upper() if item["loc"] else ""
        name = name if name in VARIABLES or not name else f"MEDIA_TOOLKIT_{name}"
        names.append(name)
        inner = ".".join(str(part) for part in item["loc"][1:])
        said = item["msg"].removeprefix("Value error, ")
        told.append(" ".join(filter(None, (name, inner, said))))
    hint = "set it in the environment or in .env, or unset all of it to use the embedded stack"
    if all(name.startswith("MEDIA_TOOLKIT_") for name in names):
        hint = "mend it in the environment or in .env, or leave it unset"
    return SettingsError("; ".join(told), hint=hint, ids=tuple(names))


def _words(listed: str) -> list[str]:
    return [word for one in listed.split(",") if (word := one.strip())]


def _is_loopback(host: str | None) -> bool:
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def _is_local_database(url: str) -> bool:
    host = connection_string.host_of(url)
    return (host or "").startswith("/") or _is_loopback(host)
