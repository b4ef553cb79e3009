"""A Flask program after Neon's Cloudinary guide, for `web.py`: a connection a request.

    DATABASE_URL=… CLOUDINARY_URL=… python benchmarks/flask_guide.py PORT

https://neon.com/docs/guides/cloudinary
"""

from __future__ import annotations

import os
import sys
import time

import cloudinary
import cloudinary.utils
import psycopg2
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

app = Flask(__name__)
USER_ID = "user_123"
TABLE = """
CREATE TABLE IF NOT EXISTS guide_files (
    id SERIAL PRIMARY KEY, public_id TEXT NOT NULL UNIQUE, media_url TEXT NOT NULL,
    resource_type TEXT NOT NULL, user_id TEXT NOT NULL,
    upload_timestamp TIMESTAMPTZ DEFAULT NOW())
"""


def database() -> psycopg2.extensions.connection:
    return psycopg2.connect(os.environ["DATABASE_URL"])


@app.get("/generate-signature")
def generate_signature() -> ResponseReturnValue:
    timestamp = int(time.time())
    account = cloudinary.config()
    signature = cloudinary.utils.api_sign_request({"timestamp": timestamp}, account.api_secret)
    return jsonify(success=True, signature=signature, timestamp=timestamp, api_key=account.api_key)


@app.post("/save-metadata")
def save_metadata() -> ResponseReturnValue:
    told = request.get_json()
    connection = database()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO guide_files (public_id, media_url, resource_type, user_id)"
                " VALUES (%s, %s, %s, %s)",
                (told["public_id"], told["secure_url"], told["resource_type"], USER_ID),
            )
    finally:
        connection.close()
    return jsonify(success=True), 201


if __name__ == "__main__":
    opened = database()
    with opened, opened.cursor() as table:
        table.execute(TABLE)
    opened.close()
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
