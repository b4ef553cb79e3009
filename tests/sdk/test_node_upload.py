"""Conformance of the Upload API: sequences of calls with the official, unmodified Node SDK."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import requests

Node = Any


def test_an_upload_answers_what_is_documented_and_its_signature_verifies(
    node: Node, samples: Path
) -> None:
    path = samples / "rocket.jpg"
    answer = node(
        """
        const answer = await cloudinary.uploader.upload(FILE, {
          public_id: 'space/rocket', tags: ['a & b', 'c'], context: {alt: 'x=y|z'},
          eager: [{width: 40, height: 40, crop: 'fill', format: 'png'}],
          phash: true, colors: true, faces: true, image_metadata: true, moderation: 'manual',
        });
        answer.verified = cloudinary.utils.verify_api_response_signature(
          answer.public_id, answer.version, answer.signature);
        answer.built = cloudinary.url(answer.public_id, {
          version: answer.version, format: 'jpg', secure: false, urlAnalytics: false});
        return answer;
        """,
        file=str(path),
    )
    assert answer["verified"] is True
    assert answer["url"] == answer["built"]
    assert answer["etag"] == hashlib.md5(path.read_bytes()).hexdigest()
    assert answer["context"]["custom"] == {"alt": "x=y|z"}
    assert (answer["eager"][0]["width"], answer["eager"][0]["format"]) == (40, "png")
    assert len(answer["phash"]) == 16
    assert answer["moderation"][0]["status"] == "pending"
    assert requests.get(answer["eager"][0]["secure_url"], timeout=60).status_code == 200


def test_large_files_and_streams_go_up_in_chunks(node: Node, tmp_path: Path) -> None:
    data = os.urandom(17_000_000)
    path = tmp_path / "big.bin"
    path.write_bytes(data)
    large, stream = node(
        """
        const fs = require('fs');
        const large = await new Promise((resolve, reject) => cloudinary.uploader.upload_large(
          FILE, {chunk_size: 6000000, public_id: 'big.bin'},
          (error, result) => error ? reject(error) : resolve(result)));
        const stream = await new Promise((resolve, reject) => {
          const target = cloudinary.uploader.upload_chunked_stream(
            {resource_type: 'raw', chunk_size: 8500000},
            (error, result) => error ? reject(error) : resolve(result));
          fs.createReadStream(FILE).pipe(target);
        });
        return [large, stream];
        """,
        file=str(path),
    )
    assert large["public_id"] == "big.bin"
    assert large["etag"] == stream["etag"] == hashlib.md5(data).hexdigest()
    assert requests.get(large["secure_url"], timeout=60).content == data


def test_a_sequence_of_changes(node: Node, samples: Path) -> None:
    result = node(
        """
        const u = cloudinary.uploader, steps = {};
        await u.upload(FILE, {public_id: 'a'});
        await u.upload(FILE, {public_id: 'b', tags: 'only'});
        steps.added = (await u.add_tag('x,y', ['a', 'b', 'none'])).public_ids;
        await u.remove_tag('y', ['a']);
        await u.add_context({caption: 'one=two'}, ['a']);
        const a = await cloudinary.api.resource('a'), b = await cloudinary.api.resource('b');
        steps.a = a.tags; steps.b = b.tags; steps.context = a.context.custom;
        await u.remove_all_context(['a']); await u.remove_all_tags(['a', 'b']);
        steps.bare = !('context' in await cloudinary.api.resource('a'));
        steps.taken = await u.rename('a', 'b').catch((error) => error.message);
        steps.renamed = (await u.rename('a', 'b', {overwrite: true})).public_id;
        steps.explicit = await u.explicit('b', {
          type: 'upload', face_coordinates: [[1, 2, 3, 4]], faces: true, phash: true});
        steps.destroyed = (await u.destroy('b', {invalidate: true})).result;
        steps.again = (await u.destroy('b')).result;
        return steps;
        """,
        file=str(samples / "horse.png"),
    )
    assert result["added"] == ["a", "b"]
    assert (result["a"], result["b"]) == (["x"], ["only", "x", "y"])
    assert result["context"] == {"caption": "one=two"}
    assert result["bare"] is True
    assert "already exists" in result["taken"]
    assert result["renamed"] == "b"
    assert result["explicit"]["faces"] == [[1, 2, 3, 4]]
    assert (result["destroyed"], result["again"]) == ("ok", "not found")


def test_presets_archives_and_refusals(node: Node, samples: Path) -> None:
    result = node(
        """
        const u = cloudinary.uploader, told = {};
        const refusal = (promise) => promise.then(() => 'taken', (error) => [
          error.http_code, error.message]);
        await cloudinary.api.create_upload_preset({
          name: 'open', unsigned: true, tags: 'guest', folder: 'inbox'});
        await cloudinary.api.create_upload_preset({name: 'closed', folder: 'x'});
        told.open = await u.unsigned_upload(FILE, 'open', {public_id: 'p'});
        told.closed = await refusal(u.unsigned_upload(FILE, 'closed'));
        told.none = await refusal(u.unsigned_upload(FILE, 'none'));
        told.detection = await refusal(u.upload(FILE, {detection: 'adv_face'}));
        told.zip = await u.create_zip({tags: ['guest'], target_public_id: 'all'});
        told.download = cloudinary.utils.download_zip_url({prefixes: ['inbox/']});
        told.private = cloudinary.utils.private_download_url('inbox/p', 'jpg', {});
        return told;
        """,
        file=str(samples / "rocket.jpg"),
    )
    assert (result["open"]["public_id"], result["open"]["tags"]) == ("inbox/p", ["guest"])
    assert result["closed"] == [400, "Upload preset must be whitelisted for unsigned uploads"]
    assert result["none"] == [400, "Upload preset not found"]
    assert result["detection"][0] == 400
    assert (result["zip"]["public_id"], result["zip"]["file_count"]) == ("all.zip", 1)
    assert requests.get(result["download"], timeout=60).content[:2] == b"PK"
    original = (samples / "rocket.jpg").read_bytes()
    assert requests.get(result["private"], timeout=60).content == original
