"""Signing is pinned by Cloudinary's published vectors, not by our own output."""

import pytest

from media_toolkit.cloud import signing
from media_toolkit.errors import SignatureError, UploadError
from media_toolkit.settings import CloudAccount

# https://cloudinary.com/documentation/authentication_signatures
PUBLISHED = {
    "eager": "w_400,h_300,c_pad|w_260,h_200,c_crop",
    "public_id": "sample_image",
    "timestamp": 1315060510,
}
ACCOUNT = CloudAccount("demo", "1234", "abcd")


def test_the_published_sha1_signature_is_reproduced() -> None:
    assert signing.sign_parameters(PUBLISHED, "abcd") == "bfd09f95f331f558cbd1320e67aa8d488770583e"


def test_the_published_sha256_signature_is_reproduced() -> None:
    digest = signing.sign_parameters(PUBLISHED, "abcd", "sha256")
    assert digest == "cc927e1290f9e3ae4c1a741eda21a4630b4ce80f9ce0bc0296337d25cf40f91e"


def test_a_signed_upload_carries_the_published_signature_and_the_strings_it_covers() -> None:
    signed = signing.sign_upload(
        ACCOUNT,
        "image",
        timestamp=1315060510,
        public_id="sample_image",
        eager="w_400,h_300,c_pad|w_260,h_200,c_crop",
    )
    assert signed.fields == {
        "public_id": "sample_image",
        "eager": "w_400,h_300,c_pad|w_260,h_200,c_crop",
        "timestamp": "1315060510",
        "api_key": "1234",
        "signature": "bfd09f95f331f558cbd1320e67aa8d488770583e",
    }
    assert signed.url == "https://api.cloudinary.com/v1_1/demo/image/upload"
    assert signed.expires_at == 1315060510 + 3600


def test_an_ampersand_in_a_value_cannot_smuggle_in_a_parameter() -> None:
    smuggled = signing.sign_parameters({"public_id": "a&tags=x", "timestamp": 1}, "abcd")
    honest = signing.sign_parameters({"public_id": "a", "tags": "x", "timestamp": 1}, "abcd")
    assert smuggled != honest


def test_options_are_signed_as_the_strings_that_are_sent() -> None:
    sent = signing.serialize_options(
        {"tags": ["a", "b"], "overwrite": False, "context": {"alt": "x=y|z"}, "folder": "spring"}
    )
    assert sent == {
        "tags": "a,b",
        "overwrite": "0",
        "context": r"alt=x\=y\|z",
        "folder": "spring",
    }


def test_an_unknown_upload_option_is_named() -> None:
    with pytest.raises(UploadError, match="publicid"):
        signing.sign_upload(ACCOUNT, publicid="x")


# The example response of https://cloudinary.com/documentation/response_signatures is digested
# over public_id and version alone, in the version-1 form: recomputed here by hand.
def test_a_response_is_verified_over_public_id_and_version() -> None:
    import hashlib

    signature = hashlib.sha1(b"public_id=a&b&version=1315060510abcd").hexdigest()
    response = {"public_id": "a&b", "version": 1315060510, "signature": signature}
    signing.verify_response(response, "abcd")
    with pytest.raises(SignatureError, match="not signed by this account"):
        signing.verify_response({**response, "version": 1315060511}, "abcd")
    with pytest.raises(SignatureError):
        signing.verify_response({"public_id": "a", "version": 1}, "abcd")
