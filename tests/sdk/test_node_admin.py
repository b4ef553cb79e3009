"""Conformance of the Admin and Search API: calls with the official, unmodified Node SDK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Node = Any


def test_assets_are_listed_changed_and_removed(node: Node, samples: Path) -> None:
    told = node(
        """
        const {api, uploader} = cloudinary, told = {};
        const ids = (answer) => answer.resources.map((one) => one.public_id);
        const refusal = (promise) => promise.then(() => 'taken', ({error}) => [
          error.http_code, error.message]);
        for (const name of ['a', 'b', 'c']) await uploader.upload(FILE, {
          public_id: `set/${name}`, tags: ['all', name], context: {name}});
        const stored = await uploader.upload(FILE, {
          public_id: 'lone', eager: [{width: 20, crop: 'scale'}, {width: 30, crop: 'scale'}]});
        const first = await api.resources({
          type: 'upload', prefix: 'set/', max_results: 2, direction: 'asc', tags: true});
        const rest = await api.resources({
          type: 'upload', prefix: 'set/', direction: 'asc', next_cursor: first.next_cursor});
        told.pages = [ids(first), ids(rest), first.resources[0].tags, 'next_cursor' in rest];
        told.limit = first.rate_limit_remaining < first.rate_limit_allowed;
        told.by_tag = ids(await api.resources_by_tag('b'));
        told.by_context = ids(await api.resources_by_context('name', 'c', {context: true}));
        told.by_ids = ids(await api.resources_by_ids(['lone', 'none']));
        told.by_asset_ids = ids(await api.resources_by_asset_ids([stored.asset_id]));
        told.tags = (await api.tags({max_results: 2})).tags;
        told.one = await api.resource('lone', {colors: true, phash: true, faces: true});
        told.same = (await api.resource_by_asset_id(stored.asset_id)).public_id;
        told.changed = await api.update('lone', {
          tags: 'new', context: {alt: 'x=y'}, asset_folder: 'kept', display_name: 'Lone'});
        told.none = await refusal(api.resource('none'));
        const derived = told.one.derived[0].id;
        told.derived = (await api.delete_derived_resources([derived])).deleted[derived];
        told.left = (await api.resource('lone')).derived.length;
        told.deleted = (await api.delete_resources(['set/a', 'none'])).deleted;
        told.by_prefix = Object.keys((await api.delete_resources_by_prefix('set/b')).deleted);
        told.tagged = Object.keys((await api.delete_resources_by_tag('all')).deleted);
        told.usage = (await api.usage()).resources;
        told.ping = (await api.ping()).status;
        return told;
        """,
        file=str(samples / "rocket.jpg"),
    )
    assert told["pages"] == [["set/a", "set/b"], ["set/c"], ["all", "a"], False]
    assert told["limit"] is True
    assert (told["by_tag"], told["by_context"]) == (["set/b"], ["set/c"])
    assert (told["by_ids"], told["by_asset_ids"]) == (["lone"], ["lone"])
    assert told["tags"] == ["a", "all"]
    one = told["one"]
    assert (one["width"], len(one["derived"]), len(one["phash"])) == (640, 2, 16)
    assert one["colors"]
    assert told["same"] == "lone"
    changed = told["changed"]
    assert (changed["tags"], changed["context"]["custom"]) == (["new"], {"alt": "x=y"})
    assert (changed["asset_folder"], changed["display_name"]) == ("kept", "Lone")
    assert told["none"] == [404, "Resource not found - none"]
    assert (told["derived"], told["left"]) == ("deleted", 1)
    assert told["deleted"] == {"set/a": "deleted", "none": "not_found"}
    assert (told["by_prefix"], told["tagged"]) == (["set/b"], ["set/c"])
    assert (told["usage"], told["ping"]) == (1, "ok")


def test_folders_presets_and_named_transformations(node: Node, samples: Path) -> None:
    told = node(
        """
        const {api, uploader} = cloudinary, told = {};
        const names = (list) => list.map((one) => one.name);
        const refusal = (promise) => promise.then(() => 'taken', ({error}) => [
          error.http_code, error.message]);
        await api.create_folder('top/inner');
        await uploader.upload(FILE, {public_id: 'top/inner/p', asset_folder: 'top/inner'});
        told.root = names((await api.root_folders()).folders);
        told.inside = (await api.sub_folders('top')).folders.map((one) => one.path);
        told.full = (await refusal(api.delete_folder('top/inner')))[0];
        told.moved = (await api.rename_folder('top/inner', 'top/outer')).to.path;
        await api.create_folder('empty');
        told.gone = (await api.delete_folder('empty')).deleted;
        await api.create_upload_preset({
          name: 'mine', unsigned: true, tags: ['x', 'y'],
          transformation: {width: 50, crop: 'fit'}});
        told.presets = names((await api.upload_presets()).presets);
        await api.update_upload_preset('mine', {unsigned: false, folder: 'in'});
        told.preset = await api.upload_preset('mine');
        told.preset_deleted = (await api.delete_upload_preset('mine')).message;
        told.no_preset = (await refusal(api.upload_preset('mine')))[0];
        await api.create_transformation('small', {width: 40, height: 30, crop: 'fill'});
        told.small = await api.transformation('small');
        told.twice = (await refusal(api.create_transformation('small', {width: 1})))[0];
        told.eager = (await uploader.explicit('top/inner/p', {
          type: 'upload', eager: [{transformation: 'small'}]})).eager[0];
        told.named = names((await api.transformations({named: true})).transformations);
        told.transformation_deleted = (await api.delete_transformation('small')).message;
        return told;
        """,
        file=str(samples / "rocket.jpg"),
    )
    assert "top" in told["root"]
    assert told["inside"] == ["top/inner"]
    assert (told["full"], told["moved"], told["gone"]) == (400, "top/outer", ["empty"])
    assert told["presets"] == ["mine"]
    preset = told["preset"]
    assert (preset["unsigned"], preset["settings"]["folder"]) == (False, "in")
    assert preset["settings"]["tags"] == ["x", "y"]
    assert (told["preset_deleted"], told["no_preset"]) == ("deleted", 404)
    assert told["small"]["info"] == [{"width": 40, "height": 30, "crop": "fill"}]
    assert told["twice"] == 409
    assert (told["eager"]["width"], told["eager"]["height"]) == (40, 30)
    assert told["named"] == ["t_small"]
    assert told["transformation_deleted"] == "deleted"


def test_searches_sort_page_and_count(node: Node, samples: Path) -> None:
    told = node(
        """
        const {search, uploader} = cloudinary, told = {};
        const ids = (answer) => answer.resources.map((one) => one.public_id);
        for (const [id, file, tag] of [
          ['b', 'rocket.jpg', 'night'], ['a', 'horse.png', 'day'], ['c', 'brick.png', 'day']])
          await uploader.upload(FOLDER + '/' + file, {public_id: id, tags: tag, context: {id}});
        const first = await search.expression('resource_type:image').sort_by('public_id', 'asc')
          .max_results(2).with_field('tags').with_field('context').aggregate('format').execute();
        told.first = [ids(first), first.total_count, first.aggregations.format];
        told.fields = [first.resources[0].tags, first.resources[0].context];
        told.rest = ids(await search.expression('resource_type:image')
          .sort_by('public_id', 'asc').max_results(2).next_cursor(first.next_cursor).execute());
        told.found = ids(await search.expression('tags=day AND NOT public_id=c').execute());
        told.few = (await search.expression('public_id=b').fields('width').execute()).resources[0];
        told.malformed = await search.expression('tags=(').execute()
          .then(() => 'taken', ({error}) => error.http_code);
        const url = search.expression('tags=night').to_url(300);
        const here = cloudinary.config().upload_prefix + new URL(url).pathname;
        told.by_url = ids(await (await fetch(here)).json());
        return told;
        """,
        folder=str(samples),
    )
    assert told["first"] == [["a", "b"], 3, {"jpg": 1, "png": 2}]
    assert told["fields"] == [["day"], {"id": "a"}]
    assert (told["rest"], told["found"]) == (["c"], ["a"])
    assert told["few"]["width"] == 640
    assert "format" not in told["few"]
    assert told["malformed"] == 400
    assert told["by_url"] == ["b"]


def test_moments_and_background_changes_as_the_node_sdk_writes_them(
    node: Node, samples: Path
) -> None:
    told = node(
        """
        const {api, uploader, utils} = cloudinary;
        const start = new Date(Date.UTC(2019, 1, 22, 16, 20, 57));
        const stored = await uploader.upload(FILE, {public_id: 'a', moderation: 'manual',
          access_control: [{access_type: 'anonymous', start, end: '2019-03-22 00:00 +0200'}]});
        const since = new Date(Date.now() - 3600000).toString();
        const listed = await api.resources({type: 'upload', start_at: since, direction: 'asc'});
        const pending = await uploader.explicit('a', {
          type: 'upload', async: true, eager: [{width: 5, crop: 'scale'}]});
        const url = utils.download_zip_url({
          public_ids: ['a'], expires_at: Date.now() / 1000 + 600.5});
        const updated = await api.update('a', {
          moderation_status: 'approved', notification_url: 'http://127.0.0.1:9/'});
        return [stored.access_control.length, (await fetch(stored.url)).status,
          listed.resources.length, pending.status, (await fetch(url)).status,
          updated.moderation[0].status];
        """,
        file=str(samples / "rocket.jpg"),
    )
    assert told == [1, 401, 1, "pending", 200, "approved"]
